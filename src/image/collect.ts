/**
 * Finds what killed imports, removals and verifications have left, and what no image needs any more, and removes it; mends the
 * indexes. Every trace of a work in progress belongs to a lease that was taken before: so first look at the traces, then ask the
 * leases. One failure does not keep the rest from being done.
 */
import { existsSync, lstatSync, rmSync } from 'node:fs';
import path from 'node:path';

import { ImageError } from '../errors.ts';
import { isAnswered, UNFINISHED_LEASE } from '../host/lease.ts';
import { withLock } from '../host/lock.ts';
import type { ImageId } from '../schema/appc.ts';
import { dropUnneeded, isUnneeded, uuidOfPartial } from './blobs.ts';
import { addToChains, isInChains, readWholeChains, removeChainFile } from './chains.ts';
import { readFetchedFiles, removeFetchedFile } from './fetched.ts';
import { addToIndex, readWholeIndex, removeIndexFile } from './index-of-names.ts';
import type { ImagePorts } from './ports.ts';
import { dropScratch, removeMountFolder } from './scratch.ts';
import {
  asideDir,
  FILES,
  findMeta,
  type ImageMeta,
  parseImageId,
  readFolder,
  readImageIds,
  readIndex,
  uuidOfAside,
} from './store.ts';
import { collectTrash, discardDataset } from './trash.ts';

export interface CollectOptions {
  /** Report what would be done, and do nothing. */
  readonly dryRun?: boolean;
}

export interface Collected {
  /** A dataset, folder or file, by name. */
  readonly what: string;
  readonly why: string;
}

export interface CollectReport {
  readonly removed: readonly Collected[];
  /** Entries of indexes that were missing. */
  readonly mended: readonly Collected[];
  readonly kept: readonly Collected[];
}

type Ports = Pick<ImagePorts, 'zfs' | 'layout' | 'clock'>;

/** A lease that does not have its name yet may still be about to listen. */
const UNFINISHED_LEASE_MS = 60_000;
const INTERRUPTED = 'left by work that was interrupted';
const NOT_INDEXED = 'was missing from the index';
const NO_IMAGE = 'there is no such image any more';
const AT_WORK = 'somebody is at work on it';

export async function collectImages(
  ports: Ports,
  options: CollectOptions = {},
): Promise<CollectReport> {
  const work = new Collection(options.dryRun ?? false);
  await collectScratch(ports, work);
  await collectAside(ports, work);
  await withLock(ports.layout.dir.locks, 'images', async () => {
    await collectOrphans(ports, work);
    await collectTrashed(ports, work);
    await mendIndex(ports, work);
    await mendChains(ports, work);
    await collectFetched(ports, work);
  });
  await collectBlobs(ports, work);
  await collectLeases(ports, work);
  const { removed, mended, kept } = work;
  return { removed, mended, kept };
}

class Collection implements CollectReport {
  readonly removed: Collected[] = [];
  readonly mended: Collected[] = [];
  readonly kept: Collected[] = [];
  readonly dryRun: boolean;
  /** Links to blobs that go away with their folders: a dry run has to do without their going. */
  readonly goingLinks = new Map<string, number>();

  constructor(dryRun: boolean) {
    this.dryRun = dryRun;
  }

  async remove(what: string, why: string, remove: () => Promise<void> | void): Promise<void> {
    await this.#do(this.removed, what, why, remove);
  }

  async mend(what: string, why: string, mend: () => void): Promise<void> {
    await this.#do(this.mended, what, why, mend);
  }

  keep(what: string, why: string): void {
    this.kept.push({ what, why });
  }

  async #do(
    list: Collected[],
    what: string,
    why: string,
    action: () => Promise<void> | void,
  ): Promise<void> {
    try {
      if (!this.dryRun) await action();
      list.push({ what, why });
    } catch (error) {
      this.keep(what, error instanceof Error ? error.message : String(error));
    }
  }
}

/** Datasets build/<uuid>, and the empty folders that they were mounted at. */
async function collectScratch({ zfs, layout }: Ports, work: Collection): Promise<void> {
  const rows = await zfs.list(layout.dataset.build, { depth: 1, types: ['filesystem'] });
  const uuids = rows
    .filter(({ name }) => name !== layout.dataset.build)
    .map(({ name }) => name.slice(layout.dataset.build.length + 1));
  for (const uuid of uuids) {
    const dataset = layout.dataset.scratch(uuid);
    if (await isAnswered(layout.dir.lease(uuid))) work.keep(dataset, AT_WORK);
    else await work.remove(dataset, INTERRUPTED, () => dropScratch(zfs, layout, uuid));
  }
  for (const name of readFolder(path.dirname(layout.dir.scratch('x')))) {
    if (uuids.includes(name) || (await isAnswered(layout.dir.lease(name)))) continue;
    await work.remove(layout.dir.scratch(name), INTERRUPTED, () => {
      removeMountFolder(layout, name);
    });
  }
}

/** Folders images/.<uuid>. */
async function collectAside({ layout }: Ports, work: Collection): Promise<void> {
  for (const name of readFolder(layout.dir.images)) {
    const uuid = uuidOfAside(name);
    if (uuid === undefined) continue;
    const dir = asideDir(layout, uuid);
    if (await isAnswered(layout.dir.lease(uuid))) work.keep(dir, AT_WORK);
    else {
      for (const file of readFolder(path.join(dir, FILES.blobs))) {
        work.goingLinks.set(file, (work.goingLinks.get(file) ?? 0) + 1);
      }
      await work.remove(dir, INTERRUPTED, () => {
        rmSync(dir, { recursive: true, force: true });
      });
    }
  }
}

/** Datasets images/<id> without a folder. Under the lock, or the import that is about to rename the folder would lose its dataset. */
async function collectOrphans(ports: Ports, work: Collection): Promise<void> {
  const { zfs, layout } = ports;
  const rows = await zfs.list(layout.dataset.images, { depth: 1, types: ['filesystem'] });
  const names = new Set<string>(rows.map(({ name }) => name));
  for (const { name } of rows) {
    if (name === layout.dataset.images) continue;
    if (!existsSync(layout.dir.image(name.slice(layout.dataset.images.length + 1)))) {
      await work.remove(name, INTERRUPTED, () => discardDataset(ports, name));
    }
  }
  for (const id of readImageIds(layout)) {
    if (names.has(layout.dataset.image(id))) continue;
    work.keep(
      layout.dir.image(id),
      `the image has lost its dataset: remove it with jetpack image rm`,
    );
  }
}

async function collectTrashed(ports: Ports, work: Collection): Promise<void> {
  const { removed, kept } = await collectTrash(ports, work);
  for (const what of removed) work.removed.push({ what, why: 'it waited in the trash' });
  for (const { what, why } of kept) work.keep(what, why);
}

async function mendIndex({ layout }: Ports, work: Collection): Promise<void> {
  for (const { folder, id } of readWholeIndex(layout)) {
    const known = parseImageId(id);
    if (known !== undefined && existsSync(layout.dir.image(known))) continue;
    await work.remove(path.join(layout.dir.imageNames, folder, id), NO_IMAGE, () => {
      removeIndexFile(layout, folder, id);
    });
  }
  for (const id of readImageIds(layout)) {
    try {
      const meta = findMeta(layout, id);
      if (meta === undefined) work.keep(layout.dir.image(id), 'the image has lost its metadata');
      else if (!readIndex(layout, meta.name).includes(id)) {
        await work.mend(path.join(layout.dir.imageName(meta.name), id), NOT_INDEXED, () => {
          addToIndex(layout, meta);
        });
      }
    } catch (error) {
      if (!(error instanceof ImageError)) throw error;
      work.keep(layout.dir.image(id), error.message);
    }
  }
}

async function mendChains({ layout }: Ports, work: Collection): Promise<void> {
  for (const { folder, id } of readWholeChains(layout)) {
    const known = parseImageId(id);
    if (known !== undefined && existsSync(layout.dir.image(known))) continue;
    await work.remove(path.join(layout.dir.chains, folder, id), NO_IMAGE, () => {
      removeChainFile(layout, folder, id);
    });
  }
  for (const id of readImageIds(layout)) {
    const meta = findWhole(layout, id);
    if (meta === undefined || isInChains(layout, meta)) continue;
    await work.mend(`${layout.dir.chains} (${id})`, NOT_INDEXED, () => {
      addToChains(layout, meta);
    });
  }
}

/** Undefined for a damaged one too: that is told of elsewhere. */
function findWhole(layout: Ports['layout'], id: ImageId): ImageMeta | undefined {
  try {
    return findMeta(layout, id);
  } catch (error) {
    if (error instanceof ImageError) return undefined;
    throw error;
  }
}

/** Files that no image has a link to, and what interrupted downloads have left. */
async function collectBlobs({ layout }: Ports, work: Collection): Promise<void> {
  const names = readFolder(layout.dir.blobs);
  for (const name of names) {
    const uuid = uuidOfPartial(name);
    if (uuid === undefined) continue;
    const file = path.join(layout.dir.blobs, name);
    if (await isAnswered(layout.dir.lease(uuid))) work.keep(file, AT_WORK);
    else {
      await work.remove(file, INTERRUPTED, () => {
        rmSync(file, { force: true });
      });
    }
  }
  // Second: a whole file may have had its last other link among those.
  for (const name of names) {
    if (uuidOfPartial(name) !== undefined) continue;
    const file = path.join(layout.dir.blobs, name);
    const going = work.dryRun ? (work.goingLinks.get(name) ?? 0) : 0;
    if (!isUnneeded(file, going)) continue;
    await work.remove(file, 'no image needs it', () => {
      dropUnneeded({ layout }, name);
    });
  }
}

/** What references were when they were fetched, of images that are gone. Under the lock. */
async function collectFetched({ layout }: Ports, work: Collection): Promise<void> {
  for (const { file, fetched } of readFetchedFiles(layout)) {
    if (fetched !== undefined && existsSync(layout.dir.image(fetched.id))) continue;
    await work.remove(file, fetched === undefined ? INTERRUPTED : NO_IMAGE, () => {
      removeFetchedFile(file);
    });
  }
}

/** Sockets that nobody listens on any more. Last: until here they were the sign that something is garbage. */
async function collectLeases({ layout, clock }: Ports, work: Collection): Promise<void> {
  for (const name of readFolder(layout.dir.leases)) {
    const file = layout.dir.lease(name);
    const age = clock.now().getTime() - (lstatSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0);
    if (name.endsWith(UNFINISHED_LEASE) && age < UNFINISHED_LEASE_MS) continue;
    if (await isAnswered(file)) continue;
    await work.remove(file, INTERRUPTED, () => {
      rmSync(file, { force: true });
    });
  }
}
