/**
 * Brings an OCI or Docker image into the store: whole or not at all, and visible only once it is whole (publish.ts).
 *
 * resolve → the store has its id: done. Else: a clone of the snapshot with the longest chain of its layers, or an empty dataset →
 * download the rest, several at once, while those that are there are unpacked in their order, each followed by its snapshot → seal.
 *
 * No lock is held meanwhile. An image that goes away while we want to clone it shows as a missing snapshot, and the next shorter chain is
 * taken; once cloned, its dataset cannot go. Of two that bring the same image, the one that is later at the lock finds the
 * other's. Killed, we leave what a dead lease names, for gc, and blobs, which the next try goes on with.
 */
import { createHash } from 'node:crypto';
import { rmSync } from 'node:fs';
import path from 'node:path';

import { ArchiveError, errnoOf, FetchError, ImageError, ZfsError } from '../errors.ts';
import type { BlobProgress } from '../fetch/registry/download.ts';
import type { Timing } from '../fetch/ports.ts';
import type { OciSource } from '../fetch/source.ts';
import type { Descriptor, Digest, OciImage, Platform } from '../formats/oci/model.ts';
import { matchPlatform, noPlatform, renderPlatform } from '../formats/oci/platform.ts';
import { ociImageId } from '../formats/aci/writer.ts';
import { type ConvertedImage, type OciNames, toAppc } from '../formats/oci/to-appc.ts';
import type { ImageId } from '../schema/appc.ts';
import type { ImageManifest } from '../schema/image-manifest.ts';
import { parseImageConfig } from '../schema/oci.ts';
import { requireTrust, type TrustPolicy, type TrustVerdict } from '../trust/gate.ts';
import {
  checkBlob,
  createBlobWriter,
  findBlob,
  forgetDamaged,
  keepBlob,
  keepFile,
  openBlobStream,
  shareFile,
  type StoredBlob,
} from './blobs.ts';
import {
  addToChains,
  chainIdsOf,
  chainSnapshot,
  findSharedChains,
  type SharedChain,
  treeNameOf,
} from './chains.ts';
import { type LayerDownloads, startDownloads } from './layer-downloads.ts';
import { DEFAULT_LIMITS, type ImportLimits } from './limits.ts';
import type { ImagePorts } from './ports.ts';
import { createTree, makeImage, type Making, sealImage } from './publish.ts';
import { dropScratch } from './scratch.ts';
import { findMeta, getManifest, type ImageMeta, type StoredLayer } from './store.ts';
import { checkLayer, unpackLayer } from './tree/unpack-layer.ts';

export interface OciImportRequest {
  /** Not closed here. */
  readonly source: OciSource;
  readonly platform: Platform;
  /** Somebody asked for this platform: an image for another one is refused. Else it is taken, with a warning. */
  readonly isPlatformAsked?: boolean;
  readonly names: (image: OciImage) => OciNames;
  readonly trust: { readonly verdict: TrustVerdict; readonly policy: TrustPolicy };
  readonly timing: Timing;
  /** `--insecure-options=devices`. */
  readonly allowDevices?: boolean;
  /** Of the image as a whole. */
  readonly limits?: Partial<ImportLimits>;
  readonly onProgress?: (progress: OciProgress) => void;
  /** Ends the import, and takes it back. */
  readonly signal?: AbortSignal;
  /** Something that should have been taken back is still there; gc will find it. */
  readonly onUndoFailure?: (failure: string) => void;
}

/** Told often; `unpackedLayer` is there once for each layer, when it has its snapshot. */
export interface OciProgress {
  readonly layers: number;
  /** In the store before. */
  readonly sharedLayers: number;
  readonly unpackedLayers: number;
  /** Of the blobs that have to come. */
  readonly totalBytes: number;
  readonly receivedBytes: number;
  /** Of those that an earlier try had left. */
  readonly resumedBytes: number;
  readonly unpackedLayer?: { readonly number: number; readonly layer: StoredLayer };
}

export interface OciImportResult {
  readonly meta: ImageMeta;
  readonly manifest: ImageManifest;
  /** The same image was there already; nothing has changed. */
  readonly existing: boolean;
  readonly image: OciImage;
  /** What the source has sent of layers. */
  readonly receivedBytes: number;
}

/** Throws FetchError, ArchiveError, ManifestError, ImageError, ZfsError, HostError; the store has the same images as before then. */
export async function importOci(
  ports: ImagePorts,
  request: OciImportRequest,
): Promise<OciImportResult> {
  const { source, trust, signal } = request;
  requireTrust(source.name, trust.verdict, trust.policy);
  const image = await source.resolve(request.platform, signal === undefined ? {} : { signal });
  const plan = planImport(request, image);
  const known = findMeta(ports.layout, plan.id);
  if (known !== undefined) {
    const { manifest } = getManifest(ports.layout, known.id);
    return { meta: known, manifest, existing: true, image, receivedBytes: 0 };
  }
  const work = new OciImport(ports, request, plan);
  const options = {
    onPublished: (meta: ImageMeta) => {
      addToChains(ports.layout, meta);
    },
    ...(request.onUndoFailure === undefined ? {} : { onUndoFailure: request.onUndoFailure }),
  };
  const made = await makeImage(ports, options, (making) => work.fill(making));
  return {
    meta: made.existing ?? made.meta,
    manifest: made.manifest,
    existing: made.existing !== undefined,
    image,
    receivedBytes: work.receivedBytes,
  };
}

/** One layer as the source has it, and what it is in the tree. */
interface PlannedLayer {
  readonly blob: Descriptor;
  readonly diffId: Digest;
  readonly chainId: Digest;
}

interface Plan extends Pick<ConvertedImage, 'manifest' | 'warnings'> {
  readonly id: ImageId;
  readonly image: OciImage;
  readonly manifestBytes: Buffer;
  readonly layers: readonly PlannedLayer[];
}

/** All that can be known before the first layer comes. Throws ManifestError, FETCH_NO_PLATFORM. */
function planImport(request: OciImportRequest, image: OciImage): Plan {
  const { source, platform } = request;
  const isRight = matchPlatform(platform, image.platform) !== undefined;
  const offered = renderPlatform(image.platform);
  if (!isRight && request.isPlatformAsked === true)
    throw noPlatform(source.name, platform, [offered]);
  const config = parseImageConfig(image.config.bytes, image.layers.length);
  const converted = toAppc(config, image.config.descriptor.digest, request.names(image));
  const chain = chainIdsOf(image.diffIds);
  const layers = image.layers.map((blob, i): PlannedLayer => {
    const diffId = image.diffIds[i];
    const chainId = chain[i];
    if (diffId === undefined || chainId === undefined)
      throw new FetchError(
        'FETCH_PROTOCOL',
        `${source.name}: layer ${String(i + 1)} has no digest`,
      );
    return { blob, diffId, chainId };
  });
  const warning = `it is for ${offered}, and ${renderPlatform(platform)} was wanted`;
  return {
    id: ociImageId(converted.bytes),
    image,
    manifest: converted.manifest,
    manifestBytes: converted.bytes,
    warnings: [...converted.warnings, ...(isRight ? [] : [warning])],
    layers,
  };
}

/** What the image is built on: the layers that are there already, as their image has them. */
interface Base {
  readonly root: string;
  readonly shared: readonly StoredLayer[];
}

class OciImport {
  readonly #ports: ImagePorts;
  readonly #request: OciImportRequest;
  readonly #plan: Plan;
  readonly #received = new Map<Digest, BlobProgress>();
  #wanted: readonly Descriptor[] = [];
  #base: Base = { root: '', shared: [] };
  #unpacked: readonly StoredLayer[] = [];

  constructor(ports: ImagePorts, request: OciImportRequest, plan: Plan) {
    this.#ports = ports;
    this.#request = request;
    this.#plan = plan;
  }

  get receivedBytes(): number {
    return sum([...this.#received.values()], (each) => each.receivedBytes - each.resumedBytes);
  }

  /** Ends with a sealed dataset and a whole folder of metadata. */
  async fill(making: Making): Promise<{ meta: ImageMeta; manifest: ImageManifest }> {
    const { layers, manifest, manifestBytes } = this.#plan;
    const { signal, source, timing } = this.#request;
    this.#base = await this.#createBase(making);
    const { shared } = this.#base;
    const missing = this.#keepStored(making);
    this.#wanted = missing;
    const downloads = startDownloads(this.#ports, {
      source,
      making,
      blobs: missing,
      timing,
      signal,
      onProgress: (progress) => {
        this.#received.set(progress.blob.digest, progress);
        this.#report();
      },
    });
    const warnings: string[] = [];
    try {
      await this.#keepDocuments(making);
      for (const index of layers.keys()) {
        if (index >= this.#base.shared.length)
          warnings.push(...(await this.#addLayer(making, downloads, index)));
      }
      // Those of shared layers that nobody has had any more.
      for (const { digest } of missing) await downloads.blob(digest);
      await this.#checkShared(making, shared);
    } catch (error) {
      // A part that has filled the disk would keep everybody else from it.
      await downloads.stop({ leave: !isDiskFull(error) });
      if (isWorthKeeping(error, signal)) forgetLinks(making);
      throw error;
    }
    const meta = this.#metaOf(warnings);
    await sealImage(this.#ports, making, { meta, manifest, manifestBytes }, signal);
    return { meta, manifest };
  }

  async #createBase(making: Making): Promise<Base> {
    const { zfs, layout } = this.#ports;
    const { layers } = this.#plan;
    const source = this.#request.source.name;
    const chain = layers.map(({ chainId }) => chainId);
    for await (const candidate of findSharedChains(this.#ports, chain)) {
      const shared = this.#keepListings(making, candidate);
      if (shared === undefined) continue;
      try {
        const root = await createTree(this.#ports, making, { source, from: candidate.snapshot });
        return { root, shared };
      } catch (error) {
        // It went away just now, or was never there: on with the next shorter chain.
        if (!(error instanceof ZfsError) || error.code !== 'ZFS_MISSING') throw error;
        await dropScratch(zfs, layout, making.uuid);
      }
    }
    return { root: await createTree(this.#ports, making, { source }), shared: [] };
  }

  /** Undefined when the image that is to be cloned, or a listing of its layers, is not there any more. */
  #keepListings(making: Making, candidate: SharedChain): readonly StoredLayer[] | undefined {
    const base = findMeta(this.#ports.layout, candidate.imageId);
    const shared = base?.oci?.layers.slice(0, candidate.layers) ?? [];
    const isWhole =
      shared.length === candidate.layers &&
      this.#plan.layers
        .slice(0, candidate.layers)
        .every(({ chainId }) => keepFile(this.#ports, treeNameOf(chainId), making.blobs));
    return isWhole ? shared : undefined;
  }

  /** Links what the store has; returns what it has not. A shared layer is as good in the compression that is there. */
  #keepStored(making: Making): readonly Descriptor[] {
    const missing: Descriptor[] = [];
    const { shared } = this.#base;
    this.#base = {
      ...this.#base,
      shared: shared.map((stored, i) => {
        const blob = this.#plan.layers[i]?.blob;
        if (blob === undefined) return stored;
        if (blob.digest === stored.digest) this.#checkSize(blob, stored.sizeBytes);
        if (keepBlob(this.#ports, blob.digest, making.blobs)) return asCame(stored, blob);
        if (keepBlob(this.#ports, stored.digest as Digest, making.blobs)) return stored;
        missing.push(blob);
        return asCame(stored, blob);
      }),
    };
    for (const { blob } of this.#plan.layers.slice(shared.length)) {
      if (!keepBlob(this.#ports, blob.digest, making.blobs)) missing.push(blob);
    }
    return [...new Map(missing.map((blob) => [blob.digest, blob])).values()];
  }

  /**
   * Blobs of shared layers are not unpacked: those that are others than what was unpacked once are read here, or an export would give
   * away as this layer whatever the manifest names. `before`: as their image has them.
   */
  async #checkShared(making: Making, before: readonly StoredLayer[]): Promise<void> {
    const { signal } = this.#request;
    for (const [i, { diffId, digest }] of this.#base.shared.entries()) {
      if (digest === before[i]?.digest) continue;
      const blob = findBlob(this.#ports, digest as Digest, making.blobs);
      if (blob === undefined)
        throw new FetchError('FETCH_PROTOCOL', `the blob ${digest} is not where it was put`);
      const checked = checkLayer(this.#ports, {
        chunks: openBlobStream(blob, signal === undefined ? {} : { signal }),
        totalBytes: blob.storedBytes,
        digest: digest as Digest,
        diffId: diffId as Digest,
        ...(this.#request.limits === undefined ? {} : { limits: this.#request.limits }),
        ...(signal === undefined ? {} : { signal }),
      });
      await checked.catch((error: unknown) => this.#blame(making, blob, error));
    }
  }

  /** Manifest and configuration as they came: an export gives them back. */
  async #keepDocuments(making: Making): Promise<void> {
    const { config } = this.#plan.image;
    const manifest = this.#manifest;
    for (const { bytes, descriptor } of [config, ...(manifest === undefined ? [] : [manifest])]) {
      const writer = await createBlobWriter(this.#ports, {
        uuid: making.uuid,
        digest: descriptor.digest,
        sizeBytes: bytes.length,
        keepIn: making.blobs,
      });
      // What a killed try has left of it may be a part.
      if (writer.bytesSoFar > 0) await writer.restart();
      await writer.write(bytes);
      await writer.commit();
    }
  }

  /** What a manifest says of a layer goes out with it again, so it is not to be wrong. */
  #checkSize({ digest, size }: Descriptor, actualBytes: number): void {
    if (size === actualBytes) return;
    throw new FetchError(
      'FETCH_SIZE',
      `${this.#request.source.name}: blob ${digest} has ${String(actualBytes)} bytes, and the manifest says ${String(size)}`,
      { remedies: ['nothing of it was used; tell those who made the image'] },
    );
  }

  /** Unpacks a layer over those below it, and takes its snapshot. Returns its warnings. */
  async #addLayer(
    making: Making,
    downloads: LayerDownloads,
    index: number,
  ): Promise<readonly string[]> {
    const planned = this.#plan.layers[index];
    if (planned === undefined) return [];
    const { blob, diffId, chainId } = planned;
    const stored = await this.#getBlob(making, downloads, blob);
    const { allowDevices, signal } = this.#request;
    const listing = treeNameOf(chainId);
    const listingFile = path.join(making.blobs, listing);
    // A chain that could not be cloned may have left its link.
    rmSync(listingFile, { force: true });
    const unpacked = unpackLayer(this.#ports, {
      root: this.#base.root,
      chunks: openBlobStream(stored, signal === undefined ? {} : { signal }),
      totalBytes: stored.storedBytes,
      digest: blob.digest,
      diffId,
      isLowest: index === 0,
      listingFile,
      limits: this.#limitsLeft(),
      ...(allowDevices === undefined ? {} : { allowDevices }),
      ...(signal === undefined ? {} : { signal }),
    });
    const summary = await unpacked.catch((error: unknown) => this.#blame(making, stored, error));
    // It may have been here: a download has been measured already.
    this.#checkSize(blob, summary.blobBytes);
    shareFile(this.#ports, listing, making.blobs);
    signal?.throwIfAborted();
    await this.#ports.zfs.snapshot(chainSnapshot(making.scratch, chainId));
    const { treeBytes, entries, warnings } = summary;
    const layer = {
      diffId,
      chainId,
      digest: blob.digest,
      mediaType: blob.mediaType,
      sizeBytes: blob.size,
      treeBytes,
      entries,
    };
    this.#unpacked = [...this.#unpacked, layer];
    this.#report({ number: index + 1, layer });
    return warnings;
  }

  /** What the store has had may be damaged there: then the store must not have it any longer. */
  async #blame(making: Making, stored: StoredBlob, error: unknown): Promise<never> {
    const isFromStore = !this.#wanted.some(({ digest }) => digest === stored.digest);
    if (!(error instanceof ArchiveError) || !isFromStore) throw error;
    if ((await checkBlob(stored)) === undefined) throw error;
    forgetDamaged(this.#ports, path.basename(stored.file), making.blobs);
    throw new ImageError('IMAGE_DAMAGED', `the stored layer ${stored.digest} is damaged`, {
      remedies: [
        'try again: it is fetched again then',
        'see which images have it with: jetpack image verify --all',
      ],
      cause: error,
    });
  }

  async #getBlob(
    making: Making,
    downloads: LayerDownloads,
    { digest }: Descriptor,
  ): Promise<StoredBlob> {
    if (this.#wanted.some((each) => each.digest === digest)) await downloads.blob(digest);
    const stored = findBlob(this.#ports, digest, making.blobs);
    if (stored !== undefined) return stored;
    throw new FetchError('FETCH_PROTOCOL', `the blob ${digest} is not where it was put`);
  }

  /** Not where a layer is here in another compression than it says: it is not the manifest of what is here then. */
  get #manifest(): OciImage['manifest'] {
    const { shared } = this.#base;
    const isAsCame = shared.every(({ digest }, i) => digest === this.#plan.layers[i]?.blob.digest);
    return isAsCame ? this.#plan.image.manifest : undefined;
  }

  get #layers(): readonly StoredLayer[] {
    return [...this.#base.shared, ...this.#unpacked];
  }

  #limitsLeft(): Partial<ImportLimits> {
    const limits = { ...DEFAULT_LIMITS, ...this.#request.limits };
    return {
      ...limits,
      treeBytes: limits.treeBytes - sum(this.#layers, ({ treeBytes }) => treeBytes),
      entries: limits.entries - sum(this.#layers, ({ entries }) => entries),
    };
  }

  #metaOf(warnings: readonly string[]): ImageMeta {
    const { id, image, manifest, manifestBytes } = this.#plan;
    const { source, trust } = this.#request;
    const came = this.#manifest;
    return {
      version: 1,
      id,
      name: manifest.name,
      labels: manifest.labels ?? [],
      importedAt: this.#ports.clock.now().toISOString(),
      source: source.name,
      oci: {
        ...(came === undefined ? {} : { manifestDigest: came.descriptor.digest }),
        configDigest: image.config.descriptor.digest,
        layers: this.#layers,
        sharedLayers: this.#base.shared.length,
      },
      treeBytes: sum(this.#layers, ({ treeBytes }) => treeBytes),
      entries: sum(this.#layers, ({ entries }) => entries),
      manifestDigest: `sha512-${createHash('sha512').update(manifestBytes).digest('hex')}`,
      ...(trust.verdict.kind === 'signed' ? { signedBy: trust.verdict.fingerprint } : {}),
      warnings: [...new Set([...this.#plan.warnings, ...warnings])],
    };
  }

  #report(unpackedLayer?: OciProgress['unpackedLayer']): void {
    const received = [...this.#received.values()];
    this.#request.onProgress?.({
      layers: this.#plan.layers.length,
      sharedLayers: this.#base.shared.length,
      unpackedLayers: this.#unpacked.length,
      totalBytes: sum(this.#wanted, ({ size }) => size),
      receivedBytes: sum(received, ({ receivedBytes }) => receivedBytes),
      resumedBytes: sum(received, ({ resumedBytes }) => resumedBytes),
      ...(unpackedLayer === undefined ? {} : { unpackedLayer }),
    });
  }
}

function asCame(stored: StoredLayer, { digest, mediaType, size }: Descriptor): StoredLayer {
  return { ...stored, digest, mediaType, sizeBytes: size };
}

/** Not when what came is wrong: when it has not come, or nobody wanted to wait for it. */
function isWorthKeeping(error: unknown, signal: AbortSignal | undefined): boolean {
  if (signal?.aborted === true) return true;
  return (
    error instanceof FetchError &&
    ['FETCH_UNREACHABLE', 'FETCH_TIMEOUT', 'FETCH_RATE_LIMITED'].includes(error.code)
  );
}

function isDiskFull(error: unknown): boolean {
  return ['ENOSPC', 'EDQUOT'].includes(errnoOf(error) ?? '');
}

/** The blobs that have come stay in the store without it, until the next try or gc. */
function forgetLinks({ blobs }: Making): void {
  rmSync(blobs, { recursive: true, force: true });
}

function sum<T>(items: readonly T[], of: (item: T) => number): number {
  return items.reduce((total, item) => total + of(item), 0);
}
