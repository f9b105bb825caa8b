/**
 * The index of layers: for every chain id a folder, in it an empty file per image that has a snapshot of that chain. It can be
 * made anew from the images, and is never believed: who wants a snapshot looks whether it is there.
 */
import { createHash } from 'node:crypto';
import { closeSync, existsSync, mkdirSync, openSync, rmdirSync, rmSync } from 'node:fs';
import path from 'node:path';

import { errnoOf, ImageError, ZfsError } from '../errors.ts';
import { type Digest, hexOf, parseDigest } from '../formats/oci/model.ts';
import type { Layout } from '../host/layout.ts';
import type { ImageId } from '../schema/appc.ts';
import type { DatasetName, Zfs } from '../zfs/zfs.ts';
import {
  findMeta,
  type ImageMeta,
  type OciOrigin,
  parseImageId,
  readFolder,
  sealOf,
} from './store.ts';

/** Of each layer and all below it (image-spec config.md, "Layer ChainID"), from the lowest to the topmost. */
export function chainIdsOf(diffIds: readonly Digest[]): readonly Digest[] {
  const chain: Digest[] = [];
  for (const diffId of diffIds) {
    const below = chain.at(-1);
    chain.push(below === undefined ? diffId : sha256(`${below} ${diffId}`));
  }
  return chain;
}

function sha256(text: string): Digest {
  return `sha256:${createHash('sha256').update(text).digest('hex')}` as Digest;
}

/** `<dataset>@sha256-<hex>`. */
export function chainSnapshot(dataset: DatasetName, chainId: Digest): DatasetName {
  return `${dataset}@${chainId.replace(':', '-')}` as DatasetName;
}

/** The file with the listing of what the topmost layer of a chain changes, among the blobs. */
export function treeNameOf(chainId: Digest): string {
  return `tree-${chainId.replace(':', '-')}`;
}

type Chained = Pick<ImageMeta, 'id' | 'oci'>;

/**
 * The chains by which an image is found: those of its own layers, all of them together, which is its seal, and the one that it was
 * cloned from, since that snapshot is there as long as the image is, wherever its dataset has gone.
 */
export function chainsIn({ oci }: Chained): readonly Digest[] {
  if (oci === undefined) return [];
  const first = Math.min(oci.sharedLayers, oci.layers.length) - 1;
  return oci.layers.slice(Math.max(0, first)).flatMap(({ chainId }) => parseDigest(chainId) ?? []);
}

function chainDir(layout: Layout, chainId: Digest): string {
  return path.join(layout.dir.chains, hexOf(chainId));
}

/** Idempotent. Not waited for until it is on disk: gc makes what is missing anew. */
export function addToChains(layout: Layout, image: Chained): void {
  for (const chainId of chainsIn(image)) {
    const dir = chainDir(layout, chainId);
    mkdirSync(dir, { recursive: true, mode: 0o755 });
    closeSync(openSync(path.join(dir, image.id), 'w', 0o444));
  }
}

/** Idempotent. */
export function removeFromChains(layout: Layout, image: Chained): void {
  for (const chainId of chainsIn(image)) removeChainFile(layout, hexOf(chainId), image.id);
}

/** By the folder's own name, which need not be a chain id. */
export function removeChainFile(layout: Layout, folder: string, file: string): void {
  const dir = path.join(layout.dir.chains, folder);
  rmSync(path.join(dir, file), { force: true });
  try {
    rmdirSync(dir);
  } catch (error) {
    // Other images with that chain, or gone already. FreeBSD says EEXIST for "not empty".
    if (!['ENOTEMPTY', 'EEXIST', 'ENOENT'].includes(errnoOf(error) ?? '')) throw error;
  }
}

/** Every entry there is: the folder's name and the image's id, whatever they are. */
export function readWholeChains(
  layout: Layout,
): readonly { readonly folder: string; readonly id: string }[] {
  return readFolder(layout.dir.chains).flatMap((folder) =>
    readFolder(path.join(layout.dir.chains, folder)).map((id) => ({ folder, id })),
  );
}

export function isInChains(layout: Layout, image: Chained): boolean {
  return chainsIn(image).every((chainId) =>
    existsSync(path.join(chainDir(layout, chainId), image.id)),
  );
}

/** What a new image can be cloned from. */
export interface SharedChain {
  readonly imageId: ImageId;
  readonly snapshot: DatasetName;
  /** How many of the layers it has, from the lowest. */
  readonly layers: number;
}

/**
 * Snapshots that should have some of these layers, the longest chain first; one look into the index for each layer. Whether a
 * snapshot is there shows when it is cloned (ZFS_MISSING): a look before would be worth nothing, since images come and go.
 */
export async function* findSharedChains(
  { zfs, layout }: { readonly zfs: Pick<Zfs, 'get'>; readonly layout: Layout },
  chain: readonly Digest[],
): AsyncGenerator<SharedChain, undefined> {
  for (const [i, chainId] of [...chain.entries()].reverse()) {
    const layers = i + 1;
    const clones: ImageId[] = [];
    for (const file of readFolder(chainDir(layout, chainId))) {
      const imageId = parseImageId(file);
      const oci = imageId && findOci(layout, imageId);
      // What the image says of itself counts, not where its name was found.
      if (imageId === undefined || oci?.layers[i]?.chainId !== chainId) continue;
      const dataset = layout.dataset.image(imageId);
      if (i >= oci.sharedLayers)
        yield { imageId, snapshot: chainSnapshot(dataset, chainId), layers };
      else if (layers === oci.layers.length) yield { imageId, snapshot: sealOf(dataset), layers };
      else if (layers === oci.sharedLayers) clones.push(imageId);
    }
    // Who has these layers as its own is gone. Each is a question to ZFS, and they are likely to have the same answer.
    for (const imageId of clones.slice(0, MAX_QUESTIONS)) {
      const snapshot = await findOrigin(zfs, layout.dataset.image(imageId), chainId);
      if (snapshot !== undefined) yield { imageId, snapshot, layers };
    }
  }
  return undefined;
}

const MAX_QUESTIONS = 2;

/** The snapshot that a dataset is a clone of, if that is one of this chain. */
async function findOrigin(
  zfs: Pick<Zfs, 'get'>,
  dataset: DatasetName,
  chainId: Digest,
): Promise<DatasetName | undefined> {
  try {
    const { origin } = await zfs.get(dataset, ['origin']);
    return origin?.endsWith(chainSnapshot('' as DatasetName, chainId)) === true
      ? (origin as DatasetName)
      : undefined;
  } catch (error) {
    if (error instanceof ZfsError && error.code === 'ZFS_MISSING') return undefined;
    throw error;
  }
}

function findOci(layout: Layout, id: ImageId): OciOrigin | undefined {
  try {
    return findMeta(layout, id)?.oci;
  } catch (error) {
    // A damaged image is not the one to build on.
    if (error instanceof ImageError) return undefined;
    throw error;
  }
}
