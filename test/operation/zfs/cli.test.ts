import { describe, expect, it } from 'vitest';

import { createZfs } from '../../../src/zfs/cli.ts';
import type { DatasetName } from '../../../src/zfs/zfs.ts';
import { replay, type Exchange } from '../../support/fake-exec.ts';

const a = 'tank/a' as DatasetName;

function adapter(transcript: readonly Exchange[]) {
  const fake = replay(transcript);
  const pausesMs: number[] = [];
  const zfs = createZfs({
    run: fake.run,
    zfs: ['/usr/sbin/zfs'],
    zpool: ['/usr/sbin/zpool'],
    sleep: (ms) => Promise.resolve(pausesMs.push(ms)),
  });
  return {
    zfs,
    pausesMs,
    finish: () => {
      fake.finish();
    },
  };
}

const busy = (name: string) => ({
  status: 1,
  stderr: `cannot destroy '${name}': dataset is busy\n`,
});

describe('destroy', () => {
  it('tries again when zfs-fuse has just unmounted the file system', async () => {
    const { zfs, pausesMs, finish } = adapter([
      { command: 'zfs destroy tank/a', ...busy('tank/a') },
      { command: 'zfs destroy tank/a' },
    ]);
    await zfs.destroy(a);
    finish();
    expect(pausesMs).toEqual([5]);
  });

  it('does not count the time of one obstacle against the next', async () => {
    const { zfs, pausesMs, finish } = adapter([
      { command: 'zfs destroy -r tank/a', ...busy('tank/a/b/c') },
      { command: 'zfs destroy -r tank/a', ...busy('tank/a/b') },
      { command: 'zfs destroy -r tank/a', ...busy('tank/a') },
      { command: 'zfs destroy -r tank/a' },
    ]);
    await zfs.destroy(a, { recursive: true, busyTimeoutMs: 5 });
    finish();
    expect(pausesMs).toEqual([5, 5, 5]);
  });

  it('gives up after its time with what is in the way', async () => {
    const { zfs, pausesMs, finish } = adapter(
      Array.from({ length: 4 }, () => ({ command: 'zfs destroy tank/a', ...busy('tank/a') })),
    );
    await expect(zfs.destroy(a, { busyTimeoutMs: 30 })).rejects.toMatchObject({
      code: 'ZFS_BUSY',
      message: 'cannot destroy tank/a: dataset is busy',
    });
    finish();
    expect(pausesMs).toEqual([5, 10, 20]);
  });

  it('does not wait for a held snapshot', async () => {
    const { zfs, pausesMs } = adapter([
      {
        command: 'zfs destroy tank/a@h',
        status: 1,
        stderr:
          "cannot destroy snapshot tank/a@h: it's being held. Run 'zfs holds -r tank/a@h' to see holders.\n",
      },
    ]);
    await expect(zfs.destroy('tank/a@h' as DatasetName)).rejects.toMatchObject({
      code: 'ZFS_BUSY',
    });
    expect(pausesMs).toEqual([]);
  });
});

describe('rename', () => {
  it('unmounts before it tries again: zfs-fuse would mount it each time', async () => {
    const { zfs, pausesMs, finish } = adapter([
      {
        command: 'zfs rename tank/a tank/b',
        status: 1,
        stderr: "cannot rename 'tank/a': dataset is busy\n",
      },
      { command: 'zfs unmount tank/a' },
      { command: 'zfs rename tank/a tank/b' },
    ]);
    await zfs.rename(a, 'tank/b' as DatasetName);
    finish();
    expect(pausesMs).toEqual([5]);
  });
});

describe('create', () => {
  it('takes back a file system that could not be mounted', async () => {
    const { zfs, finish } = adapter([
      {
        command: 'zfs create tank/a',
        status: 1,
        stderr:
          "cannot mount '/m/a': directory is not empty\nfilesystem successfully created, but not mounted\n",
      },
      { command: 'zfs destroy tank/a' },
    ]);
    await expect(zfs.create(a)).rejects.toMatchObject({ code: 'ZFS_FAILED', dataset: 'tank/a' });
    finish();
  });
});

describe('list', () => {
  const usage = "invalid option 'p'\nusage:\n\tlist [-rH][-d max]\n";
  const columns = 'type,origin,used,referenced,creation,mountpoint,mounted';
  const rows = [
    'type\tfilesystem',
    'origin\t-',
    'used\t1',
    'referenced\t1',
    'creation\t5',
    'mountpoint\tnone',
    'mounted\tno',
  ]
    .map((cells) => `tank/a\t${cells}\n`)
    .join('');

  it('learns once that zfs list has no -p', async () => {
    const { zfs, finish } = adapter([
      {
        command: `zfs list -Hp -r -t filesystem,volume -o name,${columns} tank/a`,
        status: 2,
        stderr: usage,
      },
      { command: `zfs get -Hp -r -o name,property,value ${columns} tank/a`, stdout: rows },
      { command: `zfs get -Hp -d 1 -o name,property,value ${columns} tank/a`, stdout: rows },
    ]);
    expect(await zfs.list(a)).toHaveLength(1);
    expect(await zfs.list(a, { depth: 1, types: ['snapshot'] })).toEqual([]);
    finish();
  });

  it('is empty for a missing root, and fails for anything else', async () => {
    const command = `zfs list -Hp -r -t filesystem,volume -o name,${columns} tank/a`;
    const { zfs } = adapter([
      { command, status: 1, stderr: "cannot open 'tank/a': dataset does not exist\n" },
      {
        command,
        status: 1,
        stderr:
          'connect: Connection refused\nPlease make sure that the zfs-fuse daemon is running.\n',
      },
      { command, stdout: 'tank/a\tnonsense\n' },
    ]);
    expect(await zfs.list(a)).toEqual([]);
    await expect(zfs.list(a)).rejects.toMatchObject({ code: 'ZFS_UNAVAILABLE' });
    await expect(zfs.list(a)).rejects.toMatchObject({ code: 'ZFS_FAILED' });
  });
});

describe('set', () => {
  it('goes one by one where the tool takes one property at a time', async () => {
    const { zfs, finish } = adapter([
      {
        command: 'zfs set x:a=1 x:b=2 tank/a',
        status: 1,
        stderr: "cannot open 'x:b=2': invalid dataset name\n",
      },
      { command: 'zfs set x:a=1 tank/a' },
      { command: 'zfs set x:b=2 tank/a' },
    ]);
    await zfs.set(a, { 'x:a': '1', 'x:b': '2' });
    finish();
  });

  it('starts nothing when there is nothing to set', async () => {
    await adapter([]).zfs.set(a, {});
  });
});

describe('features', () => {
  const FUSE_USAGE = '\tcreate [-p] [-o property=value] ... <filesystem>\n\tlist [-rH][-d max]\n';
  const FUSE_GET =
    '\tcompression     YES      YES   on | off | lzjb | gzip | gzip-[1-9] | zle\n\txattr           YES      YES   on | off\n';

  it('are those of zfs-fuse by its own words', async () => {
    const { zfs, finish } = adapter([
      { command: 'zfs', status: 2, stderr: FUSE_USAGE },
      { command: 'zfs version', status: 2, stderr: "unrecognized command 'version'\n" },
      { command: 'zfs get', status: 2, stderr: `missing property argument\nusage:\n${FUSE_GET}` },
    ]);
    expect(await zfs.features()).toEqual({
      mounting: 'fuse',
      parsable: false,
      lz4: false,
      diff: false,
      renameUnmounted: false,
      createUnmounted: false,
      json: false,
      channelPrograms: false,
      xattrSa: false,
      xattrs: undefined,
    });
    finish();
  });

  it('are ZFS_UNAVAILABLE when the daemon is away', async () => {
    const { zfs } = adapter([
      { command: 'zfs', status: 2, stderr: FUSE_USAGE },
      { command: 'zfs version', status: 2, stderr: '' },
      {
        command: 'zfs get',
        status: 1,
        stderr:
          'connect: Connection refused\nPlease make sure that the zfs-fuse daemon is running.\ninternal error: failed to initialize ZFS library\n',
      },
    ]);
    await expect(zfs.features()).rejects.toMatchObject({ code: 'ZFS_UNAVAILABLE' });
  });
});
