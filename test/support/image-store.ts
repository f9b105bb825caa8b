/** A store on the test pool, as `jetpack init` lays it out, without the host's accounts and configuration. */
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';

import { childExec } from '../../src/exec/child.ts';
import { plannedDatasets, plannedFolders } from '../../src/host/initialise.ts';
import { createLayout, type Layout } from '../../src/host/layout.ts';
import type { ImagePorts } from '../../src/image/ports.ts';
import type { DatasetName, Zfs } from '../../src/zfs/zfs.ts';
import { realZfs, toolPath } from './real-zfs.ts';

export interface TestStore {
  readonly ports: ImagePorts;
  readonly layout: Layout;
  readonly zfs: Zfs;
  remove(): Promise<void>;
}

export const SHIM = path.resolve(import.meta.dirname, '../../shim/build/jetpack-shim');

/** The ports of a store that is there already: for child processes of a test. */
export function openStore(root: DatasetName, dir: string): { ports: ImagePorts; layout: Layout } {
  const layout = createLayout(root, dir);
  const tools = { xz: toolPath('xz'), bzip2: toolPath('bzip2'), shim: SHIM };
  return {
    layout,
    ports: { zfs: realZfs(), exec: childExec, layout, clock: { now: () => new Date() }, tools },
  };
}

export async function createStore(pool: string): Promise<TestStore> {
  // Short, since the path of a lease is the path of a socket.
  const dir = await mkdtemp('/tmp/jp-');
  const root = `${pool}/t-${randomUUID().slice(0, 8)}` as DatasetName;
  const { ports, layout } = openStore(root, dir);
  const { zfs } = ports;
  const features = { mounting: 'fuse', lz4: false, xattrSa: false } as const;
  for (const { name, properties } of plannedDatasets(layout, features)) {
    await zfs.create(name, { properties });
  }
  for (const folder of plannedFolders(layout)) {
    mkdirSync(folder.path, { recursive: true, mode: folder.mode });
  }
  return {
    ports,
    layout,
    zfs,
    async remove() {
      const rows = await zfs.list(root);
      for (const row of rows.filter((each) => each.origin !== undefined)) {
        await zfs.destroy(row.name, { recursive: true });
      }
      // zfs-fuse lets go of what was mounted when it pleases.
      await zfs.destroy(root, { recursive: true, busyTimeoutMs: 60_000 });
      if (existsSync(dir)) await rm(dir, { recursive: true });
    },
  };
}
