/** What `image show` says of layers, dependencies and what is kept of an image, and what sharing them saves. */
import type { Layout } from '../host/layout.ts';
import { listImages } from '../image/list.ts';
import {
  keptBlobs,
  type KeptBlob,
  type LayerSharing,
  layersOf,
  type Shared,
  sharedOf,
} from '../image/sharing.ts';
import type { ImageMeta } from '../image/store.ts';
import type { ImageId } from '../schema/appc.ts';
import { renderBytes } from './output.ts';

export interface Sharing {
  readonly shared: Shared;
  readonly layers: readonly LayerSharing[];
  readonly dependencies: readonly { readonly id: ImageId; readonly name: string | undefined }[];
  /** Images that depend on this one. */
  readonly neededBy: readonly ImageMeta[];
  readonly kept: readonly KeptBlob[];
}

export function describeSharing(layout: Layout, image: ImageMeta): Sharing {
  const { images } = listImages({ layout });
  const find = (id: ImageId) => images.find((each) => each.id === id);
  return {
    shared: sharedOf(image, find),
    layers: layersOf(image, images),
    dependencies: (image.dependencies ?? []).map((id) => ({ id, name: find(id)?.name })),
    neededBy: images.filter(({ dependencies }) => dependencies?.includes(image.id) === true),
    kept: keptBlobs(layout, image.id),
  };
}

export function sharingJson({ shared, layers, neededBy, kept }: Sharing) {
  return {
    shared: { layers: shared.layers, treeBytes: shared.treeBytes, keptBytes: bytesOf(kept, 1) },
    layers: layers.map(({ layer, isShared, alsoIn }) => ({
      ...layer,
      shared: isShared,
      alsoIn: alsoIn.map(({ id }) => id),
    })),
    neededBy: neededBy.map(({ id }) => id),
    kept,
  };
}

export function sharingLines(sharing: Sharing): [string, string | undefined][] {
  const { shared, layers, dependencies, neededBy, kept } = sharing;
  const saved =
    shared.layers === 0
      ? ''
      : `, ${String(shared.layers)} of them were here before: ${renderBytes(shared.treeBytes)} saved`;
  const cloned = shared.treeBytes === 0 ? '' : ` (${renderBytes(shared.treeBytes)} shared)`;
  const keptShared = bytesOf(kept, 1);
  return [
    ['layers', layers.length === 0 ? undefined : `${String(layers.length)}${saved}`],
    ...layers.map(({ layer, isShared, alsoIn }, index): [string, string] => [
      `  ${String(index + 1)}`,
      [
        layer.chainId.slice(0, 'sha256:'.length + 12),
        `${renderBytes(layer.treeBytes)} from ${renderBytes(layer.sizeBytes)}`,
        ...(isShared ? ['shared'] : []),
        ...(alsoIn.length === 0 ? [] : [`also in ${namesOf(alsoIn)}`]),
      ].join(', '),
    ]),
    [
      'based on',
      dependencies.length === 0
        ? undefined
        : `${dependencies.map(({ id, name }) => `${name ?? '?'} (${id.slice(0, 19)})`).join(', ')}${cloned}`,
    ],
    ['needed by', neededBy.length === 0 ? undefined : namesOf(neededBy)],
    [
      'kept',
      kept.length === 0
        ? undefined
        : `${String(kept.length)} ${kept.length === 1 ? 'file' : 'files'}, ${renderBytes(bytesOf(kept, 0))}${keptShared === 0 ? '' : `, of which ${renderBytes(keptShared)} are other images' too`}`,
    ],
  ];
}

function namesOf(images: readonly ImageMeta[]): string {
  const shown = images.slice(0, 5).map(({ name, id }) => `${name} (${id.slice(0, 19)})`);
  return [...shown, ...(images.length > shown.length ? ['…'] : [])].join(', ');
}

/** Of files that at least so many other images have. */
function bytesOf(kept: readonly KeptBlob[], others: number): number {
  return kept
    .filter((blob) => blob.others >= others)
    .reduce((total, { storedBytes }) => total + storedBytes, 0);
}
