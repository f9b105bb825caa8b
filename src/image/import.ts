/** Brings an ACI into the store: whole or not at all, and visible only once it is whole (publish.ts). */
import { createHash } from 'node:crypto';
import path from 'node:path';

import { ImageError } from '../errors.ts';
import type { ArchiveSource } from '../formats/tar/archive.ts';
import type { ImageId } from '../schema/appc.ts';
import { type ImageManifest, parseImageManifest } from '../schema/image-manifest.ts';
import { requireTrust, type TrustPolicy, type TrustVerdict } from '../trust/gate.ts';
import { withKeptArchive } from './keep-archive.ts';
import type { ImportLimits } from './limits.ts';
import type { ImagePorts } from './ports.ts';
import { createTree, type Filled, makeImage, type Making, sealImage } from './publish.ts';
import { FILES, type ImageMeta } from './store.ts';
import { type AciProgress, unpackAci } from './unpack-aci.ts';

export type ImportProgress = AciProgress;

export interface ImportRequest {
  readonly archive: ArchiveSource;
  /** Where it came from, for people: a path, a URL, `-`. */
  readonly source: string;
  readonly trust: { readonly verdict: TrustVerdict; readonly policy: TrustPolicy };
  /** `--insecure-options=devices`. */
  readonly allowDevices?: boolean;
  /** Refuse the archive if it turns out to be another image. */
  readonly expectedId?: ImageId;
  /** Refuse the archive if its manifest has another name. */
  readonly expectedName?: string;
  readonly limits?: Partial<ImportLimits>;
  readonly onProgress?: (progress: ImportProgress) => void;
  /** Ends the import, and takes it back. */
  readonly signal?: AbortSignal;
  /** Something that should have been taken back is still there; gc will find it. */
  readonly onUndoFailure?: (failure: string) => void;
}

export interface ImportResult {
  readonly meta: ImageMeta;
  readonly manifest: ImageManifest;
  /** The same image was there already; nothing has changed. */
  readonly existing: boolean;
}

/** Throws ImageError, ArchiveError, ManifestError, ZfsError, HostError; the store is as before then. */
export async function importImage(
  ports: ImagePorts,
  request: ImportRequest,
): Promise<ImportResult> {
  requireTrust(request.source, request.trust.verdict, request.trust.policy);
  const { meta, manifest, existing } = await makeImage(ports, request, (making) =>
    unpack(ports, request, making),
  );
  return { meta: existing ?? meta, manifest, existing: existing !== undefined };
}

/** Ends with a sealed image in the making. */
async function unpack(ports: ImagePorts, request: ImportRequest, making: Making): Promise<Filled> {
  const root = await createTree(ports, making, request);
  const { archive, allowDevices, limits, onProgress, signal } = request;
  const written = await withKeptArchive(ports, making, (onBytes) =>
    unpackAci(ports, {
      root,
      archive,
      onBytes,
      listingFile: path.join(making.aside, FILES.tree),
      ...(limits === undefined ? {} : { limits }),
      ...(allowDevices === undefined ? {} : { allowDevices }),
      ...(onProgress === undefined ? {} : { onProgress }),
      ...(signal === undefined ? {} : { signal }),
    }),
  );
  const { manifestBytes } = written;
  const { manifest, warnings } = parseImageManifest(manifestBytes);
  refuseUnrenderable(manifest);
  const id = `sha512-${written.archive.tarSha512}` as ImageId;
  refuseUnexpected(request, id, manifest);
  const { verdict } = request.trust;
  const meta: ImageMeta = {
    version: 1,
    id,
    name: manifest.name,
    labels: manifest.labels ?? [],
    importedAt: ports.clock.now().toISOString(),
    source: request.source,
    archive: {
      digest: `sha512-${written.archive.archiveSha512}`,
      sizeBytes: written.archive.archiveBytes,
      compression: written.archive.compression,
      tarBytes: written.archive.tarBytes,
    },
    treeBytes: written.treeBytes,
    entries: written.entries,
    manifestDigest: `sha512-${createHash('sha512').update(manifestBytes).digest('hex')}`,
    ...(verdict.kind === 'signed' ? { signedBy: verdict.fingerprint } : {}),
    warnings: [
      ...warnings.map((warning) => `manifest, ${warning.path}: ${warning.message}`),
      ...written.warnings,
    ],
  };
  await sealImage(ports, making, { meta, manifest, manifestBytes }, request.signal);
  return { meta, manifest };
}

/** What rendering would need and is not done here is refused by name. */
function refuseUnrenderable(manifest: ImageManifest): void {
  const [dependency] = manifest.dependencies ?? [];
  if (dependency !== undefined) {
    throw new ImageError(
      'IMAGE_DEPENDENCY',
      `${manifest.name} depends on ${dependency.imageName}: images with dependencies cannot be imported`,
      { remedies: ['import an archive that has everything in it'] },
    );
  }
  if ((manifest.pathWhitelist ?? []).length > 0) {
    throw new ImageError(
      'IMAGE_DEPENDENCY',
      `${manifest.name} has a pathWhitelist, which cannot be applied`,
      { remedies: ['import an archive without one'] },
    );
  }
}

function refuseUnexpected(request: ImportRequest, id: ImageId, manifest: ImageManifest): void {
  const { expectedId, expectedName, source } = request;
  if (expectedId !== undefined && expectedId !== id) {
    throw new ImageError('IMAGE_DAMAGED', `${source} is not the image ${expectedId} but ${id}`, {
      remedies: ['fetch it again, from a source that you trust'],
    });
  }
  if (expectedName !== undefined && expectedName !== manifest.name) {
    throw new ImageError(
      'IMAGE_DAMAGED',
      `${source} is not an image of ${expectedName} but of ${manifest.name}`,
    );
  }
}
