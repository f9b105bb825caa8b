/**
 * What the store knows of an image. On disk, `images/<id>/` has the files of FILES, the listing of
 * the tree (tree-listing.ts) among them; the rootfs is the seal of the dataset `images/<id>`. An image exists if and only if its folder
 * exists: the folder is renamed into place last, and away first.
 */
import {
  closeSync,
  existsSync,
  fchmodSync,
  fsyncSync,
  openSync,
  readdirSync,
  readFileSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';

import { errnoOf, ImageError } from '../errors.ts';
import type { Layout } from '../host/layout.ts';
import type { ImageId } from '../schema/appc.ts';
import type { ImageManifest } from '../schema/image-manifest.ts';
import type { DatasetName } from '../zfs/zfs.ts';

/** `meta.json`: written by import after everything in it was checked; only root can write it since. */
export interface ImageMeta {
  readonly version: 1;
  readonly id: ImageId;
  readonly name: string;
  readonly labels: readonly { readonly name: string; readonly value: string }[];
  /** RFC 3339, UTC. */
  readonly importedAt: string;
  /** Where the archive came from: a path, a URL, `-`. */
  readonly source: string;
  /** The ACI, for an image that came as one. */
  readonly archive?: StoredArchive | undefined;
  /** For an image that came as an OCI or Docker image. */
  readonly oci?: OciOrigin | undefined;
  /** What this image was rendered on top of, in the order of rendering; for an ACI with dependencies. */
  readonly dependencies?: readonly ImageId[] | undefined;
  /** All files together, their holes included; of an OCI image those of all layers, also where a later one replaces them. */
  readonly treeBytes: number;
  readonly entries: number;
  readonly manifestDigest: string;
  /** Fingerprint of the key whose signature was good; absent for an unsigned image. */
  readonly signedBy?: string | undefined;
  readonly warnings: readonly string[];
}

export interface StoredArchive {
  /** Of the file as it came, compressed or not: `sha512-…`. */
  readonly digest: string;
  readonly sizeBytes: number;
  readonly compression: string;
  readonly tarBytes: number;
}

export interface OciOrigin {
  /** `sha256:…`; absent where the source had no manifest (docker save). */
  readonly manifestDigest?: string | undefined;
  readonly configDigest: string;
  /** From the lowest to the topmost. */
  readonly layers: readonly StoredLayer[];
  /** How many of the layers were in the store already, when the image came: the dataset is a clone of what has them. */
  readonly sharedLayers: number;
}

export interface StoredLayer {
  /** Of the uncompressed tar. */
  readonly diffId: string;
  /** Of this layer and all below it (image-spec config.md, "Layer ChainID"): the snapshot `<dataset>@sha256-<hex>`. */
  readonly chainId: string;
  /** Of the blob, as it was downloaded. */
  readonly digest: string;
  readonly mediaType: string;
  /** Of the blob. */
  readonly sizeBytes: number;
  /** Files of this layer alone, holes included. */
  readonly treeBytes: number;
  /** Entries of this layer alone. */
  readonly entries: number;
}

export const FILES = {
  /** The bytes that were in the archive. */
  manifest: 'manifest',
  /** The same as the schema has parsed it: one spelling of every field, none of them null. */
  parsed: 'parsed.json',
  meta: 'meta.json',
  /** The listing of an ACI's tree. An OCI image has one for each of its layers among its blobs instead. */
  tree: 'tree',
  /** Folder: hard links to what the store of blobs has and this image needs (blobs.ts). */
  blobs: 'blobs',
} as const;

const SEAL = 'seal';

export function sealOf(dataset: DatasetName): DatasetName {
  return `${dataset}@${SEAL}` as DatasetName;
}

/** A folder beside those of images, for one in the making or on its way out; it belongs to the lease of this uuid. */
export function asideDir(layout: Layout, uuid: string): string {
  return path.join(layout.dir.images, `.${uuid}`);
}

export function uuidOfAside(fileName: string): string | undefined {
  return fileName.startsWith('.') ? fileName.slice(1) : undefined;
}

export function parseImageId(text: string): ImageId | undefined {
  return /^sha512-[0-9a-f]{128}$/.test(text) ? (text as ImageId) : undefined;
}

/** The ids of all images there are, in no order. */
export function readImageIds(layout: Layout): readonly ImageId[] {
  return readFolder(layout.dir.images).flatMap((name) => parseImageId(name) ?? []);
}

/** Ids in the index of a name. An id whose image is gone may be among them. */
export function readIndex(layout: Layout, name: string): readonly ImageId[] {
  return readFolder(layout.dir.imageName(name)).flatMap((file) => parseImageId(file) ?? []);
}

/** Undefined when there is no such image. Throws IMAGE_DAMAGED when its metadata cannot be read. */
export function findMeta(layout: Layout, id: ImageId): ImageMeta | undefined {
  const file = path.join(layout.dir.image(id), FILES.meta);
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    if (errnoOf(cause) !== 'ENOENT') throw damaged(id, cause);
    return undefined;
  }
  const meta = readOwn(id, text, (fields) => fields['version'] === 1) as ImageMeta;
  if (meta.id !== id) throw damaged(id, new Error(`they are of ${meta.id}`));
  return meta;
}

/** JSON that we wrote ourselves: checked for damage, not for its shape. No schema is on the way of a start. */
function readOwn(
  id: string,
  text: string,
  isRight: (fields: Readonly<Record<string, unknown>>) => boolean,
): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw damaged(id, cause);
  }
  if (
    typeof value !== 'object' ||
    value === null ||
    !isRight(value as Readonly<Record<string, unknown>>)
  ) {
    throw damaged(id, new Error('they are not of an image'));
  }
  return value;
}

export interface StoredManifest {
  readonly manifest: ImageManifest;
  /** The bytes of the file: what the metadata service answers, and what goes into an export. */
  readonly bytes: Buffer;
}

/** Throws IMAGE_NOT_FOUND, IMAGE_DAMAGED. */
export function getManifest(layout: Layout, id: ImageId): StoredManifest {
  const dir = layout.dir.image(id);
  let bytes: Buffer;
  let parsed: string;
  try {
    bytes = readFileSync(path.join(dir, FILES.manifest));
    parsed = readFileSync(path.join(dir, FILES.parsed), 'utf8');
  } catch (cause) {
    if (errnoOf(cause) !== 'ENOENT' || existsSync(dir)) throw damaged(id, cause);
    throw new ImageError('IMAGE_NOT_FOUND', `there is no image ${id}`, {
      remedies: ['see what there is with: jetpack images'],
      cause,
    });
  }
  const isManifest = (fields: Readonly<Record<string, unknown>>) =>
    fields['acKind'] === 'ImageManifest';
  return { manifest: readOwn(id, parsed, isManifest) as ImageManifest, bytes };
}

function damaged(id: string, cause: unknown): ImageError {
  const why = cause instanceof Error ? `: ${cause.message}` : '';
  return new ImageError('IMAGE_DAMAGED', `the metadata of image ${id} cannot be read${why}`, {
    remedies: [
      'look closer with: jetpack image verify',
      'import the image again after: jetpack image rm',
    ],
    cause,
  });
}

/** Names in a folder; none when it is not there. */
export function readFolder(dir: string): readonly string[] {
  try {
    return readdirSync(dir);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw error;
  }
}

/** Writes a file that must not be there yet, and waits until it is on disk. */
export function writeDurably(file: string, content: string | Uint8Array, mode: number): void {
  const fd = openSync(file, 'wx', mode);
  try {
    const data = typeof content === 'string' ? Buffer.from(content) : content;
    for (let at = 0; at < data.length;) at += writeSync(fd, data, at);
    // The metadata service reads some of them, whatever the umask of the caller is.
    fchmodSync(fd, mode);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Makes the names in a folder durable, after a file in it was made, renamed or removed. */
export function syncFolder(dir: string): void {
  const fd = openSync(dir, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
