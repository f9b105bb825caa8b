/**
 * What the store knows of an image. On disk, `images/<id>/` has `manifest` (the bytes that were in the archive), `meta.json`
 * and `tree` (tree-listing.ts); the rootfs is the seal of the dataset `images/<id>`. An image exists if and only if its folder
 * exists: the folder is renamed into place last, and away first.
 */
import { closeSync, fsyncSync, openSync, readdirSync, readFileSync, writeSync } from 'node:fs';
import path from 'node:path';

import * as z from 'zod/mini';

import { errnoOf, ImageError } from '../errors.ts';
import type { Layout } from '../host/layout.ts';
import { AcIdentifier, ImageId, parseBySchema } from '../schema/appc.ts';
import { type ImageManifest, parseImageManifest } from '../schema/image-manifest.ts';
import type { DatasetName } from '../zfs/zfs.ts';

const bytes = z.int().check(z.minimum(0));
const digest = z.string().check(z.regex(/^sha512-[0-9a-f]{128}$/, 'must be a sha512 digest'));

export const ImageMeta = z.looseObject({
  version: z.literal(1),
  id: ImageId,
  name: AcIdentifier,
  labels: z.array(z.looseObject({ name: z.string(), value: z.string() })),
  /** RFC 3339, UTC. */
  importedAt: z.string(),
  /** Where the archive came from: a path, a URL, `-`. */
  source: z.string(),
  archive: z.looseObject({
    /** Of the file as it came, compressed or not. */
    digest,
    sizeBytes: bytes,
    compression: z.string(),
  }),
  tarBytes: bytes,
  /** All files together, their holes included. */
  treeBytes: bytes,
  entries: bytes,
  manifestDigest: digest,
  /** Fingerprint of the key whose signature was good; absent for an unsigned image. */
  signedBy: z.optional(z.string()),
  warnings: z.array(z.string()),
});
export type ImageMeta = z.infer<typeof ImageMeta>;

export const FILES = { manifest: 'manifest', meta: 'meta.json', tree: 'tree' } as const;

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
  let meta: ImageMeta;
  try {
    meta = parseBySchema(ImageMeta, file, text);
  } catch (cause) {
    throw damaged(id, cause);
  }
  if (meta.id !== id) throw damaged(id, new Error(`they are of ${meta.id}`));
  return meta;
}

export interface StoredManifest {
  readonly manifest: ImageManifest;
  /** The bytes of the file: what the metadata service answers, and what goes into an export. */
  readonly bytes: Buffer;
}

/** Throws IMAGE_NOT_FOUND, IMAGE_DAMAGED. */
export function getManifest(layout: Layout, id: ImageId): StoredManifest {
  let manifestBytes: Buffer;
  try {
    manifestBytes = readFileSync(path.join(layout.dir.image(id), FILES.manifest));
  } catch (cause) {
    if (errnoOf(cause) !== 'ENOENT') throw damaged(id, cause);
    throw new ImageError('IMAGE_NOT_FOUND', `there is no image ${id}`, {
      remedies: ['see what there is with: jetpack images'],
      cause,
    });
  }
  try {
    return { manifest: parseImageManifest(manifestBytes).manifest, bytes: manifestBytes };
  } catch (cause) {
    throw damaged(id, cause);
  }
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
