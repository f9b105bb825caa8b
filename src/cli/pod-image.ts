/** An image as a pod needs it: found in the store, and made for this platform. */
import { ImageError } from '../errors.ts';
import { findImage } from '../image/find.ts';
import { getManifest } from '../image/store.ts';
import type { PodImage } from '../pod/reify.ts';
import { platformOf } from '../schema/platform.ts';
import type { Context } from './context.ts';

/** Throws IMAGE_NOT_FOUND, IMAGE_AMBIGUOUS, IMAGE_PLATFORM. */
export function getPodImage(
  { layout, runtime }: Pick<Context, 'layout' | 'runtime'>,
  reference: string,
): PodImage {
  const meta = findImage({ layout }, reference);
  if (meta === undefined) {
    throw new ImageError('IMAGE_NOT_FOUND', `there is no image or pod "${reference}"`, {
      remedies: [
        'see the images with: jetpack images',
        'bring it in with: jetpack import FILE',
        'arguments of an app come after --: jetpack run IMAGE -- ARGS',
      ],
    });
  }
  const { manifest } = getManifest(layout, meta.id);
  const { os, arch } = platformOf(manifest.labels);
  const here = runtime.platform;
  // An image without these labels runs anywhere (spec/aci.md).
  if ((os !== undefined && os !== here.os) || (arch !== undefined && arch !== here.arch)) {
    throw new ImageError(
      'IMAGE_PLATFORM',
      `image ${manifest.name} is for ${os ?? 'any system'}/${arch ?? 'any processor'}, and this host is ${here.os}/${here.arch}`,
      {
        remedies: [`get the image for os=${here.os},arch=${here.arch}`],
      },
    );
  }
  return { id: meta.id, manifest };
}
