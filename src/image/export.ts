/** An image out of the store, as others read it: an ACI, an OCI image, an archive of Docker's. */
import { createHash } from 'node:crypto';
import path from 'node:path';

import { ImageError, UsageError } from '../errors.ts';
import { parseDockerRef, renderRepository } from '../fetch/docker-ref.ts';
import { wholeName } from '../fetch/image-name.ts';
import { aciContents } from '../formats/aci/writer.ts';
import { canonicalJson } from '../formats/canonical-json.ts';
import { DOCKER } from '../formats/oci/annotations.ts';
import { type DockerName, dockerArchiveContents } from '../formats/oci/docker-archive-writer.ts';
import { layoutContents, type LayoutNames } from '../formats/oci/layout-writer.ts';
import { parseDigest, type Platform } from '../formats/oci/model.ts';
import { writeTar } from '../formats/tar/writer.ts';
import type { ImageManifest } from '../schema/image-manifest.ts';
import { findBlob, openBlobStream } from './blobs.ts';
import { writeLayoutFolder } from './layout-folder.ts';
import { withMountedTree } from './tree/mounted-tree.ts';
import { type OciForm, openOciForm, treeListingOf } from './oci-form.ts';
import type { ImagePorts } from './ports.ts';
import { spool } from './spool.ts';
import { FILES, getManifest, type ImageMeta } from './store.ts';
import { treeContents } from './tree/tree-archive.ts';

export const EXPORT_FORMATS = ['aci', 'oci', 'docker'] as const;
export type ExportFormat = (typeof EXPORT_FORMATS)[number];

/** An archive is taken as it comes; when that rejects the export ends. A folder becomes an image layout, for the format oci alone. */
export type ExportTarget =
  | {
      readonly kind: 'archive';
      readonly write: (chunks: AsyncIterable<Uint8Array>) => Promise<number>;
    }
  | { readonly kind: 'folder'; readonly dir: string };

export interface ExportRequest {
  readonly image: ImageMeta;
  readonly format: ExportFormat;
  /** From the tree as it is, without layers and dependencies. */
  readonly flat: boolean;
  /** What it is called where it goes; by default what it was called where it comes from. */
  readonly name: string | undefined;
  /** For an image that says no platform. */
  readonly fallback: Platform;
  readonly to: ExportTarget;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((doneBytes: number) => void) | undefined;
}

export interface ExportResult {
  /** What was written: the id of an ACI, the digest of an OCI image's manifest, of a Docker image's configuration. */
  readonly id: string;
  readonly writtenBytes: number;
  /** What the image says and its new form cannot, for people. */
  readonly lost: readonly string[];
}

/** Throws ImageError, UsageError, HostError, ZfsError, and what `write` throws. */
export async function exportImage(
  ports: ImagePorts,
  request: ExportRequest,
): Promise<ExportResult> {
  if (request.format !== 'aci') return exportOci(ports, request);
  if (request.name !== undefined) {
    throw new UsageError('an ACI has its name in its manifest: --name is for the other formats');
  }
  return request.image.oci === undefined && !request.flat
    ? exportAsCame(ports, request)
    : exportAci(ports, request);
}

// ACI

/** The very bytes that were imported. */
async function exportAsCame(ports: ImagePorts, request: ExportRequest): Promise<ExportResult> {
  const { image } = request;
  const text = image.archive?.digest.replace('-', ':') ?? '';
  const digest = parseDigest(text);
  const folder = path.join(ports.layout.dir.image(image.id), FILES.blobs);
  const blob = digest && findBlob(ports, digest, folder);
  if (blob === undefined) {
    throw new ImageError('IMAGE_DAMAGED', `the archive of image ${image.id} is not in the store`, {
      remedies: ['export it from its tree, as another image of the same files: --flat'],
    });
  }
  const hash = createHash('sha512');
  const chunks = watched(openBlobStream(blob), request, (chunk) => hash.update(chunk));
  async function* verified(): AsyncGenerator<Uint8Array, void, undefined> {
    yield* chunks;
    if (`sha512:${hash.digest('hex')}` !== digest) {
      throw new ImageError('IMAGE_DAMAGED', `the stored archive of ${image.id} is damaged`, {
        remedies: ['look closer with: jetpack image verify'],
      });
    }
  }
  return { id: image.id, writtenBytes: await writeArchive(request, verified()), lost: [] };
}

async function exportAci(ports: ImagePorts, request: ExportRequest): Promise<ExportResult> {
  const { image, signal } = request;
  const { manifest, bytes } = getManifest(ports.layout, image.id);
  const listing = treeListingOf(ports, image);
  const hash = createHash('sha512');
  const writtenBytes = await withMountedTree(ports, image.id, (root) => {
    const tree = treeContents(ports, root, { listing, signal });
    const archive = writeTar(aciContents(independent(manifest, bytes), tree));
    return writeArchive(
      request,
      watched(archive, request, (chunk) => hash.update(chunk)),
    );
  });
  return { id: `sha512-${hash.digest('hex')}`, writtenBytes, lost: [] };
}

/** The manifest without what made this tree and would change it once more. */
function independent(manifest: ImageManifest, bytes: Buffer): Buffer {
  const { dependencies, pathWhitelist, ...rest } = manifest;
  const isAlone = (dependencies ?? []).length === 0 && (pathWhitelist ?? []).length === 0;
  return isAlone ? bytes : Buffer.from(canonicalJson(rest));
}

// OCI and Docker

async function exportOci(ports: ImagePorts, request: ExportRequest): Promise<ExportResult> {
  const { image, flat, format, fallback, signal } = request;
  const { manifest } = getManifest(ports.layout, image.id);
  const called = request.name ?? nameOf(manifest);
  const name = called === undefined ? undefined : wholeName(called);
  if (format === 'docker' && request.name !== undefined && name === undefined) {
    throw new UsageError(`"${request.name}" is no name for a Docker image`, {
      remedies: ['name it like docker.io/library/alpine:3.20'],
    });
  }
  const form = await openOciForm(ports, image, {
    flat,
    fallback,
    signal,
    ...(format === 'docker' ? { compression: 'none' } : {}),
  });
  try {
    const writtenBytes =
      format === 'docker'
        ? await writeDocker(ports, form, name, request)
        : await writeOci(form, namesOf(request.name, name), request);
    const id =
      format === 'docker' ? form.config.descriptor.digest : form.manifest.descriptor.digest;
    return { id, writtenBytes, lost: form.lost };
  } finally {
    await form.close();
  }
}

function writeDocker(
  ports: ImagePorts,
  form: OciForm,
  name: string | undefined,
  request: ExportRequest,
): Promise<number> {
  const contents = dockerArchiveContents(
    form,
    name === undefined ? undefined : dockerName(name),
    (tar) => spool(ports.layout, tar),
  );
  return writeArchive(request, watched(writeTar(contents), request));
}

function writeOci(form: OciForm, names: LayoutNames, request: ExportRequest): Promise<number> {
  const { to } = request;
  if (to.kind === 'archive') {
    return to.write(watched(writeTar(layoutContents(form, names)), request));
  }
  let doneBytes = 0;
  return writeLayoutFolder(to.dir, form, names, (bytes) => {
    request.signal?.throwIfAborted();
    doneBytes += bytes;
    request.onProgress?.(doneBytes);
  });
}

/** A bare word is what an image is chosen by in its layout, and no name of an image. */
function namesOf(asked: string | undefined, whole: string | undefined): LayoutNames {
  const isBare = asked !== undefined && !/[/:]/.test(asked);
  return { refName: asked ?? whole, imageName: isBare ? undefined : whole };
}

/** What it was called where it comes from, or its own name, where that could be one of a registry. */
function nameOf({ name, labels, annotations }: ImageManifest): string | undefined {
  const original = annotations?.find((each) => String(each.name) === DOCKER.originalName)?.value;
  if (original !== undefined) return original;
  if (!name.includes('/')) return undefined;
  const version = labels?.find((label) => String(label.name) === 'version')?.value;
  const whole = wholeName(version === undefined ? name : `${name}:${version}`);
  // A first part that is no host would become a name at Docker's own registry.
  return whole?.startsWith(`${name.split('/', 1)[0] ?? ''}/`) === true ? whole : undefined;
}

function dockerName(name: string): DockerName | undefined {
  const ref = parseDockerRef(name);
  return ref.tag === undefined ? undefined : { repository: renderRepository(ref), tag: ref.tag };
}

function writeArchive(
  { to, format }: ExportRequest,
  chunks: AsyncIterable<Uint8Array>,
): Promise<number> {
  if (to.kind === 'archive') return to.write(chunks);
  throw new UsageError(`${to.dir} is a folder, and the format ${format} is a file`, {
    remedies: ['name a file', 'or write a layout: --format oci'],
  });
}

/** Ends when it is to end, and tells how far it is. */
async function* watched(
  chunks: AsyncIterable<Uint8Array>,
  { signal, onProgress }: Pick<ExportRequest, 'signal' | 'onProgress'>,
  look: (chunk: Uint8Array) => void = () => undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  let doneBytes = 0;
  for await (const chunk of chunks) {
    signal?.throwIfAborted();
    look(chunk);
    yield chunk;
    doneBytes += chunk.length;
    onProgress?.(doneBytes);
  }
}
