/**
 * Finds what killed imports, removals and verifications have left, and removes it; mends the index. Every trace of a work in
 * progress belongs to a lease that was taken before: so first look at the traces, then ask the leases. One failure does not
 * keep the rest from being done.
 */
import { existsSync, lstatSync, rmSync } from 'node:fs';
import path from 'node:path';

import { ImageError } from '../errors.ts';
import { isAnswered, UNFINISHED_LEASE } from '../host/lease.ts';
import { withLock } from '../host/lock.ts';
import { addToIndex, readWholeIndex, removeIndexFile } from './index-of-names.ts';
import type { ImagePorts } from './ports.ts';
import { destroyIfThere, dropScratch, removeMountFolder } from './scratch.ts';
import {
  asideDir,
  findMeta,
  parseImageId,
  readFolder,
  readImageIds,
  readIndex,
  uuidOfAside,
} from './store.ts';

export interface CollectOptions {
  /** Report what would be done, and do nothing. */
  readonly dryRun?: boolean;
}

export interface CollectReport {
  /** Datasets, folders and files, by name. */
  readonly removed: readonly string[];
  /** Index entries that were missing. */
  readonly mended: readonly string[];
  readonly kept: readonly { readonly what: string; readonly why: string }[];
}

type Ports = Pick<ImagePorts, 'zfs' | 'layout' | 'clock'>;

/** A lease that does not have its name yet may still be about to listen. */
const UNFINISHED_LEASE_MS = 60_000;

export async function collectImages(
  ports: Ports,
  options: CollectOptions = {},
): Promise<CollectReport> {
  const work = new Collection(options.dryRun ?? false);
  await collectScratch(ports, work);
  await collectAside(ports, work);
  await withLock(ports.layout.dir.locks, 'images', async () => {
    await collectOrphans(ports, work);
    await mendIndex(ports, work);
  });
  await collectLeases(ports, work);
  return work;
}

class Collection implements CollectReport {
  readonly removed: string[] = [];
  readonly mended: string[] = [];
  readonly kept: { readonly what: string; readonly why: string }[] = [];
  readonly #dryRun: boolean;

  constructor(dryRun: boolean) {
    this.#dryRun = dryRun;
  }

  async remove(what: string, remove: () => Promise<void> | void): Promise<void> {
    await this.#do(this.removed, what, remove);
  }

  async mend(what: string, mend: () => void): Promise<void> {
    await this.#do(this.mended, what, mend);
  }

  keep(what: string, why: string): void {
    this.kept.push({ what, why });
  }

  async #do(list: string[], what: string, action: () => Promise<void> | void): Promise<void> {
    try {
      if (!this.#dryRun) await action();
      list.push(what);
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
    if (await isAnswered(layout.dir.lease(uuid))) work.keep(dataset, 'somebody is at work on it');
    else await work.remove(dataset, () => dropScratch(zfs, layout, uuid));
  }
  for (const name of readFolder(path.dirname(layout.dir.scratch('x')))) {
    if (uuids.includes(name) || (await isAnswered(layout.dir.lease(name)))) continue;
    await work.remove(layout.dir.scratch(name), () => {
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
    if (await isAnswered(layout.dir.lease(uuid))) work.keep(dir, 'somebody is at work on it');
    else {
      await work.remove(dir, () => {
        rmSync(dir, { recursive: true, force: true });
      });
    }
  }
}

/** Datasets images/<id> without a folder. Under the lock, or the import that is about to rename the folder would lose its dataset. */
async function collectOrphans({ zfs, layout }: Ports, work: Collection): Promise<void> {
  const rows = await zfs.list(layout.dataset.images, { depth: 1, types: ['filesystem'] });
  const names = new Set<string>(rows.map(({ name }) => name));
  for (const { name } of rows) {
    if (name === layout.dataset.images) continue;
    if (!existsSync(layout.dir.image(name.slice(layout.dataset.images.length + 1)))) {
      await work.remove(name, () => destroyIfThere(zfs, name));
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

async function mendIndex({ layout }: Ports, work: Collection): Promise<void> {
  for (const { folder, id } of readWholeIndex(layout)) {
    const known = parseImageId(id);
    if (known !== undefined && existsSync(layout.dir.image(known))) continue;
    await work.remove(path.join(layout.dir.imageNames, folder, id), () => {
      removeIndexFile(layout, folder, id);
    });
  }
  for (const id of readImageIds(layout)) {
    try {
      const meta = findMeta(layout, id);
      if (meta === undefined) work.keep(layout.dir.image(id), 'the image has lost its metadata');
      else if (!readIndex(layout, meta.name).includes(id)) {
        await work.mend(path.join(layout.dir.imageName(meta.name), id), () => {
          addToIndex(layout, meta);
        });
      }
    } catch (error) {
      if (!(error instanceof ImageError)) throw error;
      work.keep(layout.dir.image(id), error.message);
    }
  }
}

/** Sockets that nobody listens on any more. Last: until here they were the sign that something is garbage. */
async function collectLeases({ layout, clock }: Ports, work: Collection): Promise<void> {
  for (const name of readFolder(layout.dir.leases)) {
    const file = layout.dir.lease(name);
    const age = clock.now().getTime() - (lstatSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0);
    if (name.endsWith(UNFINISHED_LEASE) && age < UNFINISHED_LEASE_MS) continue;
    if (await isAnswered(file)) continue;
    await work.remove(file, () => {
      rmSync(file, { force: true });
    });
  }
}
