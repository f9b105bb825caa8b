/**
 * Brings an ACI into the store: whole or not at all, and visible only once it is whole.
 *
 * lease → dataset build/<uuid> and folder images/.<uuid> → unpack, hash → seal → under the lock: dataset to images/<id>, folder
 * to images/<id> (from here on the image exists), index. A failure takes everything back; after SIGKILL `collect` does,
 * because the lease is no longer answered.
 */
import { createHash, randomUUID } from 'node:crypto';
import { closeSync, existsSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import path from 'node:path';

import { errnoOf, ImageError, JetpackError, ZfsError } from '../errors.ts';
import { AciSink } from '../formats/aci/sink.ts';
import {
  type ArchiveProgress,
  type ArchiveSource,
  type ArchiveSummary,
  readArchive,
} from '../formats/tar/archive.ts';
import { makeFolder } from '../host/exact-mode.ts';
import { takeLease } from '../host/lease.ts';
import { withLock } from '../host/lock.ts';
import type { ImageId } from '../schema/appc.ts';
import { type ImageManifest, parseImageManifest } from '../schema/image-manifest.ts';
import { requireTrust, type TrustPolicy, type TrustVerdict } from '../trust/gate.ts';
import { addToIndex } from './index-of-names.ts';
import { DEFAULT_LIMITS, type ImportLimits } from './limits.ts';
import type { ImagePorts } from './ports.ts';
import { destroyIfThere, dropScratch, ensureMounted, removeMountFolder } from './scratch.ts';
import { createShimSpecialFiles } from './shim-special-files.ts';
import {
  asideDir,
  FILES,
  findMeta,
  type ImageMeta,
  sealOf,
  syncFolder,
  writeDurably,
} from './store.ts';
import { renderTreeEnd, renderTreeItem, renderTreeXattr, TREE_HEADER } from './tree-listing.ts';
import { TreeWriter } from './tree-writer.ts';
import { createUndo, type Undo } from './undo.ts';

export interface ImportProgress extends ArchiveProgress {
  readonly entries: number;
  readonly writtenBytes: number;
}

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
  const { layout } = ports;
  const uuid = randomUUID();
  const lease = await takeLease(layout.dir.lease(uuid));
  const undo = createUndo();
  try {
    const unpacked = await unpack(ports, request, uuid, undo);
    const existing = await publish(ports, uuid, unpacked.meta, undo);
    return { ...unpacked, meta: existing ?? unpacked.meta, existing: existing !== undefined };
  } catch (error) {
    throw withSpaceRemedy(error, layout.dataset.build);
  } finally {
    const failures = await undo.run();
    lease.release();
    // Not thrown: gc finds what is left, and the reason for the undo matters more.
    for (const failure of failures) request.onUndoFailure?.(failure);
  }
}

interface Unpacked {
  readonly meta: ImageMeta;
  readonly manifest: ImageManifest;
}

/** Ends with a sealed scratch dataset and a whole folder of metadata, both of this uuid. */
async function unpack(
  ports: ImagePorts,
  request: ImportRequest,
  uuid: string,
  undo: Undo,
): Promise<Unpacked> {
  const { zfs, layout } = ports;
  const scratch = layout.dataset.scratch(uuid);
  const aside = asideDir(layout, uuid);
  undo.push(`destroy ${scratch}`, () => dropScratch(zfs, layout, uuid));
  await zfs.create(scratch, { properties: { 'io.jetpack:source': propertyText(request.source) } });
  const root = await ensureMounted(zfs, layout, uuid);
  undo.push(`remove ${aside}`, () => {
    rmSync(aside, { recursive: true, force: true });
  });
  makeFolder(aside, 0o755);

  const written = await writeTree(ports, request, root, path.join(aside, FILES.tree));
  const { manifest, warnings } = parseImageManifest(written.manifestBytes);
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
    manifestDigest: `sha512-${createHash('sha512').update(written.manifestBytes).digest('hex')}`,
    ...(verdict.kind === 'signed' ? { signedBy: verdict.fingerprint } : {}),
    warnings: [
      ...warnings.map((warning) => `manifest, ${warning.path}: ${warning.message}`),
      ...written.warnings,
    ],
  };
  writeDurably(path.join(aside, FILES.manifest), written.manifestBytes, 0o444);
  writeDurably(path.join(aside, FILES.parsed), `${JSON.stringify(manifest)}\n`, 0o444);
  writeDurably(path.join(aside, FILES.meta), `${JSON.stringify(meta, null, 2)}\n`, 0o444);
  syncFolder(aside);
  // A snapshot holds everything written before it, and is on disk when the command returns: no sync is needed.
  request.signal?.throwIfAborted();
  await zfs.snapshot(sealOf(scratch));
  request.signal?.throwIfAborted();
  // Rename would do it too; but zfs-fuse mounts again what it cannot rename yet, and so stays busy.
  await zfs.unmount(scratch);
  return { meta, manifest };
}

interface WrittenTree {
  readonly archive: ArchiveSummary;
  readonly manifestBytes: Buffer;
  readonly entries: number;
  readonly treeBytes: number;
  readonly warnings: readonly string[];
}

async function writeTree(
  ports: ImagePorts,
  request: ImportRequest,
  root: string,
  listingFile: string,
): Promise<WrittenTree> {
  const limits: ImportLimits = { ...DEFAULT_LIMITS, ...request.limits };
  const listing = openListing(listingFile);
  const writer = new TreeWriter({
    root,
    allowDevices: request.allowDevices ?? false,
    treeBytes: limits.treeBytes,
    onItem: (item) => {
      listing.add(renderTreeItem(item));
    },
    onXattr: (xattr) => {
      listing.add(renderTreeXattr(xattr));
    },
  });
  try {
    const sink = new AciSink(writer, limits);
    const { onProgress, signal } = request;
    const archive = await readArchive(request.archive, sink, ports, {
      limits,
      ...(signal === undefined ? {} : { signal }),
      ...(onProgress === undefined
        ? {}
        : {
            onProgress: (progress) => {
              const { entries } = sink;
              onProgress({ ...progress, entries, writtenBytes: writer.writtenBytes });
            },
          }),
    });
    const manifestBytes = sink.finish();
    const warnings = await writer.finish(createShimSpecialFiles(ports));
    listing.finish();
    return {
      archive,
      manifestBytes,
      entries: sink.entries,
      treeBytes: writer.declaredBytes,
      warnings,
    };
  } finally {
    writer.abandon();
    listing.close();
  }
}

interface ListingFile {
  add(line: string): void;
  /** Writes the end, and waits until all is on disk. */
  finish(): void;
  /** Idempotent. */
  close(): void;
}

function openListing(file: string): ListingFile {
  let fd: number | undefined = openSync(file, 'wx', 0o444);
  let waiting: string[] = [TREE_HEADER];
  let lines = 0;
  const flush = (): void => {
    if (fd === undefined) return;
    const data = Buffer.from(waiting.join(''));
    for (let at = 0; at < data.length;) at += writeSync(fd, data, at);
    waiting = [];
  };
  return {
    add(line) {
      lines += 1;
      waiting.push(line);
      if (waiting.length >= 1024) flush();
    },
    finish() {
      waiting.push(renderTreeEnd(lines));
      flush();
      if (fd !== undefined) fsyncSync(fd);
    },
    close() {
      if (fd !== undefined) closeSync(fd);
      fd = undefined;
    },
  };
}

/** Resolves with the image that was there already, or with undefined when this one is in its place now. */
async function publish(
  ports: ImagePorts,
  uuid: string,
  meta: ImageMeta,
  undo: Undo,
): Promise<ImageMeta | undefined> {
  const { zfs, layout } = ports;
  const dataset = layout.dataset.image(meta.id);
  const dir = layout.dir.image(meta.id);
  return withLock(layout.dir.locks, 'images', async () => {
    if (existsSync(dir)) {
      addToIndex(layout, meta);
      return findMeta(layout, meta.id);
    }
    // Without a folder there is no image: what an import or a removal left when it was killed.
    await destroyIfThere(zfs, dataset);
    await zfs.rename(layout.dataset.scratch(uuid), dataset);
    try {
      renameSync(asideDir(layout, uuid), dir);
    } catch (error) {
      // Here, under the lock: later somebody else's image may be in this place.
      await destroyIfThere(zfs, dataset);
      throw error;
    }
    // The image exists. What fails from here on must not take it away again.
    undo.forget();
    syncFolder(layout.dir.images);
    addToIndex(layout, meta);
    removeMountFolder(layout, uuid);
    return undefined;
  });
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

/** Without what the value of a property cannot have. */
function propertyText(text: string): string {
  return text.replace(/[\0-\x1f\x7f]/g, '?').slice(0, 1024) || '-';
}

function withSpaceRemedy(error: unknown, dataset: string): unknown {
  const errno = errnoOf(error);
  if (error instanceof JetpackError || (errno !== 'ENOSPC' && errno !== 'EDQUOT')) return error;
  return new ZfsError('ZFS_NO_SPACE', dataset, 'there is no space left for the image', {
    remedies: ['make room with: jetpack gc', 'look at the pool with: zfs list -o space'],
    cause: error,
  });
}
