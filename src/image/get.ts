/** An image by whatever people call it: what `find` knows, and the reference that it was fetched with. */
import { ImageError } from '../errors.ts';
import type { Layout } from '../host/layout.ts';
import { findByOrigin, isRemote } from './find-fetched.ts';
import { findImage } from './find.ts';
import type { ImageMeta } from './store.ts';

interface Ports {
  readonly layout: Layout;
}

/** As findImage, but throws IMAGE_NOT_FOUND. Finds images by what they were fetched as, too: `docker://…` and the like. */
export function getImage(ports: Ports, text: string): ImageMeta {
  const meta = isRemote(text) ? findByOrigin(ports.layout, text) : findImage(ports, text);
  if (meta !== undefined) return meta;
  throw new ImageError('IMAGE_NOT_FOUND', `there is no image ${text}`, {
    remedies: [
      'see what there is with: jetpack images',
      'give at least two digits of an id',
      'bring it in with: jetpack import FILE, or jetpack fetch REF',
    ],
  });
}
