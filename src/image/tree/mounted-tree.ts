/** The tree of a stored image, to be looked at: a clone of its seal that is mounted for that and removed again. */
import { randomUUID } from 'node:crypto';

import { takeLease } from '../../host/lease.ts';
import type { ImageId } from '../../schema/appc.ts';
import type { ImagePorts } from '../ports.ts';
import { dropScratch, ensureMounted } from '../scratch.ts';
import { sealOf } from '../store.ts';

/** `work` gets the folder. Nothing is left of it when this settles; after SIGKILL gc finds it by its lease. */
export async function withMountedTree<T>(
  { zfs, layout }: Pick<ImagePorts, 'zfs' | 'layout'>,
  id: ImageId,
  work: (root: string) => Promise<T>,
): Promise<T> {
  const uuid = randomUUID();
  const lease = await takeLease(layout.dir.lease(uuid));
  try {
    // Not read-only: on a read-only file system zfs-fuse answers the question for the attributes of a file that has none with
    // ENOSYS, and then the kernel asks for no attributes of that file system any more. Nothing writes to the clone.
    await zfs.clone(sealOf(layout.dataset.image(id)), layout.dataset.scratch(uuid));
    return await work(await ensureMounted(zfs, layout, uuid));
  } finally {
    try {
      await dropScratch(zfs, layout, uuid);
    } finally {
      lease.release();
    }
  }
}
