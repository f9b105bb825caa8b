/** Whether a stored image is still what was imported: its metadata, what came, and its tree against the listing made when it was unpacked. */
import { createHash, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { isDeepStrictEqual } from 'node:util';

import { ImageError } from '../errors.ts';
import type { Digest } from '../formats/oci/model.ts';
import { displayName } from '../formats/tar/names.ts';
import type { Layout } from '../host/layout.ts';
import { takeLease } from '../host/lease.ts';
import { parseImageManifest } from '../schema/image-manifest.ts';
import type { DatasetName } from '../zfs/zfs.ts';
import { chainSnapshot } from './chains.ts';
import { listingsOf } from './tree/listings-of.ts';
import type { ImagePorts } from './ports.ts';
import { dropScratch, ensureMounted } from './scratch.ts';
import { dumpXattrs } from './tree/shim-special-files.ts';
import { FILES, type ImageMeta, sealOf } from './store.ts';
import { compareTree, compareXattrs, type TreeDifference } from './tree/tree-compare.ts';
import { foldTreeListings } from './tree/tree-fold.ts';
import type { TreeListing } from './tree/tree-listing.ts';
import { type CheckedBlobs, verifyBlobs } from './verify-blobs.ts';

export interface VerifyReport {
  readonly ok: boolean;
  /** The first differences; the path is for people. */
  readonly differences: readonly TreeDifference[];
  /** How many there are beyond those. */
  readonly more: number;
  /** What was compared in the tree. */
  readonly entries: number;
  /** Stored archives, layers and documents that were read. */
  readonly blobs: number;
}

export interface VerifyOptions {
  readonly signal?: AbortSignal;
  /** The same for several images: what they share is read once. */
  readonly checked?: CheckedBlobs;
}

const SHOWN = 100;

/**
 * Reads everything that is stored of the image: metadata, archive or layers, and the tree, from a clone of its seal that is mounted for
 * that and removed again.
 */
export async function verifyImage(
  ports: ImagePorts,
  image: ImageMeta,
  options: VerifyOptions = {},
): Promise<VerifyReport> {
  const { layout } = ports;
  const dir = layout.dir.image(image.id);
  const found: TreeDifference[] = [];
  const manifest = createHash('sha512')
    .update(readFileSync(path.join(dir, FILES.manifest)))
    .digest('hex');
  if (`sha512-${manifest}` !== image.manifestDigest) {
    found.push({ path: FILES.manifest, kind: 'changed', detail: 'its content is another' });
  }
  if (!isParsedFrom(dir)) {
    found.push({ path: FILES.parsed, kind: 'changed', detail: 'it is not of the manifest' });
  }
  const { blobs, differences } = await verifyBlobs(ports, image, options);
  found.push(...differences);
  const missing = await missingSnapshots(ports, image);
  for (const snapshot of missing) {
    found.push({ path: snapshot, kind: 'missing', detail: 'the snapshot is not there' });
  }
  const listing = findListing(layout, image);
  if (listing === undefined) {
    found.push({ path: FILES.tree, kind: 'changed', detail: 'it is no listing any more' });
  } else if (!missing.includes(sealOf(layout.dataset.image(image.id)))) {
    found.push(...(await verifyTree(ports, image, listing, options.signal)));
  }
  return {
    ok: found.length === 0,
    differences: found.slice(0, SHOWN).map(shown),
    more: Math.max(0, found.length - SHOWN),
    entries: listing?.items.size ?? 0,
    blobs,
  };
}

/** Of the seal and the layers that are the image's own. */
async function missingSnapshots(
  { zfs, layout }: ImagePorts,
  image: ImageMeta,
): Promise<readonly DatasetName[]> {
  const dataset = layout.dataset.image(image.id);
  const rows = await zfs.list(dataset, { depth: 1, types: ['snapshot'] });
  const there = new Set<string>(rows.map(({ name }) => name));
  const { oci } = image;
  const own = oci?.layers.slice(oci.sharedLayers) ?? [];
  return [
    ...own.map(({ chainId }) => chainSnapshot(dataset, chainId as Digest)),
    sealOf(dataset),
  ].filter((snapshot) => !there.has(snapshot));
}

/** Undefined when there is none, or no whole one. Of an image without layers it is empty: nobody says what its root is like. */
function findListing(layout: Layout, image: ImageMeta): TreeListing | undefined {
  if (image.oci?.layers.length === 0) return { items: new Map(), xattrs: [] };
  try {
    return foldTreeListings(listingsOf(layout, image));
  } catch (error) {
    if (error instanceof ImageError) return undefined;
    throw error;
  }
}

async function verifyTree(
  ports: ImagePorts,
  image: ImageMeta,
  listing: TreeListing,
  signal: AbortSignal | undefined,
): Promise<readonly TreeDifference[]> {
  const { zfs, layout } = ports;
  const found: TreeDifference[] = [];
  const uuid = randomUUID();
  const lease = await takeLease(layout.dir.lease(uuid));
  try {
    // Not read-only: on a read-only file system zfs-fuse answers the question for the attributes of a file that has none with
    // ENOSYS, and then the kernel asks for no attributes of that file system any more. Nothing writes to the clone.
    await zfs.clone(sealOf(layout.dataset.image(image.id)), layout.dataset.scratch(uuid));
    const root = await ensureMounted(zfs, layout, uuid);
    for (const difference of compareTree(root, listing)) {
      signal?.throwIfAborted();
      if (difference.path === '' && listing.items.size === 0) continue;
      found.push(difference);
    }
    found.push(...compareXattrs(await dumpXattrs(ports, root), listing.xattrs));
    return found;
  } finally {
    try {
      await dropScratch(zfs, layout, uuid);
    } finally {
      lease.release();
    }
  }
}

/** Whether what every start reads is what the manifest says. */
function isParsedFrom(dir: string): boolean {
  try {
    const { manifest } = parseImageManifest(readFileSync(path.join(dir, FILES.manifest)));
    const parsed: unknown = JSON.parse(readFileSync(path.join(dir, FILES.parsed), 'utf8'));
    return isDeepStrictEqual(parsed, JSON.parse(JSON.stringify(manifest)));
  } catch {
    return false;
  }
}

function shown(difference: TreeDifference): TreeDifference {
  return { ...difference, path: displayName(difference.path === '' ? '/' : difference.path) };
}
