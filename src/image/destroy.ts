/** Takes an image out of the store. */
import { randomUUID } from 'node:crypto';
import { renameSync, rmSync } from 'node:fs';

import { ImageError, ZfsError } from '../errors.ts';
import { takeLease } from '../host/lease.ts';
import { withLock } from '../host/lock.ts';
import type { ImageId } from '../schema/appc.ts';
import { removeFromIndex } from './index-of-names.ts';
import type { ImagePorts } from './ports.ts';
import { destroyIfThere } from './scratch.ts';
import { asideDir, type ImageMeta, syncFolder } from './store.ts';

export interface DestroyPorts extends Pick<ImagePorts, 'zfs' | 'layout'> {
  /** What needs the image, as a user would call it: pods, other images. Asked under the lock that imports take too. */
  readonly usedBy: (id: ImageId) => Promise<readonly string[]>;
}

/**
 * Throws IMAGE_IN_USE, and ZfsError; the image is whole then. The folder goes first (the image is gone from then on), the dataset
 * next, the index last: what a kill leaves in between, `collect` removes.
 */
export async function destroyImage(ports: DestroyPorts, image: ImageMeta): Promise<void> {
  const { zfs, layout, usedBy } = ports;
  const { id } = image;
  const uuid = randomUUID();
  const lease = await takeLease(layout.dir.lease(uuid));
  try {
    await withLock(layout.dir.locks, 'images', async () => {
      const users = await usedBy(id);
      if (users.length > 0) throw inUse(image, users);
      const aside = asideDir(layout, uuid);
      renameSync(layout.dir.image(id), aside);
      syncFolder(layout.dir.images);
      try {
        await destroyIfThere(zfs, layout.dataset.image(id));
      } catch (error) {
        renameSync(aside, layout.dir.image(id));
        if (!(error instanceof ZfsError) || error.code !== 'ZFS_HAS_CLONES') throw error;
        throw inUse(image, error.dependents, error);
      }
      removeFromIndex(layout, image);
      rmSync(aside, { recursive: true, force: true });
    });
  } finally {
    lease.release();
  }
}

function inUse(image: ImageMeta, users: readonly string[], cause?: unknown): ImageError {
  const who = users.length === 0 ? 'clones of it' : users.join(', ');
  return new ImageError('IMAGE_IN_USE', `image ${image.id} (${image.name}) is in use by ${who}`, {
    remedies: ['remove what uses it first, with: jetpack rm', 'then try again'],
    ...(cause === undefined ? {} : { cause }),
  });
}
