/** What a stored image says is in its tree. */
import { readFileSync } from 'node:fs';
import path from 'node:path';

import { errnoOf, ImageError } from '../../errors.ts';
import type { Digest } from '../../formats/oci/model.ts';
import type { Layout } from '../../host/layout.ts';
import { treeNameOf } from '../chains.ts';
import { FILES, type ImageMeta } from '../store.ts';

/** The names of the files that it is made of, below the image's folder. */
export function listingNames({ oci }: Pick<ImageMeta, 'oci'>): readonly string[] {
  if (oci === undefined) return [FILES.tree];
  return oci.layers.map(({ chainId }) => path.join(FILES.blobs, treeNameOf(chainId as Digest)));
}

/** From the lowest to the topmost, read one by one (byte text). Throws IMAGE_DAMAGED. */
export function* listingsOf(
  layout: Layout,
  image: Pick<ImageMeta, 'id' | 'oci'>,
): Generator<string, void> {
  for (const name of listingNames(image)) {
    try {
      yield readFileSync(path.join(layout.dir.image(image.id), name), 'latin1');
    } catch (cause) {
      if (errnoOf(cause) !== 'ENOENT') throw cause;
      throw new ImageError('IMAGE_DAMAGED', `the image ${image.id} has lost its listing ${name}`, {
        remedies: ['import the image again after: jetpack image rm'],
        cause,
      });
    }
  }
}
