/**
 * The way from what a reference leads to, to an image of one platform: index → manifest → configuration, every document
 * checked against the digest and the size that led to it. The same for registries, layouts and archives.
 */
import { createHash } from 'node:crypto';

import { FetchError, ManifestError } from '../../errors.ts';
import {
  isIndexType,
  isManifestType,
  kindOfManifest,
  OCI_LIMITS,
  type OciDescriptor,
  type OciImageConfig,
  type OciIndexEntry,
  parseImageConfig,
  parseIndex,
  parseManifest,
} from '../../schema/oci.ts';
import { algorithmOf, type Descriptor, hexOf, type OciImage, type Platform } from './model.ts';
import { choosePlatform, matchPlatform, noPlatform, renderPlatform } from './platform.ts';

/** Gives a document's bytes, at most `limitBytes` of them. They are checked here, against digest and size. */
export type ReadDocument = (
  descriptor: Descriptor,
  limitBytes: number,
) => Promise<Uint8Array> | Uint8Array;

export interface Root {
  readonly bytes: Buffer;
  /** Verified already, or computed from the bytes. */
  readonly descriptor: Descriptor;
}

export interface ResolveOptions {
  /** For people: `docker://…`. */
  readonly source: string;
  readonly refName: string | undefined;
}

/** Indexes in indexes: nobody has more than two. */
const MAX_DEPTH = 4;
/** Entries without a platform, of which each costs two documents. */
const MAX_LOOKS = 16;

/** Throws FETCH_DIGEST, FETCH_SIZE unless these are the bytes that the descriptor tells of. */
export function verifyDocument(source: string, descriptor: Descriptor, bytes: Uint8Array): void {
  if (bytes.length !== descriptor.size) {
    throw new FetchError(
      'FETCH_SIZE',
      `${source}: ${descriptor.digest} has ${String(bytes.length)} bytes and should have ${String(descriptor.size)}`,
    );
  }
  const hex = createHash(algorithmOf(descriptor.digest)).update(bytes).digest('hex');
  if (hex === hexOf(descriptor.digest)) return;
  throw new FetchError(
    'FETCH_DIGEST',
    `${source}: what should be ${descriptor.digest} is something else`,
    { remedies: ['fetch it again', 'if it stays so, do not trust where it comes from'] },
  );
}

export function descriptorOf(descriptor: OciDescriptor): Descriptor {
  const { mediaType, digest, size, urls, annotations } = descriptor;
  return {
    mediaType,
    digest,
    size,
    ...(urls === undefined || urls.length === 0 ? {} : { urls }),
    ...(annotations === undefined ? {} : { annotations }),
  };
}

/**
 * The image for this platform. A manifest that is in no index is taken whatever it is for; `platform` tells.
 * Throws FetchError (FETCH_NO_PLATFORM, FETCH_DIGEST, FETCH_SIZE), ManifestError, and what `read` throws.
 */
export async function resolveImage(
  root: Root,
  wanted: Platform,
  read: ReadDocument,
  options: ResolveOptions,
): Promise<OciImage> {
  const { mediaType } = root.descriptor;
  if (kindOfManifest(root.bytes, mediaType) === 'manifest') {
    return readImage(root, read, options, undefined);
  }
  const mediaTypeOfIndex = isIndexType(mediaType) ? mediaType : undefined;
  const { manifests } = parseIndex(root.bytes, mediaTypeOfIndex);
  return { ...(await resolveEntries(manifests, wanted, read, options)), index: root.descriptor };
}

/** As resolveImage, for the entries of an index that has no descriptor of its own. */
export async function resolveEntries(
  entries: readonly OciIndexEntry[],
  wanted: Platform,
  read: ReadDocument,
  options: ResolveOptions,
): Promise<OciImage> {
  const offered: string[] = [];
  const found = await searchEntries(entries, { wanted, read, options, offered, depth: 1 });
  if (found === undefined) throw noPlatform(options.source, wanted, [...new Set(offered)]);
  return found;
}

interface Search {
  readonly wanted: Platform;
  readonly read: ReadDocument;
  readonly options: ResolveOptions;
  /** Filled while searching. */
  readonly offered: string[];
  readonly depth: number;
}

async function searchEntries(
  entries: readonly OciIndexEntry[],
  search: Search,
): Promise<OciImage | undefined> {
  const choice = choosePlatform(entries, search.wanted);
  search.offered.push(...choice.offered);
  if (choice.entry !== undefined) return readEntry(choice.entry, search);
  for (const entry of choice.unsaid.filter(isImageEntry).slice(0, MAX_LOOKS)) {
    const found = await tryEntry(entry, search);
    if (found === undefined) continue;
    if (matchPlatform(search.wanted, found.platform) !== undefined) return found;
    search.offered.push(renderPlatform(found.platform));
  }
  return undefined;
}

/** Undefined for what turns out to be no image: without a platform an entry may be anything. */
async function tryEntry(entry: OciIndexEntry, search: Search): Promise<OciImage | undefined> {
  try {
    return await readEntry(entry, search);
  } catch (error) {
    if (error instanceof ManifestError) return undefined;
    throw error;
  }
}

async function readEntry(entry: OciIndexEntry, search: Search): Promise<OciImage | undefined> {
  const { read, options, depth } = search;
  const document = await readDocument(entry, read, options);
  if (!isIndexType(entry.mediaType)) return readImage(document, read, options, undefined);
  if (depth === MAX_DEPTH) throw tooDeep(options);
  const { manifests } = parseIndex(document.bytes, entry.mediaType);
  const found = await searchEntries(manifests, { ...search, depth: depth + 1 });
  return found === undefined ? undefined : { ...found, index: document.descriptor };
}

function tooDeep({ source }: ResolveOptions): FetchError {
  return new FetchError(
    'FETCH_PROTOCOL',
    `${source}: its indexes lead to further ones, more than ${String(MAX_DEPTH)} deep`,
  );
}

/** An index may have signatures and the like beside images. */
function isImageEntry({ mediaType, artifactType }: OciIndexEntry): boolean {
  return artifactType === undefined && (isIndexType(mediaType) || isManifestType(mediaType));
}

async function readDocument(
  entry: OciDescriptor,
  read: ReadDocument,
  options: ResolveOptions,
): Promise<Root> {
  const descriptor = descriptorOf(entry);
  return {
    bytes: await readVerified(descriptor, OCI_LIMITS.manifestBytes, read, options),
    descriptor,
  };
}

async function readVerified(
  descriptor: Descriptor,
  limitBytes: number,
  read: ReadDocument,
  { source }: ResolveOptions,
): Promise<Buffer> {
  if (descriptor.size > limitBytes) {
    throw new FetchError(
      'FETCH_SIZE',
      `${source}: the document ${descriptor.digest} has ${String(descriptor.size)} bytes, more than the ${String(limitBytes)} allowed`,
    );
  }
  const bytes = Buffer.from(await read(descriptor, limitBytes));
  verifyDocument(source, descriptor, bytes);
  return bytes;
}

async function readImage(
  root: Root,
  read: ReadDocument,
  options: ResolveOptions,
  index: Descriptor | undefined,
): Promise<OciImage> {
  const { mediaType } = root.descriptor;
  const manifest = parseManifest(root.bytes, isManifestType(mediaType) ? mediaType : undefined);
  const descriptor = descriptorOf(manifest.config);
  const bytes = await readVerified(descriptor, OCI_LIMITS.configBytes, read, options);
  const config = parseImageConfig(bytes, manifest.layers.length);
  return {
    manifest: root,
    config: { bytes, descriptor },
    layers: manifest.layers.map(descriptorOf),
    diffIds: config.rootfs.diff_ids,
    platform: platformOfConfig(config),
    index,
    refName: options.refName,
  };
}

export function platformOfConfig({ os, architecture, variant }: OciImageConfig): Platform {
  return { os, architecture, ...(variant === undefined || variant === '' ? {} : { variant }) };
}
