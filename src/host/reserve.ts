/**
 * The reserve: an empty dataset with a reservation. In a full pool even a rename or an empty file fails (on zfs-fuse; kernel ZFS
 * keeps some slop of its own), and so would everything that makes room. Destroying a dataset always works: the reserve
 * goes first, then what was asked for, then the reserve is made again.
 */
import { errnoOf, ZfsError } from '../errors.ts';
import type { Properties, Zfs } from '../zfs/zfs.ts';
import type { Layout } from './layout.ts';

export const RESERVE_PROPERTIES: Properties = {
  canmount: 'off',
  mountpoint: 'none',
  reservation: '16M',
};

/** Below this the pool counts as full. */
const FULL_BYTES = 1024 * 1024;

export interface ReservePorts {
  readonly zfs: Zfs;
  readonly layout: Layout;
}

/** ENOSPC, EDQUOT or ZFS_NO_SPACE, of the error or of a cause of it. */
export function isOutOfSpace(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) {
    const errno = errnoOf(at);
    if (errno === 'ENOSPC' || errno === 'EDQUOT') return true;
    if (at instanceof ZfsError && at.code === 'ZFS_NO_SPACE') return true;
  }
  return false;
}

async function giveUp({ zfs, layout }: ReservePorts): Promise<void> {
  try {
    await zfs.destroy(layout.dataset.reserve);
  } catch (error) {
    if (!(error instanceof ZfsError) || error.code !== 'ZFS_MISSING') throw error;
  }
}

/** Idempotent. That there is no room for it yet is no failure: the next removal tries again. */
async function takeAgain({ zfs, layout }: ReservePorts): Promise<void> {
  try {
    if (await zfs.exists(layout.dataset.reserve)) return;
    await zfs.create(layout.dataset.reserve, { properties: RESERVE_PROPERTIES });
  } catch (error) {
    if (!(error instanceof ZfsError)) throw error;
  }
}

/** For one removal: when it fails for want of space, it is tried once more with the reserve given up. */
export async function withReserve<T>(ports: ReservePorts, removal: () => Promise<T>): Promise<T> {
  try {
    return await removal();
  } catch (error) {
    if (!isOutOfSpace(error)) throw error;
  }
  await giveUp(ports);
  try {
    return await removal();
  } finally {
    await takeAgain(ports);
  }
}

/** For a collection, which goes on past what fails: the reserve is given up before, if the pool is full. */
export async function collectWithReserve<T>(
  ports: ReservePorts,
  collection: () => Promise<T>,
): Promise<T> {
  if ((await ports.zfs.availableBytes(ports.layout.dataset.root)) < FULL_BYTES) await giveUp(ports);
  try {
    return await collection();
  } finally {
    await takeAgain(ports);
  }
}
