/** One layer of an OCI image (image-spec layer.md): onto an empty folder, or over the tree of the layers below it. */
import { ArchiveError } from '../../errors.ts';
import { LayerSink } from '../../formats/oci/layer-sink.ts';
import { algorithmOf, type Digest, hexOf } from '../../formats/oci/model.ts';
import { type ArchiveProgress, readTar } from '../../formats/tar/archive.ts';
import type { TarSink } from '../../formats/tar/entry.ts';
import type { Compression } from '../../formats/tar/sniff.ts';
import { DEFAULT_LIMITS, type ImportLimits } from '../limits.ts';
import { unpackTree, type UnpackPorts } from './unpack-tree.ts';

export interface LayerRequest {
  /** The mounted dataset: empty, or with the tree of the layers below. Nobody else writes to it. */
  readonly root: string;
  /** The blob: gzip, zstd, bzip2, xz or plain, as its first bytes say, whatever its media type says. */
  readonly chunks: AsyncIterable<Uint8Array>;
  /** Of the blob, where it is known: for the progress. */
  readonly totalBytes?: number;
  /** Of the blob. Absent: somebody else has checked it. */
  readonly digest?: Digest;
  /** Of the uncompressed tar. */
  readonly diffId: Digest;
  /** The tree is empty: every path is new, and a whiteout concerns nothing. */
  readonly isLowest: boolean;
  /** Takes the listing of what this layer changes (tree-listing.ts); must not be there yet. */
  readonly listingFile: string;
  /** `treeBytes` is for this layer alone: what is left of what the image may have. */
  readonly limits?: Partial<ImportLimits>;
  /** `--insecure-options=devices`. */
  readonly allowDevices?: boolean;
  readonly onProgress?: (progress: LayerProgress) => void;
  readonly signal?: AbortSignal;
}

export interface LayerProgress extends ArchiveProgress {
  readonly entries: number;
  readonly writtenBytes: number;
}

export interface LayerSummary {
  readonly compression: Compression;
  readonly blobBytes: number;
  readonly tarBytes: number;
  /** Files of this layer, their holes included. */
  readonly treeBytes: number;
  readonly entries: number;
  readonly warnings: readonly string[];
}

/**
 * Throws ArchiveError (ARCHIVE_DIGEST for a tar or blob with another digest), HostError, and the signal's reason; the tree is
 * neither the old nor the new one then: roll the dataset back.
 */
export async function unpackLayer(
  ports: UnpackPorts,
  request: LayerRequest,
): Promise<LayerSummary> {
  const { digest, diffId, onProgress, signal, totalBytes } = request;
  const limits: ImportLimits = { ...DEFAULT_LIMITS, ...request.limits };
  const target = {
    root: request.root,
    isOver: !request.isLowest,
    mayRepeatFolders: true,
    allowDevices: request.allowDevices ?? false,
    treeBytes: limits.treeBytes,
    folders: limits.entries,
    listingFile: request.listingFile,
  };
  const { read, treeBytes, warnings } = await unpackTree(ports, target, async (writer) => {
    const sink = new LayerSink(writer, limits);
    const source = {
      chunks: request.chunks,
      ...(totalBytes === undefined ? {} : { totalBytes }),
    };
    const tar = await readTar(source, sink, ports, {
      limits,
      archiveAlgorithm: digest && algorithmOf(digest),
      tarAlgorithm: algorithmOf(diffId),
      tarHex: hexOf(diffId),
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
    if (digest !== undefined) requireDigest('the layer', digest, tar.archiveHex);
    requireDigest('the uncompressed layer', diffId, tar.tarHex);
    return { ...tar, entries: sink.entries };
  });
  return {
    compression: read.compression,
    blobBytes: read.archiveBytes,
    tarBytes: read.tarBytes,
    treeBytes,
    entries: read.entries,
    warnings,
  };
}

/** Whether a blob is the layer that it is said to be, without unpacking it. Throws as unpackLayer. */
export async function checkLayer(
  ports: UnpackPorts,
  {
    chunks,
    totalBytes,
    digest,
    diffId,
    limits,
    signal,
  }: Pick<LayerRequest, 'chunks' | 'totalBytes' | 'diffId' | 'limits' | 'signal'> & {
    readonly digest: Digest;
  },
): Promise<void> {
  const source = { chunks, ...(totalBytes === undefined ? {} : { totalBytes }) };
  const tar = await readTar(source, NOTHING, ports, {
    limits: { ...DEFAULT_LIMITS, ...limits },
    archiveAlgorithm: algorithmOf(digest),
    tarAlgorithm: algorithmOf(diffId),
    tarHex: hexOf(diffId),
    ...(signal === undefined ? {} : { signal }),
  });
  requireDigest('the layer', digest, tar.archiveHex);
  requireDigest('the uncompressed layer', diffId, tar.tarHex);
}

/** The digests are all that counts. */
const NOTHING: TarSink = {
  entry: () => undefined,
  data: () => undefined,
  endEntry: () => undefined,
};

function requireDigest(what: string, expected: Digest, hex: string | undefined): void {
  if (hex === hexOf(expected)) return;
  throw new ArchiveError(
    'ARCHIVE_DIGEST',
    `${what} has the digest ${algorithmOf(expected)}:${hex ?? '-'} and not ${expected}`,
    { remedies: ['fetch it again, from a source that you trust'] },
  );
}
