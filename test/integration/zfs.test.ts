import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, open, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { errnoOf } from '../../src/errors.ts';
import type { DatasetName, ZfsFeatures } from '../../src/zfs/zfs.ts';
import { testPool } from '../support/environment.ts';
import { createPlayground, realZfs, toolPath, type Playground } from '../support/real-zfs.ts';

const execute = promisify(execFile);
const pool = testPool();

describe.skipIf(pool === undefined)('the ZFS port on the real programs', () => {
  const zfs = realZfs();
  let play: Playground;
  let features: ZfsFeatures;

  beforeAll(async () => {
    play = await createPlayground(zfs, pool ?? '');
    features = await zfs.features(play.root);
  });
  afterAll(() => play.remove());

  const at = (...parts: string[]) => path.join(play.dir, ...parts);
  const snap = (dataset: DatasetName, name: string) => `${dataset}@${name}` as DatasetName;

  it('finds features by trying and leaves nothing behind', async () => {
    expect(await zfs.list(play.root)).toHaveLength(1);
    expect(
      features.xattrs,
      'extended attributes are off: start zfs-fuse with --enable-xattr',
    ).not.toBe(false);
    expect(features.parsable).toBe(features.mounting === 'kernel');
    expect(features.lz4).toBe(features.mounting === 'kernel');
    expect(features.channelPrograms).toBe(features.mounting === 'kernel');
  });

  it('creates with properties in one step, mounted where they say', async () => {
    const name = play.name('create');
    await zfs.create(name, { properties: { devices: 'off', 'io.jetpack:role': 'test' } });
    await writeFile(at('create', 'file'), 'x');
    expect(
      await zfs.get(name, ['devices', 'io.jetpack:role', 'io.jetpack:none', 'origin']),
    ).toEqual({
      devices: 'off',
      'io.jetpack:role': 'test',
    });
    const rows = await zfs.list(name);
    expect(rows).toMatchObject([
      { name, type: 'filesystem', origin: undefined, mountpoint: at('create'), mounted: true },
    ]);
    expect(Math.abs((rows[0]?.createdAtS ?? 0) - Date.now() / 1000)).toBeLessThan(600);
  });

  it('names the fault of a create: exists, missing parent, missing pool, unknown property', async () => {
    await expect(zfs.create(play.root)).rejects.toMatchObject({
      code: 'ZFS_EXISTS',
      dataset: play.root,
    });
    await expect(zfs.create(play.name('no', 'such'))).rejects.toMatchObject({
      code: 'ZFS_MISSING',
    });
    await expect(zfs.create('nosuchpool/a' as DatasetName)).rejects.toMatchObject({
      code: 'ZFS_MISSING',
    });
    await expect(
      zfs.create(play.name('bad'), { properties: { nosuch: '1' } }),
    ).rejects.toMatchObject({ code: 'ZFS_UNSUPPORTED' });
    expect(await zfs.exists(play.name('bad'))).toBe(false);
  });

  it('creates missing parents when told to', async () => {
    await zfs.create(play.name('deep', 'deeper', 'deepest'), { parents: true });
    expect((await zfs.list(play.name('deep'))).map((row) => row.name)).toEqual([
      play.name('deep'),
      play.name('deep', 'deeper'),
      play.name('deep', 'deeper', 'deepest'),
    ]);
    expect(await zfs.list(play.name('deep'), { depth: 1 })).toHaveLength(2);
    await zfs.destroy(play.name('deep'), { recursive: true });
    expect(await zfs.exists(play.name('deep'))).toBe(false);
  });

  it('leaves no file system behind when its mount fails', async () => {
    const name = play.name('unmountable');
    const parent = play.name('ro');
    await zfs.create(parent, { properties: { readonly: 'on' } });
    const child = `${parent}/child` as DatasetName;
    await expect(zfs.create(child)).rejects.toMatchObject({ dataset: child });
    expect(await zfs.exists(child)).toBe(false);
    expect(await zfs.exists(name)).toBe(false);
    await zfs.destroy(parent);
  });

  it('clones a snapshot, tells the origin, and refuses to destroy what has clones', async () => {
    const image = play.name('image');
    await zfs.create(image);
    await writeFile(at('image', 'file'), 'sealed');
    await zfs.snapshot(snap(image, 'seal'));
    await zfs.clone(snap(image, 'seal'), play.name('clone'));
    expect(await readFile(at('clone', 'file'), 'utf8')).toBe('sealed');
    expect(await zfs.list(play.name('clone'))).toMatchObject([{ origin: snap(image, 'seal') }]);
    expect(await zfs.list(image, { types: ['snapshot'] })).toMatchObject([
      { name: snap(image, 'seal'), type: 'snapshot', mountpoint: undefined, mounted: false },
    ]);
    await expect(zfs.destroy(image)).rejects.toMatchObject({
      code: 'ZFS_HAS_CHILDREN',
      dependents: [snap(image, 'seal')],
    });
    await expect(zfs.destroy(image, { recursive: true })).rejects.toMatchObject({
      code: 'ZFS_HAS_CLONES',
      dependents: [play.name('clone')],
    });
    expect(await readFile(at('image', 'file'), 'utf8')).toBe('sealed');
    await expect(zfs.clone(snap(image, 'seal'), play.name('clone'))).rejects.toMatchObject({
      code: 'ZFS_EXISTS',
    });
    await expect(zfs.clone(snap(image, 'none'), play.name('c2'))).rejects.toMatchObject({
      code: 'ZFS_MISSING',
    });
    await expect(zfs.snapshot(snap(image, 'seal'))).rejects.toMatchObject({ code: 'ZFS_EXISTS' });
    await expect(zfs.snapshot(snap(play.name('none'), 's'))).rejects.toMatchObject({
      code: 'ZFS_MISSING',
    });
    await zfs.destroy(play.name('clone'));
    await zfs.destroy(image, { recursive: true });
  });

  it('publishes by renaming below a parent without a mount point: unmounted, read-only, origin kept', async () => {
    await zfs.create(play.name('images'), { properties: { mountpoint: 'none', readonly: 'on' } });
    await zfs.create(play.name('scratch'));
    await writeFile(at('scratch', 'file'), 'x');
    await zfs.snapshot(snap(play.name('scratch'), 'seal'));
    await zfs.clone(snap(play.name('scratch'), 'seal'), play.name('pod'));
    await zfs.rename(play.name('scratch'), play.name('images', 'id'));
    const [row] = await zfs.list(play.name('images', 'id'));
    expect(row).toMatchObject({ mounted: false, mountpoint: 'none' });
    expect(await zfs.get(play.name('images', 'id'), ['readonly'])).toEqual({ readonly: 'on' });
    expect(await zfs.list(play.name('pod'))).toMatchObject([
      { origin: snap(play.name('images', 'id'), 'seal') },
    ]);
    await expect(zfs.rename(play.name('none'), play.name('x'))).rejects.toMatchObject({
      code: 'ZFS_MISSING',
    });
    await zfs.destroy(play.name('pod'));
    await zfs.destroy(play.name('images'), { recursive: true });
  });

  it('does not rename over what exists', async () => {
    await zfs.create(play.name('one'));
    await zfs.create(play.name('two'));
    await expect(zfs.rename(play.name('one'), play.name('two'))).rejects.toMatchObject({
      code: 'ZFS_EXISTS',
    });
    await zfs.destroy(play.name('one'));
    await zfs.destroy(play.name('two'));
  });

  it('mounts and unmounts idempotently, and says when a process is in the way', async () => {
    const name = play.name('mounts');
    await zfs.create(name);
    await zfs.mount(name);
    const handle = await open(at('mounts', 'held'), 'w');
    await expect(zfs.unmount(name)).rejects.toMatchObject({ code: 'ZFS_BUSY' });
    await expect(zfs.destroy(name, { busyTimeoutMs: 50 })).rejects.toMatchObject({
      code: 'ZFS_BUSY',
    });
    await handle.close();
    await zfs.unmount(name);
    await zfs.unmount(name);
    expect(await zfs.list(name)).toMatchObject([{ mounted: false }]);
    await zfs.destroy(name);
    await expect(zfs.mount(name)).rejects.toMatchObject({ code: 'ZFS_MISSING' });
  });

  it('waits for a mount namespace that still has a copy of the mount', async () => {
    const name = play.name('namespace');
    await zfs.create(name);
    const holder = spawn(toolPath('unshare'), ['-m', '--propagation', 'private', 'sleep', '60']);
    await sleep(500);
    await expect(zfs.destroy(name, { busyTimeoutMs: 50 })).rejects.toMatchObject({
      code: 'ZFS_BUSY',
    });
    const destroyed = zfs.destroy(name);
    await sleep(100);
    holder.kill();
    await Promise.all([destroyed, once(holder, 'exit')]);
    expect(await zfs.exists(name)).toBe(false);
  });

  it('keeps a held snapshot, and tells the tags where the tool can', async () => {
    const name = play.name('holds');
    await zfs.create(name);
    await zfs.snapshot(snap(name, 's'));
    await zfs.hold('jetpack', snap(name, 's'));
    await expect(zfs.hold('jetpack', snap(name, 's'))).rejects.toMatchObject({
      code: 'ZFS_EXISTS',
    });
    expect(await zfs.get(snap(name, 's'), ['userrefs'])).toEqual({ userrefs: '1' });
    if (features.mounting === 'kernel')
      expect(await zfs.holds(snap(name, 's'))).toEqual(['jetpack']);
    else
      await expect(zfs.holds(snap(name, 's'))).rejects.toMatchObject({ code: 'ZFS_UNSUPPORTED' });
    await expect(zfs.destroy(snap(name, 's'), { busyTimeoutMs: 20 })).rejects.toMatchObject({
      code: 'ZFS_BUSY',
    });
    await zfs.release('jetpack', snap(name, 's'));
    await expect(zfs.release('jetpack', snap(name, 's'))).rejects.toMatchObject({
      code: 'ZFS_MISSING',
    });
    await zfs.destroy(name, { recursive: true });
  });

  it('sets several properties, and refuses values that could not be read back', async () => {
    const name = play.name('set');
    await zfs.create(name);
    await zfs.set(name, { 'io.jetpack:a': '1 = 2', 'io.jetpack:b': 'ü' });
    expect(await zfs.get(name, ['io.jetpack:a', 'io.jetpack:b'])).toEqual({
      'io.jetpack:a': '1 = 2',
      'io.jetpack:b': 'ü',
    });
    await expect(zfs.set(name, { used: '1' })).rejects.toMatchObject({ code: 'ZFS_UNSUPPORTED' });
    await expect(zfs.set(name, { 'io.jetpack:c': 'a\tb' })).rejects.toMatchObject({
      code: 'ZFS_UNSUPPORTED',
    });
    await expect(zfs.set(play.name('none'), { 'io.jetpack:c': 'd' })).rejects.toMatchObject({
      code: 'ZFS_MISSING',
    });
    await zfs.destroy(name);
  });

  it('answers for what is missing: an empty list, false, ZFS_MISSING', async () => {
    expect(await zfs.list(play.name('none'))).toEqual([]);
    expect(await zfs.list('nosuchpool/a' as DatasetName)).toEqual([]);
    expect(await zfs.exists(play.name('none'))).toBe(false);
    await expect(zfs.get(play.name('none'), ['type'])).rejects.toMatchObject({
      code: 'ZFS_MISSING',
    });
    await expect(zfs.destroy(play.name('none'))).rejects.toMatchObject({ code: 'ZFS_MISSING' });
    await expect(zfs.destroy(snap(play.root, 'none'))).rejects.toMatchObject({
      code: 'ZFS_MISSING',
    });
  });

  it('destroys a tree of mounted file systems', async () => {
    await zfs.create(play.name('tree', 'a', 'b', 'c'), { parents: true });
    await zfs.create(play.name('tree', 'd'));
    await zfs.destroy(play.name('tree'), { recursive: true });
    expect(await zfs.list(play.root)).not.toContainEqual(
      expect.objectContaining({ name: play.name('tree') }),
    );
  });

  it('tells a full pool from other faults, and recovers when space is made', async () => {
    const dir = await mkdtemp(path.join(tmpdir(), 'jetpack-full-'));
    const file = path.join(dir, 'pool.img');
    const full = `jpfull${String(process.pid)}`;
    await writeFile(file, '');
    await truncate(file, 96 * 1024 * 1024);
    await zfs.createPool(full, file, { atime: 'off' });
    try {
      expect(await zfs.pools()).toContain(full);
      await expect(zfs.createPool(full, file)).rejects.toMatchObject({ code: 'ZFS_EXISTS' });
      const name = `${full}/f` as DatasetName;
      await zfs.create(name, { properties: { mountpoint: path.join(dir, 'mnt') } });
      await zfs.snapshot(snap(name, 's'));
      await fill(path.join(dir, 'mnt', 'fill'));
      await execute('sync');
      await expect(zfs.create(`${full}/g` as DatasetName)).rejects.toMatchObject({
        code: 'ZFS_NO_SPACE',
      });
      await expect(zfs.clone(snap(name, 's'), `${full}/c` as DatasetName)).rejects.toMatchObject({
        code: 'ZFS_NO_SPACE',
      });
      await expect(zfs.snapshot(snap(name, 't'))).rejects.toMatchObject({ code: 'ZFS_NO_SPACE' });
      expect(await zfs.availableBytes(name)).toBeLessThan(4 * 1024 * 1024);
      await zfs.destroy(name, { recursive: true });
      await execute(toolPath('zpool'), ['export', full]);
      await expect(zfs.importPool('nosuchpool', dir)).rejects.toMatchObject({
        code: 'ZFS_MISSING',
      });
      await zfs.importPool(full, dir);
      await zfs.create(`${full}/g` as DatasetName);
    } finally {
      await execute(toolPath('zpool'), ['destroy', '-f', full]);
      await rm(dir, { recursive: true });
    }
  });

  it('mounts with mount(2) in any namespace on kernel ZFS, and only there', async () => {
    const name = play.name('legacy');
    await zfs.create(name, { properties: { mountpoint: 'legacy' } });
    await zfs.create(play.name('target'));
    const script = `mount -t zfs ${name} ${at('target')} && findmnt -n -o SOURCE ${at('target')} | tail -n 1`;
    const mounted = execute(toolPath('unshare'), [
      '-m',
      '--propagation',
      'private',
      'sh',
      '-c',
      script,
    ]);
    if (features.mounting === 'kernel') expect((await mounted).stdout.trim()).toBe(name);
    else await expect(mounted).rejects.toThrow(/unknown filesystem type/);
    expect(await zfs.list(name)).toMatchObject([{ mountpoint: 'legacy', mounted: false }]);
    await zfs.destroy(name);
    await zfs.destroy(play.name('target'));
  });

  it('lists a hundred datasets with one call', async () => {
    await zfs.create(play.name('many'), { properties: { mountpoint: 'none' } });
    for (let i = 0; i < 100; i++) await zfs.create(play.name('many', `n${String(i)}`));
    const rows = await zfs.list(play.name('many'), { depth: 1 });
    expect(rows).toHaveLength(101);
    expect(rows[0]?.name).toBe(play.name('many'));
    await zfs.destroy(play.name('many'), { recursive: true });
    await expect(stat(at('many'))).rejects.toThrow();
  });
});

/** Writes random bytes until the file system has no room left. */
async function fill(file: string): Promise<void> {
  const { randomBytes } = await import('node:crypto');
  const handle = await open(file, 'w');
  try {
    for (;;) await handle.write(randomBytes(256 * 1024));
  } catch (error) {
    if (errnoOf(error) !== 'ENOSPC') throw error;
  } finally {
    await handle.close();
  }
}
