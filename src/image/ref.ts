/** How people name an image. */
import { ImageError } from '../errors.ts';
import type { ImageMeta } from './store.ts';

export type ImageRef =
  | { readonly kind: 'id'; readonly text: string; readonly hexPrefix: string }
  | {
      readonly kind: 'name';
      readonly text: string;
      readonly name: string;
      readonly labels: readonly { readonly name: string; readonly value: string }[];
      /** The name alone is hex digits too: it may be the beginning of an id. */
      readonly hexPrefix: string | undefined;
    };

const HEX_PREFIX = /^[0-9a-f]{2,128}$/;

/** `sha512-HEX…`, `HEX…`, `name[:version][,label=value]*`. Throws IMAGE_UNSUPPORTED_REF. */
export function parseImageRef(text: string): ImageRef {
  if (text.startsWith('sha512-')) {
    const hexPrefix = text.slice('sha512-'.length);
    if (HEX_PREFIX.test(hexPrefix)) return { kind: 'id', text, hexPrefix };
  }
  if (text.includes('://')) throw unsupported(text);
  const [head = '', ...pairs] = text.split(',');
  const colon = head.indexOf(':');
  const name = colon < 0 ? head : head.slice(0, colon);
  if (!/^[a-z0-9]([a-z0-9._~/-]*[a-z0-9])?$/.test(name)) throw unsupported(text);
  const labels = pairs.map((pair) => {
    const equals = pair.indexOf('=');
    if (equals <= 0) throw unsupported(text);
    return { name: pair.slice(0, equals), value: pair.slice(equals + 1) };
  });
  if (colon >= 0) labels.unshift({ name: 'version', value: head.slice(colon + 1) });
  if (labels.some(({ value }) => value === '')) throw unsupported(text);
  const hexPrefix = labels.length === 0 && HEX_PREFIX.test(name) ? name : undefined;
  return { kind: 'name', text, name, labels, hexPrefix };
}

export function hasVersion(ref: ImageRef): boolean {
  return ref.kind === 'name' && ref.labels.some(({ name }) => name === 'version');
}

/** Whether an image has every label that was asked for. */
export function matchesLabels(
  meta: Pick<ImageMeta, 'labels'>,
  labels: readonly { readonly name: string; readonly value: string }[],
): boolean {
  return labels.every((wanted) =>
    meta.labels.some((label) => label.name === wanted.name && label.value === wanted.value),
  );
}

function unsupported(text: string): ImageError {
  return new ImageError('IMAGE_UNSUPPORTED_REF', `${JSON.stringify(text)} names no image`, {
    remedies: [
      'name it like sha512-1a2b3c, 1a2b3c, example.com/app or example.com/app:1.0,arch=amd64',
    ],
  });
}
