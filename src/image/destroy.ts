/** Takes an image out of the store. */
import { randomUUID } from 'node:crypto';
import { existsSync, renameSync } from 'node:fs';

import { errnoOf, ImageError } from '../errors.ts';
import type { Layout } from '../host/layout.ts';
import { takeLease } from '../host/lease.ts';
import { withLock } from '../host/lock.ts';
import type { ImageId } from '../schema/appc.ts';
import { readWholeChains, removeChainFile, removeFromChains } from './chains.ts';
import { readWholeIndex, removeFromIndex, removeIndexFile } from './index-of-names.ts';
import { imagesDependingOn } from './list.ts';
import type { ImagePorts } from './ports.ts';
import { dropAside } from './publish.ts';
import { asideDir, findMeta, type ImageMeta, parseImageId, syncFolder } from './store.ts';
import { collectTrash, discardDataset } from './trash.ts';

export interface DestroyPorts extends Pick<ImagePorts, 'zfs' | 'layout'> {
  /** What needs the image beside other images, as a user would call it: pods. Asked under the lock that imports take too. */
  readonly usedBy: (id: ImageId) => Promise<readonly string[]>;
}

export interface Removable extends Pick<ImageMeta, 'id' | 'name' | 'oci' | 'dependencies'> {
  /** All that is known of it is its id. */
  readonly isDamaged?: boolean;
}

/** An image whose metadata is lost or cannot be read, by its whole id; undefined for any other text. */
export function findDamaged(
  { layout }: { readonly layout: Layout },
  text: string,
): Removable | undefined {
  const id = parseImageId(text);
  if (id === undefined || !existsSync(layout.dir.image(id))) return undefined;
  try {
    if (findMeta(layout, id) !== undefined) return undefined;
  } catch (error) {
    if (!(error instanceof ImageError)) throw error;
  }
  return { id, name: 'damaged', isDamaged: true };
}

/**
 * Throws IMAGE_IN_USE, IMAGE_NOT_FOUND, and ZfsError; the image is whole then. Images that only share layers with it do not keep it: what they are
 * clones of waits in the trash, without a name. The folder goes first (the image is gone from then on), the dataset next, then
 * the indexes and blobs: what a kill leaves in between, `collect` removes.
 */
export async function destroyImage(ports: DestroyPorts, image: Removable): Promise<void> {
  const { layout, usedBy } = ports;
  const { id } = image;
  const uuid = randomUUID();
  const lease = await takeLease(layout.dir.lease(uuid));
  try {
    await withLock(layout.dir.locks, 'images', async () => {
      const dependents = imagesDependingOn(ports, id).map(
        (each) => `image ${each.id} (${each.name})`,
      );
      const users = [...(await usedBy(id)), ...dependents];
      if (users.length > 0) throw inUse(image, users);
      const aside = asideDir(layout, uuid);
      moveAside(layout.dir.image(id), aside, image);
      syncFolder(layout.dir.images);
      try {
        await discardDataset(ports, layout.dataset.image(id), (clones) => {
          const pods = clones.filter((name) => name.startsWith(`${layout.dataset.pods}/`));
          if (pods.length > 0) throw inUse(image, pods);
        });
      } catch (error) {
        renameSync(aside, layout.dir.image(id));
        throw error;
      }
      if (image.isDamaged === true) removeFromIndexes(layout, id);
      else {
        removeFromIndex(layout, image);
        removeFromChains(layout, image);
      }
      dropAside(layout, aside);
      // It may have been the last clone of what waits there.
      if (image.isDamaged === true || isClone(image)) await collectTrash(ports);
    });
  } finally {
    lease.release();
  }
}

/** Throws IMAGE_NOT_FOUND when somebody else has removed it meanwhile. */
function moveAside(dir: string, aside: string, { id, name }: Removable): void {
  try {
    renameSync(dir, aside);
  } catch (cause) {
    if (errnoOf(cause) !== 'ENOENT') throw cause;
    throw new ImageError('IMAGE_NOT_FOUND', `image ${id} (${name}) has been removed meanwhile`, {
      cause,
    });
  }
}

/** Without its metadata nothing tells where it is named. */
function removeFromIndexes(layout: Layout, id: ImageId): void {
  for (const each of readWholeIndex(layout))
    if (each.id === id) removeIndexFile(layout, each.folder, id);
  for (const each of readWholeChains(layout))
    if (each.id === id) removeChainFile(layout, each.folder, id);
}

/** Whether the dataset has the origin in another image's. */
export function isClone({ oci, dependencies }: Pick<ImageMeta, 'oci' | 'dependencies'>): boolean {
  return (oci?.sharedLayers ?? 0) > 0 || (dependencies?.length ?? 0) > 0;
}

function inUse(image: Removable, users: readonly string[]): ImageError {
  return new ImageError(
    'IMAGE_IN_USE',
    `image ${image.id} (${image.name}) is in use by ${users.join(', ')}`,
    {
      remedies: ['remove what uses it first, with: jetpack rm, jetpack image rm', 'then try again'],
    },
  );
}
