/** The root file system of an app: a clone of its image's seal. */
import { PodError, ZfsError } from '../errors.ts';
import type { DatasetName, Zfs } from '../zfs/zfs.ts';

/** `quotaBytes` counts what the image brings, too. Throws POD_INVALID when that alone is more. */
export async function cloneSeal(
  zfs: Zfs,
  seal: DatasetName,
  clone: DatasetName,
  options: { readonly parents: boolean; readonly quotaBytes: number | undefined },
): Promise<void> {
  const { parents, quotaBytes } = options;
  if (quotaBytes === undefined) return zfs.clone(seal, clone, { parents });
  try {
    await zfs.clone(seal, clone, { parents, properties: { refquota: String(quotaBytes) } });
  } catch (error) {
    if (!(error instanceof ZfsError) || error.code !== 'ZFS_NO_SPACE') throw error;
    throw new PodError(
      'POD_INVALID',
      `cannot give ${clone} a jetpack/disk-quota of ${String(quotaBytes)} bytes: the image alone is larger, or the pool is full`,
      {
        remedies: ['a larger quota: --disk-quota=1G', 'the size of images: jetpack images'],
        cause: error,
      },
    );
  }
}
