/**
 * Datasets that belong to nobody any more, while others are clones of their snapshots: `trash/<uuid>`. Only what the clones need is
 * kept; the rest is freed at once, and all of it with the last clone. A clone is never promoted: it would take the snapshots of
 * the other, and with them the names by which new images find them.
 */
import { randomUUID } from 'node:crypto';

import { JetpackError, ZfsError } from '../errors.ts';
import type { DatasetName, DatasetRow, Zfs } from '../zfs/zfs.ts';
import type { ImagePorts } from './ports.ts';
import { BUSY_TIMEOUT_MS, destroyIfThere } from './scratch.ts';

type Ports = Pick<ImagePorts, 'zfs' | 'layout'>;

/**
 * Idempotent: no dataset has the name any more. `refuse` is given the clones that are in the way, before anything is done, and
 * may throw.
 */
export async function discardDataset(
  ports: Ports,
  dataset: DatasetName,
  refuse: (clones: readonly DatasetName[]) => void = () => undefined,
): Promise<void> {
  const { zfs, layout } = ports;
  try {
    await destroyIfThere(zfs, dataset);
    return;
  } catch (error) {
    if (!(error instanceof ZfsError) || error.code !== 'ZFS_HAS_CLONES') throw error;
  }
  const clones = (await fileSystems(ports)).filter(({ origin }) => isSnapshotOf(origin, dataset));
  refuse(clones.map(({ name }) => name));
  const trashed = layout.dataset.trashed(randomUUID());
  await zfs.rename(dataset, trashed, { busyTimeoutMs: BUSY_TIMEOUT_MS });
  await prune(ports, trashed);
}

export interface TrashReport {
  readonly removed: readonly DatasetName[];
  readonly kept: readonly { readonly what: DatasetName; readonly why: string }[];
}

/**
 * Destroys what waits in the trash and is needed by no clone any more, and prunes the rest. One that goes may have been the last
 * clone of another: so again, until nothing goes.
 */
export async function collectTrash(
  ports: Ports,
  options: { readonly dryRun?: boolean } = {},
): Promise<TrashReport> {
  const { zfs, layout } = ports;
  const removed: DatasetName[] = [];
  let waiting = (await zfs.list(layout.dataset.trash, { depth: 1, types: ['filesystem'] }))
    .map(({ name }) => name)
    .filter((name) => name !== layout.dataset.trash);
  if (waiting.length === 0) return { removed, kept: [] };
  if (options.dryRun === true) return planTrash(await fileSystems(ports), waiting);
  let kept: { what: DatasetName; why: string }[] = [];
  for (let gone = true; gone;) {
    gone = false;
    kept = [];
    for (const name of waiting) {
      const why = await tryDestroy(ports, name);
      if (why !== undefined) {
        kept.push({ what: name, why });
        continue;
      }
      removed.push(name);
      gone = true;
    }
    waiting = kept.map(({ what }) => what);
  }
  return { removed, kept };
}

/** What `collectTrash` would do: pure. */
export function planTrash(
  rows: readonly Pick<DatasetRow, 'name' | 'origin'>[],
  waiting: readonly DatasetName[],
): TrashReport {
  const removed: DatasetName[] = [];
  let left = rows;
  for (let gone = true; gone;) {
    gone = false;
    for (const name of waiting) {
      if (removed.includes(name) || clonesOf(left, name).length > 0) continue;
      removed.push(name);
      left = left.filter((row) => row.name !== name && !row.name.startsWith(`${name}/`));
      gone = true;
    }
  }
  const kept = waiting
    .filter((name) => !removed.includes(name))
    .map((what) => ({ what, why: neededBy(clonesOf(left, what)) }));
  return { removed, kept };
}

/** Resolves with why it is still there. */
async function tryDestroy(ports: Ports, name: DatasetName): Promise<string | undefined> {
  try {
    await destroyIfThere(ports.zfs, name);
    return undefined;
  } catch (error) {
    if (!(error instanceof JetpackError)) throw error;
    if (!(error instanceof ZfsError) || error.code !== 'ZFS_HAS_CLONES') return error.message;
  }
  try {
    const clones = clonesOf(await fileSystems(ports), name);
    await prune(ports, name);
    return neededBy(clones);
  } catch (error) {
    if (!(error instanceof JetpackError)) throw error;
    return error.message;
  }
}

function neededBy(clones: readonly DatasetName[]): string {
  return clones.length === 0
    ? 'clones of it are needed'
    : `${clones.slice(0, 5).join(', ')}${clones.length > 5 ? ', …' : ''} share${clones.length === 1 ? 's' : ''} data with it`;
}

/**
 * Takes away from a dataset whose head nobody needs what its clones do not need: snapshots without clones, and what was written
 * after the newest that stays. Nothing here can take a clone's data: zfs refuses to.
 */
async function prune(ports: Ports, dataset: DatasetName): Promise<void> {
  const { zfs } = ports;
  const needed = new Set((await fileSystems(ports)).map(({ origin }) => origin));
  const rows = await zfs.list(dataset, { depth: 1, types: ['filesystem', 'snapshot'] });
  const head = rows.find(({ name }) => name === dataset);
  const staying: DatasetRow[] = [];
  for (const row of rows) {
    if (row.type !== 'snapshot') continue;
    if (needed.has(row.name) || !(await destroySnapshot(zfs, row.name))) staying.push(row);
  }
  if (head === undefined) return;
  staying.sort((a, b) => (b.createdAtS ?? 0) - (a.createdAtS ?? 0));
  // The newest of them has all that the head has, in the usual case.
  for (const { name, referencedBytes } of staying) {
    const isNewest = await rollBack(zfs, name, head.referencedBytes !== referencedBytes);
    if (isNewest) return;
  }
}

/** False when somebody has cloned it: outside of our datasets, or just now. */
async function destroySnapshot(zfs: Zfs, snapshot: DatasetName): Promise<boolean> {
  try {
    await zfs.destroy(snapshot);
    return true;
  } catch (error) {
    if (!(error instanceof ZfsError)) throw error;
    if (error.code === 'ZFS_MISSING') return true;
    if (error.code === 'ZFS_HAS_CLONES' || error.code === 'ZFS_BUSY') return false;
    throw error;
  }
}

/** True when there is nothing more to try. The order of snapshots of one second is known to zfs only: it refuses all but the newest. */
async function rollBack(zfs: Zfs, snapshot: DatasetName, isAnother: boolean): Promise<boolean> {
  if (!isAnother) return true;
  try {
    await zfs.rollback(snapshot);
    return true;
  } catch (error) {
    if (!(error instanceof ZfsError)) throw error;
    return false;
  }
}

async function fileSystems({ zfs, layout }: Ports): Promise<readonly DatasetRow[]> {
  return zfs.list(layout.dataset.root, { types: ['filesystem'] });
}

function isSnapshotOf(snapshot: DatasetName | undefined, dataset: DatasetName): boolean {
  return snapshot?.startsWith(`${dataset}@`) === true;
}

/** Also of snapshots of what is below it (the trash has whole pods), but not what is below it itself. */
function clonesOf(
  rows: readonly Pick<DatasetRow, 'name' | 'origin'>[],
  dataset: DatasetName,
): readonly DatasetName[] {
  return rows
    .filter(
      ({ name, origin }) =>
        (isSnapshotOf(origin, dataset) || origin?.startsWith(`${dataset}/`) === true) &&
        !name.startsWith(`${dataset}/`),
    )
    .map(({ name }) => name);
}
