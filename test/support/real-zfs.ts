/** The ZFS of this host as the tests use it: the adapter on the real programs, and a dataset of their own. */
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { childExec } from '../../src/exec/child.ts';
import type { Argv } from '../../src/exec/exec.ts';
import { createZfs } from '../../src/zfs/cli.ts';
import { oneAtATime } from '../../src/zfs/one-at-a-time.ts';
import type { DatasetName, Zfs } from '../../src/zfs/zfs.ts';

export function toolPath(name: string): string {
  const found = ['/usr/sbin', '/sbin', '/usr/bin', '/bin', '/usr/local/sbin']
    .map((dir) => path.join(dir, name))
    .find((file) => existsSync(file));
  return found ?? `/usr/sbin/${name}`;
}

/** As jetpack starts it on this host. */
export function zfsArgv(name: 'zfs' | 'zpool'): Argv {
  return existsSync('/dev/zfs') ? [toolPath(name)] : oneAtATime(toolPath(name), toolPath('flock'));
}

export function realZfs(): Zfs {
  return createZfs({
    run: childExec.run,
    zfs: zfsArgv('zfs'),
    zpool: zfsArgv('zpool'),
    setfattr: toolPath('setfattr'),
  });
}

export interface Playground {
  readonly root: DatasetName;
  /** Where `root` is mounted. */
  readonly dir: string;
  name(...parts: string[]): DatasetName;
  remove(): Promise<void>;
}

/** A mounted dataset of its own in the pool; `remove` leaves neither it nor its folder. */
export async function createPlayground(zfs: Zfs, pool: string): Promise<Playground> {
  const base = await mkdtemp(path.join(tmpdir(), 'jetpack-zfs-'));
  const dir = path.join(base, 'mnt');
  const root = `${pool}/test-${randomUUID()}` as DatasetName;
  await zfs.create(root, { properties: { mountpoint: dir } });
  return {
    root,
    dir,
    name: (...parts) => [root, ...parts].join('/') as DatasetName,
    async remove() {
      const rows = await zfs.list(root);
      // Clones first: a recursive destroy never takes them along.
      for (const row of rows.filter((each) => each.origin !== undefined))
        await zfs.destroy(row.name, { recursive: true });
      await zfs.destroy(root, { recursive: true });
      await rm(base, { recursive: true });
    },
  };
}
