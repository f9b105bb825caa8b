/**
 * An image of the store in the form of OCI: what `image export` writes and `image push` sends. One that came as an OCI image is
 * given back as it came, manifest and layers; any other, and one that is wanted flat, has a single layer made of its tree.
 */
import { createHash } from 'node:crypto';
import path from 'node:path';
import { pipeline } from 'node:stream';
import { createGzip, createZstdCompress } from 'node:zlib';

import { ImageError } from '../errors.ts';
import type { PushableBlob, PushableImage } from '../fetch/registry/pushable.ts';
import { canonicalJson } from '../formats/canonical-json.ts';
import { fromAppc } from '../formats/oci/from-appc.ts';
import {
  algorithmOf,
  type Descriptor,
  type Digest,
  hexOf,
  parseDigest,
  type Platform,
} from '../formats/oci/model.ts';
import { decompress } from '../formats/tar/decompress.ts';
import { type TarContent, writeTar } from '../formats/tar/writer.ts';
import { sniffCompression } from '../formats/tar/sniff.ts';
import type { ImageManifest } from '../schema/image-manifest.ts';
import { MEDIA_TYPES, parseManifest } from '../schema/oci.ts';
import { findBlob, openBlobStream, type StoredBlob } from './blobs.ts';
import { listingsOf } from './tree/listings-of.ts';
import { withMountedTree } from './tree/mounted-tree.ts';
import type { ImagePorts } from './ports.ts';
import { spool, type Spooled } from './spool.ts';
import { FILES, getManifest, type ImageMeta, type StoredLayer } from './store.ts';
import { treeContents } from './tree/tree-archive.ts';
import { foldTreeListings } from './tree/tree-fold.ts';
import type { TreeListing } from './tree/tree-listing.ts';

export type LayerCompression = 'gzip' | 'zstd' | 'none';

export interface FormLayer extends PushableBlob {
  /** Of its tar. */
  readonly diffId: Digest;
  /** Its tar. */
  readonly openTar: () => AsyncIterable<Uint8Array>;
}

export interface OciForm extends PushableImage {
  readonly manifest: PushableImage['manifest'] & { readonly descriptor: Descriptor };
  readonly config: PushableBlob & { readonly bytes: Buffer };
  readonly layers: readonly FormLayer[];
  /** What the image says and an OCI image cannot, for people. */
  readonly lost: readonly string[];
  /** Idempotent. What was made for this is gone. */
  close(): Promise<void>;
}

export interface OciFormOptions {
  /** One layer, whatever it came as. */
  readonly flat?: boolean;
  /** Of layers that are made here. Default: gzip, which everybody reads. */
  readonly compression?: LayerCompression;
  /** For an image that says no platform. */
  readonly fallback: Platform;
  readonly signal?: AbortSignal | undefined;
  /** Of a layer that is made of the tree. */
  readonly onProgress?: ((doneBytes: number, totalBytes: number) => void) | undefined;
}

/** To be closed. Throws ImageError, ManifestError, ZfsError, HostError. */
export async function openOciForm(
  ports: ImagePorts,
  image: ImageMeta,
  options: OciFormOptions,
): Promise<OciForm> {
  return image.oci === undefined || options.flat === true
    ? flatForm(ports, image, options)
    : storedForm(ports, image, image.oci.layers, options);
}

/** The listing of an image's whole tree; undefined for one that has none, of no layers. Throws IMAGE_DAMAGED. */
export function treeListingOf(
  { layout }: Pick<ImagePorts, 'layout'>,
  image: ImageMeta,
): TreeListing | undefined {
  if (image.oci?.layers.length === 0) return undefined;
  const listing = foldTreeListings(listingsOf(layout, image));
  if (listing !== undefined) return listing;
  throw new ImageError('IMAGE_DAMAGED', `the listing of image ${image.id} cannot be read`, {
    remedies: ['look closer with: jetpack image verify'],
  });
}

// As it came

async function storedForm(
  ports: ImagePorts,
  image: ImageMeta,
  stored: readonly StoredLayer[],
  options: OciFormOptions,
): Promise<OciForm> {
  const config = await readDocument(ports, image, image.oci?.configDigest);
  const manifest =
    image.oci?.manifestDigest === undefined
      ? undefined
      : await readDocument(ports, image, image.oci.manifestDigest);
  const layers = manifest === undefined ? undefined : asAnnounced(ports, image, manifest.bytes);
  if (manifest !== undefined && layers !== undefined) {
    return createForm(manifest.bytes, config.bytes, layers, [], []);
  }
  // Of a layer that other images have in another compression, and of archives that have no manifest.
  const spools: Spooled[] = [];
  try {
    const own: FormLayer[] = [];
    for (const layer of stored) own.push(await asStored(ports, image, layer, spools, options));
    return createForm(renderManifest(config.bytes, own), config.bytes, own, [], spools);
  } catch (error) {
    await closeAll(spools);
    throw error;
  }
}

/** The layers that the manifest names, or undefined when one of them is not there. */
function asAnnounced(
  ports: ImagePorts,
  image: ImageMeta,
  manifest: Buffer,
): readonly FormLayer[] | undefined {
  const layers: FormLayer[] = [];
  const announced = parseManifest(manifest).layers;
  for (const [i, { mediaType, digest, size }] of announced.entries()) {
    const blob = findBlob(ports, digest, blobsOf(ports, image));
    const diffId = parseDigest(image.oci?.layers[i]?.diffId ?? '');
    if (blob === undefined || diffId === undefined) return undefined;
    layers.push(blobLayer(ports, blob, { mediaType, digest, size }, diffId));
  }
  return layers;
}

function blobLayer(
  ports: ImagePorts,
  blob: StoredBlob,
  descriptor: Descriptor,
  diffId: Digest,
): FormLayer {
  const open = () => openBlobStream(blob);
  return { descriptor, diffId, open, openTar: () => openTar(ports, open()) };
}

async function asStored(
  ports: ImagePorts,
  image: ImageMeta,
  layer: StoredLayer,
  spools: Spooled[],
  options: OciFormOptions,
): Promise<FormLayer> {
  const digest = parseDigest(layer.digest);
  const diffId = parseDigest(layer.diffId);
  const blob = digest && findBlob(ports, digest, blobsOf(ports, image));
  if (blob === undefined || digest === undefined || diffId === undefined) {
    throw lost(image, layer.digest);
  }
  if (blob.form === 'zstd') return packed(ports, openBlobStream(blob), diffId, spools, options);
  const mediaType = OCI_TYPES.get(layer.mediaType) ?? layer.mediaType;
  return blobLayer(ports, blob, { mediaType, digest, size: layer.sizeBytes }, diffId);
}

/** In a manifest of our own everything is called as OCI calls it. */
const OCI_TYPES: ReadonlyMap<string, string> = new Map([
  [MEDIA_TYPES.dockerLayer, MEDIA_TYPES.ociLayer],
  [MEDIA_TYPES.dockerLayerGzip, MEDIA_TYPES.ociLayerGzip],
  ['application/vnd.docker.image.rootfs.diff.tar.zstd', MEDIA_TYPES.ociLayerZstd],
]);

async function readDocument(
  ports: ImagePorts,
  image: ImageMeta,
  digestText: string | undefined,
): Promise<{ readonly bytes: Buffer }> {
  const digest = parseDigest(digestText ?? '');
  const blob = digest && findBlob(ports, digest, blobsOf(ports, image));
  if (blob === undefined) throw lost(image, digestText ?? 'its configuration');
  const chunks: Buffer[] = [];
  for await (const chunk of openBlobStream(blob)) chunks.push(chunk);
  const bytes = Buffer.concat(chunks);
  const hex = createHash(algorithmOf(blob.digest)).update(bytes).digest('hex');
  if (hex !== hexOf(blob.digest)) throw lost(image, blob.digest);
  return { bytes };
}

/** The folder of the image's own links: what is in it no gc takes. */
function blobsOf({ layout }: Pick<ImagePorts, 'layout'>, { id }: ImageMeta): string {
  return path.join(layout.dir.image(id), FILES.blobs);
}

function lost(image: ImageMeta, what: string): ImageError {
  return new ImageError('IMAGE_DAMAGED', `image ${image.id} has lost ${what}`, {
    remedies: ['look closer with: jetpack image verify', 'export it with --flat, from its tree'],
  });
}

async function* openTar(
  ports: ImagePorts,
  blob: AsyncIterable<Buffer>,
): AsyncGenerator<Buffer, void, undefined> {
  const chunks = blob[Symbol.asyncIterator]();
  const first = await chunks.next();
  if (first.done === true) return;
  const compression = sniffCompression(first.value) ?? 'none';
  async function* again(head: Buffer): AsyncGenerator<Buffer, void, undefined> {
    yield head;
    for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) {
      yield next.value;
    }
  }
  yield* decompress(compression, again(first.value), ports);
}

// One layer of the tree

async function flatForm(
  ports: ImagePorts,
  image: ImageMeta,
  options: OciFormOptions,
): Promise<OciForm> {
  const { manifest } = getManifest(ports.layout, image.id);
  const spools: Spooled[] = [];
  try {
    const layer = await withMountedTree(ports, image.id, (root) => {
      const { signal, onProgress } = options;
      const listing = treeListingOf(ports, image);
      const tree = treeContents(ports, root, { listing, signal, onProgress });
      return packed(ports, writeTar(inLayer(tree)), undefined, spools, options);
    });
    const { config, lost } = flatConfig(manifest, layer.diffId, options.fallback);
    return createForm(renderManifest(config, [layer]), config, [layer], lost, spools);
  } catch (error) {
    await closeAll(spools);
    throw error;
  }
}

/** The root of a layer is `.`, whose mode and owner are the root's. */
async function* inLayer(
  tree: AsyncIterable<TarContent>,
): AsyncGenerator<TarContent, void, undefined> {
  for await (const each of tree) {
    yield each.member.name === '' ? { ...each, member: { ...each.member, name: '.' } } : each;
  }
}

function flatConfig(
  manifest: ImageManifest,
  diffId: Digest,
  fallback: Platform,
): { readonly config: Buffer; readonly lost: readonly string[] } {
  const created = manifest.annotations?.find(({ name }) => String(name) === 'created')?.value;
  const history = {
    ...(created === undefined ? {} : { created }),
    created_by: 'jetpack image export',
    comment: 'all layers as one',
  };
  const { bytes, lost } = fromAppc(manifest, { diffIds: [diffId], history: [history], fallback });
  return { config: bytes, lost };
}

const LAYER_TYPES = {
  gzip: MEDIA_TYPES.ociLayerGzip,
  zstd: MEDIA_TYPES.ociLayerZstd,
  none: MEDIA_TYPES.ociLayer,
} as const;

/** A tar as a layer, in a file of its own. `diffId`: of the tar, where it is known. */
async function packed(
  ports: ImagePorts,
  tar: AsyncIterable<Buffer>,
  diffId: Digest | undefined,
  spools: Spooled[],
  { compression = 'gzip', signal }: OciFormOptions,
): Promise<FormLayer> {
  const hash = createHash('sha256');
  async function* hashed(): AsyncGenerator<Buffer, void, undefined> {
    for await (const chunk of tar) {
      signal?.throwIfAborted();
      hash.update(chunk);
      yield chunk;
    }
  }
  const spooled = await spool(ports.layout, compress(hashed(), compression));
  spools.push(spooled);
  const found = `sha256:${hash.digest('hex')}` as Digest;
  if (diffId !== undefined && diffId !== found) {
    throw new ImageError('IMAGE_DAMAGED', `what should be the layer ${diffId} is something else`, {
      remedies: ['look closer with: jetpack image verify'],
    });
  }
  const { digest, sizeBytes: size } = spooled;
  return {
    descriptor: { mediaType: LAYER_TYPES[compression], digest, size },
    diffId: found,
    open: () => spooled.read(),
    openTar: () => openTar(ports, spooled.read()),
  };
}

/** The same bytes for the same tar, by the same version of the compressor: no time and no name is in them. */
function compress(
  tar: AsyncGenerator<Buffer, void, undefined>,
  compression: LayerCompression,
): AsyncIterable<Buffer> {
  if (compression === 'none') return tar;
  const encoder = compression === 'gzip' ? createGzip({ level: 6 }) : createZstdCompress();
  // What goes wrong before the encoder comes out of it.
  return pipeline(tar, encoder, () => undefined) as AsyncIterable<Buffer>;
}

// Both

function renderManifest(config: Buffer, layers: readonly FormLayer[]): Buffer {
  return Buffer.from(
    canonicalJson({
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociManifest,
      config: describe(config, MEDIA_TYPES.ociConfig),
      layers: layers.map(({ descriptor }) => descriptor),
    }),
  );
}

function createForm(
  manifest: Buffer,
  config: Buffer,
  layers: readonly FormLayer[],
  lost: readonly string[],
  spools: readonly Spooled[],
): OciForm {
  const parsed = parseManifest(manifest);
  const mediaType = parsed.mediaType ?? typeBesides(parsed.config.mediaType);
  const { digest, size, mediaType: configType } = parsed.config;
  return {
    manifest: { bytes: manifest, mediaType, descriptor: describe(manifest, mediaType) },
    config: {
      bytes: config,
      descriptor: { mediaType: configType, digest, size },
      open: () => only(config),
    },
    layers,
    lost,
    close: () => closeAll(spools),
  };
}

/** OCI's manifests need not say what they are; Docker's do. */
function typeBesides(configType: string): string {
  return configType === MEDIA_TYPES.ociConfig
    ? MEDIA_TYPES.ociManifest
    : MEDIA_TYPES.dockerManifest;
}

async function* only(bytes: Buffer): AsyncGenerator<Buffer, void, undefined> {
  yield await Promise.resolve(bytes);
}

function describe(bytes: Buffer, mediaType: string): Descriptor {
  return { mediaType, digest: `sha256:${sha256(bytes)}` as Digest, size: bytes.length };
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

async function closeAll(spools: readonly Spooled[]): Promise<void> {
  for (const each of spools) await each.close();
}
