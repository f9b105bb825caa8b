/** What images have in common, and what that saves. Pure but for `keptBlobs`, which looks into the image's folder. */
import { lstatSync } from 'node:fs';
import path from 'node:path';

import type { Layout } from '../host/layout.ts';
import type { ImageId } from '../schema/appc.ts';
import type { DatasetName, DatasetRow } from '../zfs/zfs.ts';
import { digestOfBlobName } from './blobs.ts';
import { FILES, type ImageMeta, readFolder, type StoredLayer } from './store.ts';

/** How much of an image is on the disk already because another has it. */
export interface Shared {
  /** Of an OCI image. */
  readonly layers: number;
  /** Of the tree: files of those layers, or of the dependency that it was cloned from. */
  readonly treeBytes: number;
}

const NOTHING: Shared = { layers: 0, treeBytes: 0 };

export function sharedOf(image: ImageMeta, find: (id: ImageId) => ImageMeta | undefined): Shared {
  const { oci, dependencies } = image;
  if (oci !== undefined) {
    const shared = oci.layers.slice(0, oci.sharedLayers);
    return { layers: shared.length, treeBytes: sum(shared) };
  }
  const first = dependencies?.[0];
  return { layers: 0, treeBytes: (first === undefined ? undefined : find(first))?.treeBytes ?? 0 };
}

export interface LayerSharing {
  readonly layer: StoredLayer;
  /** It was there when the image came: the same snapshot serves both. */
  readonly isShared: boolean;
  /** Other images with this layer over the same ones. */
  readonly alsoIn: readonly ImageMeta[];
}

export function layersOf(image: ImageMeta, all: readonly ImageMeta[]): readonly LayerSharing[] {
  return (image.oci?.layers ?? []).map((layer, index) => ({
    layer,
    isShared: index < (image.oci?.sharedLayers ?? 0),
    alsoIn: all.filter(
      ({ id, oci }) => id !== image.id && oci?.layers[index]?.chainId === layer.chainId,
    ),
  }));
}

export interface KeptBlob {
  readonly name: string;
  readonly digest: string;
  /** Of the file. */
  readonly storedBytes: number;
  /** Other images that have it. */
  readonly others: number;
}

/** The archive, or layers and documents; none of an image that came before they were kept. */
export function keptBlobs(layout: Layout, id: ImageId): readonly KeptBlob[] {
  const folder = path.join(layout.dir.image(id), FILES.blobs);
  return readFolder(folder)
    .toSorted()
    .flatMap((name) => {
      const digest = digestOfBlobName(name);
      const stats = lstatSync(path.join(folder, name), { throwIfNoEntry: false });
      if (digest === undefined || stats === undefined) return [];
      // The store's own link, and this one.
      return { name, digest, storedBytes: stats.size, others: Math.max(0, stats.nlink - 2) };
    });
}

/** An image with those that are clones of it. */
export interface ImageNode {
  /** Undefined for what waits in the trash until its clones have gone. */
  readonly image: ImageMeta | undefined;
  readonly shared: Shared;
  /** What would be free without it; undefined where its dataset is lost. */
  readonly ownBytes: number | undefined;
  readonly children: readonly ImageNode[];
}

/** By origin, in the order of `images`. `rows`: the datasets of images and of the trash. */
export function planTree(
  layout: Layout,
  images: readonly ImageMeta[],
  rows: readonly Pick<DatasetRow, 'name' | 'origin' | 'usedBytes'>[],
): readonly ImageNode[] {
  const byDataset = new Map(rows.map((row) => [row.name, row]));
  const byId = new Map(images.map((image) => [image.id, image]));
  const parentOf = (dataset: DatasetName): string | undefined => {
    const origin = byDataset.get(dataset)?.origin?.split('@')[0] as DatasetName | undefined;
    return origin !== undefined && byDataset.has(origin) ? origin : undefined;
  };
  const known: { readonly dataset: DatasetName; readonly image: ImageMeta | undefined }[] =
    images.map((image) => ({ dataset: layout.dataset.image(image.id), image }));
  const trashed = rows
    .filter(({ name }) => name.startsWith(`${layout.dataset.trash}/`))
    .map(({ name }) => ({ dataset: name, image: undefined }));
  const children = new Map<string | undefined, (typeof known)[number][]>();
  for (const each of [...known, ...trashed]) {
    const parent = parentOf(each.dataset);
    children.set(parent, [...(children.get(parent) ?? []), each]);
  }
  const below = (parent: string | undefined): readonly ImageNode[] =>
    (children.get(parent) ?? []).map(({ dataset, image }) => ({
      image,
      shared: image === undefined ? NOTHING : sharedOf(image, (id) => byId.get(id)),
      ownBytes: byDataset.get(dataset)?.usedBytes,
      children: below(dataset),
    }));
  // What is in the trash without a clone is not of interest here: the next gc takes it.
  return below(undefined).filter(
    ({ image, children }) => image !== undefined || children.length > 0,
  );
}

/** Nodes with what stands before them, as trees are drawn; roots have nothing before them. */
export function* drawTree(
  nodes: readonly ImageNode[],
  above?: string,
): Generator<{ readonly prefix: string; readonly node: ImageNode }> {
  for (const [index, node] of nodes.entries()) {
    const isLast = index === nodes.length - 1;
    const isRoot = above === undefined;
    yield { prefix: isRoot ? '' : `${above}${isLast ? '└─ ' : '├─ '}`, node };
    yield* drawTree(node.children, isRoot ? '' : `${above}${isLast ? '   ' : '│  '}`);
  }
}

function sum(layers: readonly StoredLayer[]): number {
  return layers.reduce((total, { treeBytes }) => total + treeBytes, 0);
}
