/** The blobs of an image on their way from a source into the store, several at once. */
import {
  type BlobProgress,
  downloadAll,
  type Downloads,
  type DownloadOptions,
} from '../fetch/registry/download.ts';
import type { BlobSink } from '../fetch/sink.ts';
import type { OciSource } from '../fetch/source.ts';
import type { Descriptor } from '../formats/oci/model.ts';
import { createBufferCollector } from '../formats/tar/buffer-garbage.ts';
import { type BlobPorts, type BlobWriter, createBlobWriter } from './blobs.ts';
import type { Making } from './publish.ts';

export interface LayerDownloads extends Pick<Downloads, 'blob'> {
  /** Ends what is under way and waits until it has ended. `leave`: what came of a blob stays for the next try. Idempotent. */
  stop(options: { readonly leave: boolean }): Promise<void>;
}

/** More at once is not faster with one registry, and costs memory. */
const PARALLEL = 3;
const COLLECT_EVERY_BYTES = 8 * 1024 * 1024;

interface Request extends Pick<DownloadOptions, 'timing'> {
  readonly source: OciSource;
  readonly making: Making;
  readonly blobs: readonly Descriptor[];
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: (progress: BlobProgress) => void;
}

/** Each blob gets its link in the folder of the image in the making before the store has it: no gc comes between. */
export function startDownloads(ports: BlobPorts, request: Request): LayerDownloads {
  const { source, making, blobs, timing, onProgress } = request;
  const writers = new Map<BlobSink, BlobWriter>();
  const collect = createBufferCollector(COLLECT_EVERY_BYTES);
  const received = new Map<Descriptor, number>();
  const stopped = new AbortController();
  const signals = [stopped.signal, ...(request.signal === undefined ? [] : [request.signal])];
  const downloads = downloadAll(source, blobs, {
    timing,
    parallel: PARALLEL,
    signal: AbortSignal.any(signals),
    onProgress(progress) {
      const { blob, receivedBytes } = progress;
      collect(receivedBytes - (received.get(blob) ?? 0));
      received.set(blob, receivedBytes);
      onProgress?.(progress);
    },
    async openSink(blob) {
      const writer = await createBlobWriter(ports, {
        uuid: making.uuid,
        digest: blob.digest,
        sizeBytes: blob.size,
        compress: !isCompressed(blob),
        hashedByCaller: true,
        keepIn: making.blobs,
      });
      writers.set(writer, writer);
      return writer;
    },
    async onBlob(blob, sink) {
      await writers.get(sink)?.commit(blob.digest);
      writers.delete(sink);
    },
  });
  return {
    blob: (digest) => downloads.blob(digest),
    async stop({ leave }) {
      stopped.abort();
      await downloads.all.catch(() => undefined);
      for (const writer of writers.values()) await writer.abandon({ leave });
      writers.clear();
    },
  };
}

/** By its media type: what turns out to be compressed all the same is compressed twice, and nothing else. */
function isCompressed({ mediaType }: Descriptor): boolean {
  return /[+.](?:gzip|zstd|xz|bzip2)$/.test(mediaType);
}
