/** From what a user calls an image to the image. Only a prefix of an id needs a look at all images. */
import { ImageError } from '../errors.ts';
import type { Layout } from '../host/layout.ts';
import { hasVersion, type ImageRef, matchesLabels, parseImageRef } from './ref.ts';
import { findMeta, type ImageMeta, parseImageId, readImageIds, readIndex } from './store.ts';

interface Ports {
  readonly layout: Layout;
}

/**
 * Undefined when nothing matches. A name without a version means the newest import of it; IMAGE_AMBIGUOUS when more than one
 * image matches otherwise. Throws IMAGE_UNSUPPORTED_REF, IMAGE_DAMAGED.
 */
export function findImage({ layout }: Ports, text: string): ImageMeta | undefined {
  const id = parseImageId(text);
  if (id !== undefined) return findMeta(layout, id);
  const ref = parseImageRef(text);
  const named = ref.kind === 'name' ? findByName(layout, ref) : undefined;
  if (named !== undefined) return named;
  return ref.hexPrefix === undefined ? undefined : findByPrefix(layout, ref, ref.hexPrefix);
}

function findByName(
  layout: Layout,
  ref: Extract<ImageRef, { readonly kind: 'name' }>,
): ImageMeta | undefined {
  const matches = readIndex(layout, ref.name)
    .flatMap((id) => findMeta(layout, id) ?? [])
    .filter((meta) => meta.name === ref.name && matchesLabels(meta, ref.labels))
    .sort(newestFirst);
  const [newest] = matches;
  if (newest === undefined || matches.length === 1 || !hasVersion(ref)) return newest;
  throw ambiguous(ref, matches);
}

function findByPrefix(layout: Layout, ref: ImageRef, hexPrefix: string): ImageMeta | undefined {
  const wanted = `sha512-${hexPrefix}`;
  const matches = readImageIds(layout)
    .filter((id) => id.startsWith(wanted))
    .flatMap((id) => findMeta(layout, id) ?? []);
  if (matches.length > 1) throw ambiguous(ref, matches.sort(newestFirst));
  return matches[0];
}

export function newestFirst(a: ImageMeta, b: ImageMeta): number {
  if (a.importedAt !== b.importedAt) return a.importedAt < b.importedAt ? 1 : -1;
  return a.id < b.id ? -1 : 1;
}

function ambiguous(ref: ImageRef, matches: readonly ImageMeta[]): ImageError {
  const named = matches.slice(0, 10).map((meta) => {
    const labels = meta.labels.map(({ name, value }) => `,${name}=${value}`).join('');
    return `${meta.id.slice(0, 'sha512-'.length + 12)} (${meta.name}${labels})`;
  });
  const more =
    matches.length > named.length ? [`${String(matches.length - named.length)} more`] : [];
  return new ImageError(
    'IMAGE_AMBIGUOUS',
    `${ref.text} may be any of ${String(matches.length)} images: ${[...named, ...more].join(', ')}`,
    { remedies: ['give more of its id, or more labels'] },
  );
}
