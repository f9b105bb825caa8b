/** Brings an ACI into the store: whole or not at all, and visible only once it is whole (publish.ts). */
import { createHash } from 'node:crypto';
import path from 'node:path';

import { ImageError } from '../errors.ts';
import type { ArchiveSource } from '../formats/tar/archive.ts';
import type { ImageId } from '../schema/appc.ts';
import { type ImageManifest, parseImageManifest } from '../schema/image-manifest.ts';
import { requireTrust, type TrustPolicy, type TrustVerdict } from '../trust/gate.ts';
import { type FetchDependency, type Needer, resolveDependencies } from './dependencies.ts';
import { withKeptArchive } from './keep-archive.ts';
import type { ImportLimits } from './limits.ts';
import type { ImagePorts } from './ports.ts';
import { createTree, type Filled, makeImage, type Making, sealImage } from './publish.ts';
import { applyWhitelist, type Rendered, renderOnDependencies } from './render.ts';
import { FILES, type ImageMeta } from './store.ts';
import { type AciProgress, unpackAci, type UnpackedAci } from './tree/unpack-aci.ts';

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
  /** Refuse the archive as soon as it turns out to have more bytes than these, or fewer at its end. */
  readonly expectedBytes?: number;
  /** Who needs this image, when it is imported as somebody's dependency: so a circle is seen. */
  readonly neededBy?: readonly Needer[];
  /** How to come by dependencies that are not in the store. Absent: the image is refused then. */
  readonly fetchDependency?: FetchDependency;
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
  const { archive, manifestBytes, ...unpacked } = await readOnce(ports, request, making, root);
  const { manifest, warnings } = parseImageManifest(manifestBytes);
  const id = `sha512-${archive.tarSha512}` as ImageId;
  refuseUnexpected(request, id, manifest, archive.archiveBytes);
  const { verdict } = request.trust;
  const known = {
    id,
    name: manifest.name,
    labels: manifest.labels ?? [],
    archive: {
      digest: `sha512-${archive.archiveSha512}`,
      sizeBytes: archive.archiveBytes,
      compression: archive.compression,
      tarBytes: archive.tarBytes,
    },
  };
  const { dependencies, ...rendered } = await render(ports, request, making, {
    root,
    manifest,
    unpacked,
    known,
  });
  const meta: ImageMeta = {
    version: 1,
    ...known,
    importedAt: ports.clock.now().toISOString(),
    source: request.source,
    ...(dependencies.length === 0 ? {} : { dependencies: dependencies.map((each) => each.id) }),
    treeBytes: rendered.treeBytes,
    entries: rendered.entries,
    manifestDigest: `sha512-${createHash('sha512').update(manifestBytes).digest('hex')}`,
    ...(verdict.kind === 'signed' ? { signedBy: verdict.fingerprint } : {}),
    warnings: [
      ...warnings.map((warning) => `manifest, ${warning.path}: ${warning.message}`),
      ...rendered.warnings,
    ],
  };
  await sealImage(ports, making, { meta, manifest, manifestBytes }, request.signal);
  return { meta, manifest };
}

/** The one pass over the archive: hashed, kept and unpacked; the last only as long as it is not known to have dependencies. */
function readOnce(
  ports: ImagePorts,
  request: ImportRequest,
  making: Making,
  root: string,
): Promise<UnpackedAci> {
  const { archive, allowDevices, expectedBytes, limits, onProgress, signal } = request;
  let bytesSoFar = 0;
  return withKeptArchive(ports, making, (keep) =>
    unpackAci(ports, {
      root,
      archive,
      async onBytes(bytes, compression) {
        bytesSoFar += bytes.length;
        if (expectedBytes !== undefined && bytesSoFar > expectedBytes) {
          throw wrongSize(request, 'more', expectedBytes);
        }
        await keep(bytes, compression);
      },
      wantsTree: (manifest) =>
        (parseImageManifest(manifest).manifest.dependencies ?? []).length === 0,
      listingFile: path.join(making.aside, FILES.tree),
      ...(limits === undefined ? {} : { limits }),
      ...(allowDevices === undefined ? {} : { allowDevices }),
      ...(onProgress === undefined ? {} : { onProgress }),
      ...(signal === undefined ? {} : { signal }),
    }),
  );
}

interface Read {
  readonly root: string;
  readonly manifest: ImageManifest;
  readonly unpacked: Rendered;
  readonly known: Pick<ImageMeta, 'id' | 'name' | 'labels' | 'archive'>;
}

/** What the image is beyond the tree that was in its archive. */
async function render(
  ports: ImagePorts,
  request: ImportRequest,
  making: Making,
  { root, manifest, unpacked, known }: Read,
): Promise<Rendered & { readonly dependencies: readonly ImageMeta[] }> {
  const { pathWhitelist = [] } = manifest;
  const dependencies = await resolveDependencies(ports, manifest, {
    neededBy: request.neededBy,
    fetch: request.fetchDependency,
  });
  if (dependencies.length > 0) {
    const rendered = await renderOnDependencies(
      ports,
      making,
      known,
      pathWhitelist,
      dependencies,
      request,
    );
    return { ...rendered, dependencies };
  }
  if (pathWhitelist.length === 0) return { ...unpacked, dependencies };
  const { entries, treeBytes } = applyWhitelist(making, root, pathWhitelist);
  return { entries, treeBytes, warnings: unpacked.warnings, dependencies };
}

function refuseUnexpected(
  request: ImportRequest,
  id: ImageId,
  manifest: ImageManifest,
  archiveBytes: number,
): void {
  const { expectedId, expectedName, expectedBytes, source } = request;
  if (expectedBytes !== undefined && archiveBytes !== expectedBytes) {
    throw wrongSize(request, 'fewer', expectedBytes);
  }
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

function wrongSize(
  { source }: ImportRequest,
  how: 'more' | 'fewer',
  expectedBytes: number,
): ImageError {
  return new ImageError(
    'IMAGE_DAMAGED',
    `${source} has ${how} than the ${String(expectedBytes)} bytes that it should have`,
    { remedies: ['fetch it again, from a source that you trust'] },
  );
}
