/** An image layout (image-spec image-layout.md) with one image in it, as files: for a folder, or for an archive. */
import { createHash } from 'node:crypto';

import { ImageError } from '../../errors.ts';
import { parseImageConfig } from '../../schema/oci.ts';
import { canonicalJson } from '../canonical-json.ts';
import type { TarContent, TarMember } from '../tar/writer.ts';
import { algorithmOf, type Descriptor, type Digest, hexOf } from './model.ts';
import { platformOfConfig } from './resolve.ts';

export interface WritableBlob {
  readonly descriptor: Descriptor;
  /** From the beginning, each time. */
  readonly open: () => AsyncIterable<Uint8Array>;
}

export interface WritableImage {
  readonly manifest: { readonly bytes: Uint8Array; readonly descriptor: Descriptor };
  readonly config: WritableBlob & { readonly bytes: Uint8Array };
  readonly layers: readonly (WritableBlob & {
    /** Of its tar. */
    readonly diffId: Digest;
    readonly openTar: () => AsyncIterable<Uint8Array>;
  })[];
}

export interface LayoutNames {
  /** What the image is chosen by in the layout. */
  readonly refName: string | undefined;
  /** The same as a whole reference (`docker.io/library/alpine:3.20`), for who loads it into a store of images. */
  readonly imageName: string | undefined;
}

export interface WritableFile {
  readonly name: string;
  readonly sizeBytes: number;
  readonly open: () => AsyncIterable<Uint8Array>;
}

export const LAYOUT_VERSION_FILE = 'oci-layout';
export const LAYOUT_INDEX_FILE = 'index.json';

/** The entry of an index for this image. */
export function indexEntry(image: WritableImage, names: LayoutNames): object {
  const { mediaType, digest, size } = image.manifest.descriptor;
  const annotations = {
    ...(names.refName === undefined ? {} : { 'org.opencontainers.image.ref.name': names.refName }),
    ...(names.imageName === undefined ? {} : { 'io.containerd.image.name': names.imageName }),
  };
  return {
    mediaType,
    digest,
    size,
    platform: platformOfConfig(parseImageConfig(image.config.bytes)),
    ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
  };
}

export function renderLayoutIndex(entries: readonly object[]): Buffer {
  return Buffer.from(canonicalJson({ schemaVersion: 2, manifests: entries }));
}

export function renderLayoutVersion(): Buffer {
  return Buffer.from('{"imageLayoutVersion":"1.0.0"}');
}

/** Every blob once. Their streams throw IMAGE_DAMAGED at the end of what is not what its digest says. */
export function blobFiles(image: WritableImage): readonly WritableFile[] {
  const { manifest, config, layers } = image;
  const files = new Map<string, WritableFile>();
  for (const blob of [
    { descriptor: manifest.descriptor, open: () => once(manifest.bytes) },
    config,
    ...layers,
  ]) {
    const { digest, size } = blob.descriptor;
    const name = `blobs/${algorithmOf(digest)}/${hexOf(digest)}`;
    files.set(name, { name, sizeBytes: size, open: () => checked(blob.open(), blob.descriptor) });
  }
  return [...files.values()];
}

/** For writeTar. The same image is the same bytes. */
export function* layoutContents(
  image: WritableImage,
  names: LayoutNames,
): Generator<TarContent, void, undefined> {
  yield smallFile(LAYOUT_VERSION_FILE, renderLayoutVersion());
  yield smallFile(LAYOUT_INDEX_FILE, renderLayoutIndex([indexEntry(image, names)]));
  yield { member: folderMember('blobs') };
  const folders = new Set<string>();
  for (const { name, sizeBytes, open } of blobFiles(image)) {
    const folder = name.slice(0, name.lastIndexOf('/'));
    if (!folders.has(folder)) yield { member: folderMember(folder) };
    folders.add(folder);
    yield { member: fileMember(name, sizeBytes), content: open };
  }
}

// Members of archives that we make: root's, and from no time

const NEUTRAL = {
  linkName: '',
  uid: 0,
  gid: 0,
  mtimeS: 0,
  mtimeNs: 0,
  deviceMajor: 0,
  deviceMinor: 0,
  xattrs: [],
} as const;

export function fileMember(name: string, sizeBytes: number): TarMember {
  return { ...NEUTRAL, name, type: 'file', mode: 0o644, sizeBytes };
}

export function folderMember(name: string): TarMember {
  return { ...NEUTRAL, name, type: 'directory', mode: 0o755, sizeBytes: 0 };
}

export function smallFile(name: string, bytes: Buffer): TarContent {
  return { member: fileMember(name, bytes.length), content: () => [bytes] };
}

/** Throws IMAGE_DAMAGED behind the last chunk. */
export async function* checked(
  chunks: AsyncIterable<Uint8Array>,
  { digest }: Pick<Descriptor, 'digest'>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const hash = createHash(algorithmOf(digest));
  for await (const chunk of chunks) {
    hash.update(chunk);
    yield chunk;
  }
  if (hash.digest('hex') === hexOf(digest)) return;
  throw new ImageError('IMAGE_DAMAGED', `what should be ${digest} is something else`, {
    remedies: ['look closer with: jetpack image verify'],
  });
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, undefined> {
  yield await Promise.resolve(bytes);
}
