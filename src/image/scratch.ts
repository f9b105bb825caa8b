/** A file system to unpack into, or to look into: `build/<uuid>`, mounted at its folder for as long as its lease lives. */
import { lstatSync, rmdirSync } from 'node:fs';
import path from 'node:path';

import { errnoOf, HostError, ZfsError } from '../errors.ts';
import type { Layout } from '../host/layout.ts';
import type { DatasetName, Zfs } from '../zfs/zfs.ts';

/**
 * Throws IO_FAILED unless something is mounted on the scratch folder: what is written there must go into the dataset, never
 * into the file system below it.
 */
export async function ensureMounted(zfs: Zfs, layout: Layout, uuid: string): Promise<string> {
  const dir = layout.dir.scratch(uuid);
  if (!isMountPoint(dir)) await zfs.mount(layout.dataset.scratch(uuid));
  if (isMountPoint(dir)) return dir;
  throw new HostError('IO_FAILED', `${layout.dataset.scratch(uuid)} is not mounted at ${dir}`, {
    remedies: [
      `look at its mountpoint with: zfs get mountpoint,canmount ${layout.dataset.scratch(uuid)}`,
    ],
  });
}

function isMountPoint(dir: string): boolean {
  const own = lstatSync(dir, { throwIfNoEntry: false });
  const parent = lstatSync(path.dirname(dir), { throwIfNoEntry: false });
  return own !== undefined && parent !== undefined && own.dev !== parent.dev;
}

/** Idempotent: the dataset and the folder it was mounted at are gone. */
export async function dropScratch(zfs: Zfs, layout: Layout, uuid: string): Promise<void> {
  await destroyIfThere(zfs, layout.dataset.scratch(uuid));
  removeMountFolder(layout, uuid);
}

/** After megabytes of writes zfs-fuse needs seconds to let go of a file system. */
export const BUSY_TIMEOUT_MS = 10_000;

export async function destroyIfThere(zfs: Zfs, dataset: DatasetName): Promise<void> {
  try {
    await zfs.destroy(dataset, { recursive: true, busyTimeoutMs: BUSY_TIMEOUT_MS });
  } catch (error) {
    if (!(error instanceof ZfsError) || error.code !== 'ZFS_MISSING') throw error;
  }
}

/** The empty folder that zfs makes to mount on, and may leave behind. Never more than an empty one is removed. */
export function removeMountFolder(layout: Layout, uuid: string): void {
  try {
    rmdirSync(layout.dir.scratch(uuid));
  } catch (error) {
    const errno = errnoOf(error);
    // Busy: zfs-fuse is still letting go of it; gc takes the folder later.
    if (errno !== 'ENOENT' && errno !== 'EBUSY') throw error;
  }
}
