/**
 * What every way into the store shares: an image is made aside, and is visible only once it is whole.
 *
 * lease → [fill: dataset build/<uuid>, folder images/.<uuid>] → seal → under the lock: dataset to images/<id>, folder to images/<id>
 * (from here on the image exists), index. A failure takes everything back; after SIGKILL `collect` does, because the lease is
 * no longer answered.
 */
import { randomUUID } from 'node:crypto';
import { existsSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';

import { errnoOf, ImageError, JetpackError, ZfsError } from '../errors.ts';
import { parseDigest } from '../formats/oci/model.ts';
import { makeFolder } from '../host/exact-mode.ts';
import type { Layout } from '../host/layout.ts';
import { takeLease } from '../host/lease.ts';
import { withLock } from '../host/lock.ts';
import type { ImageManifest } from '../schema/image-manifest.ts';
import type { DatasetName, Properties } from '../zfs/zfs.ts';
import { digestOfBlobName, dropUnneeded, makeLinkFolder } from './blobs.ts';
import { addToIndex } from './index-of-names.ts';
import type { ImagePorts } from './ports.ts';
import { destroyIfThere, dropScratch, ensureMounted, removeMountFolder } from './scratch.ts';
import {
  asideDir,
  FILES,
  findMeta,
  type ImageMeta,
  readFolder,
  sealOf,
  syncFolder,
  writeDurably,
} from './store.ts';
import { discardDataset } from './trash.ts';
import { createUndo } from './undo.ts';

/** An image in the making. */
export interface Making {
  /** Of its lease. */
  readonly uuid: string;
  /** `build/<uuid>`: `createTree` makes it. */
  readonly scratch: DatasetName;
  /** `images/.<uuid>`, which becomes the image's folder. */
  readonly aside: string;
  /** The folder in it for links to blobs. */
  readonly blobs: string;
}

export interface Filled {
  readonly meta: ImageMeta;
  readonly manifest: ImageManifest;
}

export interface MakingOptions {
  /** Something that should have been taken back is still there; gc will find it. */
  readonly onUndoFailure?: (failure: string) => void;
  /** Under the lock, once the image exists: further indexes. What it throws is thrown, but the image stays. */
  readonly onPublished?: (meta: ImageMeta) => void;
}

/**
 * `fill` makes the dataset and the files, and ends with `sealImage`. Resolves with what it returned, or with `existing`, the metadata
 * of the same image, when that was there already: nothing has changed then. When it rejects the store is as before.
 */
export async function makeImage<T extends Filled>(
  ports: ImagePorts,
  options: MakingOptions,
  fill: (making: Making) => Promise<T>,
): Promise<T & { readonly existing: ImageMeta | undefined }> {
  const { layout, zfs } = ports;
  const uuid = randomUUID();
  const aside = asideDir(layout, uuid);
  const making: Making = {
    uuid,
    aside,
    scratch: layout.dataset.scratch(uuid),
    blobs: path.join(aside, FILES.blobs),
  };
  const lease = await takeLease(layout.dir.lease(uuid));
  const undo = createUndo();
  try {
    undo.push(`remove ${aside}`, () => {
      dropAside(layout, aside);
    });
    undo.push(`destroy ${making.scratch}`, () => dropScratch(zfs, layout, uuid));
    makeFolder(aside, 0o755);
    makeLinkFolder(making.blobs);
    const filled = await fill(making);
    const existing = await publish(ports, making, filled.meta, options, () => {
      undo.forget();
    });
    return { ...filled, existing };
  } catch (error) {
    throw withSpaceRemedy(error, layout.dataset.build);
  } finally {
    const failures = await undo.run();
    lease.release();
    // Not thrown: gc finds what is left, and the reason for the undo matters more.
    for (const failure of failures) options.onUndoFailure?.(failure);
  }
}

/** The dataset of an image in the making, empty or a clone of `from`, and mounted. Returns the folder it is mounted at. */
export async function createTree(
  { zfs, layout }: ImagePorts,
  making: Making,
  options: { readonly source: string; readonly from?: DatasetName },
): Promise<string> {
  const properties: Properties = { 'io.jetpack:source': propertyText(options.source) };
  if (options.from === undefined) await zfs.create(making.scratch, { properties });
  else await zfs.clone(options.from, making.scratch, { properties });
  return ensureMounted(zfs, layout, making.uuid);
}

/** Writes the metadata and seals the tree: all is on disk when it returns, and nothing is mounted. */
export async function sealImage(
  { zfs }: ImagePorts,
  making: Making,
  image: Filled & { readonly manifestBytes: Uint8Array },
  signal?: AbortSignal,
): Promise<void> {
  const { aside, scratch } = making;
  writeDurably(path.join(aside, FILES.manifest), image.manifestBytes, 0o444);
  writeDurably(path.join(aside, FILES.parsed), `${JSON.stringify(image.manifest)}\n`, 0o444);
  writeDurably(path.join(aside, FILES.meta), `${JSON.stringify(image.meta, null, 2)}\n`, 0o444);
  syncFolder(making.blobs);
  syncFolder(aside);
  // A snapshot holds everything written before it, and is on disk when the command returns: no sync is needed.
  signal?.throwIfAborted();
  await zfs.snapshot(sealOf(scratch));
  signal?.throwIfAborted();
  // Rename would do it too; but zfs-fuse mounts again what it cannot rename yet, and so stays busy.
  await zfs.unmount(scratch);
}

/** A gc may destroy much under the same lock, and an image that has been downloaded and unpacked is worth the wait. */
const PATIENCE_MS = 600_000;

/** Resolves with the image that was there already, or with undefined when this one is in its place now. */
async function publish(
  ports: ImagePorts,
  making: Making,
  meta: ImageMeta,
  options: MakingOptions,
  onExists: () => void,
): Promise<ImageMeta | undefined> {
  const { zfs, layout } = ports;
  const dataset = layout.dataset.image(meta.id);
  const dir = layout.dir.image(meta.id);
  return withLock(
    layout.dir.locks,
    'images',
    async () => {
      if (existsSync(dir)) {
        addToIndex(layout, meta);
        const existing = findMeta(layout, meta.id);
        if (existing === undefined) throw lostMetadata(meta);
        mendArchive(making, existing, dir);
        return existing;
      }
      refuseLostDependency(layout, meta);
      // Without a folder there is no image: what an import or a removal left when it was killed.
      await discardDataset(ports, dataset);
      await zfs.rename(making.scratch, dataset);
      try {
        renameSync(making.aside, dir);
      } catch (error) {
        // Here, under the lock: later somebody else's image may be in this place.
        await destroyIfThere(zfs, dataset);
        throw error;
      }
      // The image exists. What fails from here on must not take it away again.
      onExists();
      syncFolder(layout.dir.images);
      addToIndex(layout, meta);
      removeMountFolder(layout, making.uuid);
      options.onPublished?.(meta);
      return undefined;
    },
    PATIENCE_MS,
  );
}

/** Its snapshots may be others than those of this one: nothing can be put in the place of what is lost. */
function lostMetadata({ id }: ImageMeta): ImageError {
  return new ImageError('IMAGE_DAMAGED', `image ${id} is there, and has lost its metadata`, {
    remedies: [`remove it with: jetpack image rm ${id}`, 'then try again'],
  });
}

/** The stored archive may have been lost or damaged, or the image be from a version that kept none: here it is again. */
function mendArchive({ blobs }: Making, { archive }: ImageMeta, dir: string): void {
  const digest = parseDigest(archive?.digest.replace('-', ':') ?? '');
  if (digest === undefined) return;
  const name = readFolder(blobs).find((each) => digestOfBlobName(each) === digest);
  if (name === undefined) return;
  const folder = path.join(dir, FILES.blobs);
  makeLinkFolder(folder);
  renameSync(path.join(blobs, name), path.join(folder, name));
  syncFolder(folder);
}

/** Somebody may have removed it while this image was rendered. */
function refuseLostDependency(layout: Layout, meta: ImageMeta): void {
  const lost = (meta.dependencies ?? []).filter((id) => !existsSync(layout.dir.image(id)));
  if (lost.length === 0) return;
  throw new ImageError(
    'IMAGE_DEPENDENCY',
    `${meta.name} depends on images that were removed meanwhile: ${lost.join(', ')}`,
    { remedies: ['import them again, and then this one'] },
  );
}

/** Removes the folder of an image that is none (any more), and of its blobs those that no other image has. Idempotent. */
export function dropAside(layout: Layout, aside: string): void {
  const names = readFolder(path.join(aside, FILES.blobs));
  rmSync(aside, { recursive: true, force: true });
  for (const name of names) dropUnneeded({ layout }, name);
}

/** Without what the value of a property cannot have. */
function propertyText(text: string): string {
  return text.replace(/[\0-\x1f\x7f]/g, '?').slice(0, 1024) || '-';
}

function withSpaceRemedy(error: unknown, dataset: string): unknown {
  const errno = errnoOf(error);
  if (error instanceof JetpackError || (errno !== 'ENOSPC' && errno !== 'EDQUOT')) return error;
  return new ZfsError('ZFS_NO_SPACE', dataset, 'there is no space left for the image', {
    remedies: ['make room with: jetpack gc', 'look at the pool with: zfs list -o space'],
    cause: error,
  });
}
