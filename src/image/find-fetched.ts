/** Images by the reference that they were fetched with. */
import process from 'node:process';

import { ImageError } from '../errors.ts';
import { parseReference } from '../fetch/ref.ts';
import { renderPlatform } from '../formats/oci/platform.ts';
import type { Layout } from '../host/layout.ts';
import { findFetchedForAll } from './fetched.ts';
import { isOciReference, renderReference } from './oci-names.ts';
import { findMeta, type ImageMeta } from './store.ts';

const REMOTE = /^(?:docker:\/\/|oci:|oci-archive:|docker-archive:)/;

/** Whether the words say where an image comes from, rather than what it is called here. */
export function isRemote(text: string): boolean {
  return REMOTE.test(text);
}

/** Undefined when it was not fetched, or is gone. Throws UsageError, and IMAGE_AMBIGUOUS when it was fetched for several platforms. */
export function findByOrigin(layout: Layout, text: string): ImageMeta | undefined {
  const reference = parseReference(text);
  if (!isOciReference(reference)) return undefined;
  const fetched = findFetchedForAll(layout, renderReference(reference, process.cwd()));
  const there = fetched.flatMap(({ id, platform }) => {
    const meta = findMeta(layout, id);
    return meta === undefined ? [] : [{ meta, platform }];
  });
  const [first, ...more] = there;
  if (more.every(({ meta }) => meta.id === first?.meta.id)) return first?.meta;
  const shown = there.map(
    ({ meta, platform }) =>
      `${meta.id.slice(0, 'sha512-'.length + 12)} (${renderPlatform(platform)})`,
  );
  throw new ImageError(
    'IMAGE_AMBIGUOUS',
    `${text} was fetched for several platforms: ${shown.join(', ')}`,
    {
      remedies: ['name the image by its id'],
    },
  );
}
