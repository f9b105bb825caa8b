/** All images, newest first: one small file read for each. */
import { ImageError } from '../errors.ts';
import type { Layout } from '../host/layout.ts';
import type { ImageId } from '../schema/appc.ts';
import { newestFirst } from './find.ts';
import { findMeta, type ImageMeta, readImageIds } from './store.ts';

export interface ImageListing {
  readonly images: readonly ImageMeta[];
  /** Images whose metadata cannot be read: they do not keep the others from being listed. */
  readonly damaged: readonly ImageError[];
}

/** The images that are rendered on top of this one. */
export function imagesDependingOn(
  ports: { readonly layout: Layout },
  id: ImageId,
): readonly ImageMeta[] {
  return listImages(ports).images.filter(({ dependencies }) => dependencies?.includes(id) === true);
}

export function listImages({ layout }: { readonly layout: Layout }): ImageListing {
  const images: ImageMeta[] = [];
  const damaged: ImageError[] = [];
  for (const id of readImageIds(layout)) {
    try {
      const meta = findMeta(layout, id);
      if (meta !== undefined) images.push(meta);
    } catch (error) {
      if (!(error instanceof ImageError)) throw error;
      damaged.push(error);
    }
  }
  return { images: images.sort(newestFirst), damaged };
}
