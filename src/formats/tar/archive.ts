/** One pass over an archive: hash the file, decompress, hash the tar, read its entries. */
import { createHash, type Hash } from 'node:crypto';

import { ArchiveError } from '../../errors.ts';
import { createBufferCollector } from './buffer-garbage.ts';
import { decompress, type DecompressPorts, trailing } from './decompress.ts';
import type { TarSink } from './entry.ts';
import { BLOCK_BYTES } from './header.ts';
import { TarReader } from './reader.ts';
import { type Compression, sniffCompression } from './sniff.ts';

export interface ArchiveSource {
  readonly chunks: AsyncIterable<Uint8Array>;
  /** Where it is known: for the progress. */
  readonly totalBytes?: number;
}

export interface ArchiveLimits {
  /** Of one extended header (pax, long names, map of a sparse file). */
  readonly headerBytes: number;
  /** Of the whole tar, decompressed. */
  readonly tarBytes: number;
  /** How many times the file's size the tar may be, once it is larger than `ratioFromBytes`. */
  readonly ratio: number;
  readonly ratioFromBytes: number;
}

export interface ArchiveProgress {
  /** Of the file. */
  readonly readBytes: number;
  readonly totalBytes: number | undefined;
  /** Of the tar. */
  readonly tarBytes: number;
}

export interface ArchiveSummary {
  readonly compression: Compression;
  /** Hex of the sha512 of the file's bytes as they are. */
  readonly archiveSha512: string;
  readonly archiveBytes: number;
  /** Hex of the sha512 of the uncompressed tar, its end mark and filling included: the digest in an image id. */
  readonly tarSha512: string;
  readonly tarBytes: number;
}

export interface ReadArchiveOptions {
  readonly limits: ArchiveLimits;
  readonly onProgress?: (progress: ArchiveProgress) => void;
  /** Takes the file's bytes as they are, in their order; the archive is not read faster than it takes them. */
  readonly onBytes?: (bytes: Buffer, compression: Compression) => Promise<void>;
  readonly signal?: AbortSignal;
}

export interface ReadTarOptions extends ReadArchiveOptions {
  /** What the file's bytes are hashed with; absent: they are not. */
  readonly archiveAlgorithm: HashAlgorithm | undefined;
  readonly tarAlgorithm: HashAlgorithm;
  /**
   * What the tar's digest must be. With the right digest, a tar that ends between two of its entries is as whole as one with an
   * end mark, since nothing can be missing, and some writers leave the mark away; and one of nothing but zeros is a tar.
   */
  readonly tarHex?: string;
}

type HashAlgorithm = 'sha256' | 'sha512';

export interface TarSummary {
  readonly compression: Compression;
  /** Of the file's bytes as they are, where that was asked for. */
  readonly archiveHex: string | undefined;
  readonly archiveBytes: number;
  /** Of the uncompressed tar, its end mark and filling included. */
  readonly tarHex: string;
  readonly tarBytes: number;
}

const COLLECT_EVERY_BYTES = 8 * 1024 * 1024;
const PROGRESS_EVERY_BYTES = 4 * 1024 * 1024;

/** `readTar` for an archive whose image id is asked for. */
export async function readArchive(
  source: ArchiveSource,
  sink: TarSink,
  ports: DecompressPorts,
  options: ReadArchiveOptions,
): Promise<ArchiveSummary> {
  const read = await readTar(source, sink, ports, {
    ...options,
    archiveAlgorithm: 'sha512',
    tarAlgorithm: 'sha512',
  });
  const { compression, archiveHex = '', archiveBytes, tarHex, tarBytes } = read;
  return { compression, archiveSha512: archiveHex, archiveBytes, tarSha512: tarHex, tarBytes };
}

/** Reads the source to its end. Throws ArchiveError, what the sink throws, and the signal's reason. */
export async function readTar(
  source: ArchiveSource,
  sink: TarSink,
  ports: DecompressPorts,
  options: ReadTarOptions,
): Promise<TarSummary> {
  const { limits, onProgress, onBytes, signal, archiveAlgorithm, tarAlgorithm } = options;
  const archiveHash = archiveAlgorithm && createHash(archiveAlgorithm);
  let archiveBytes = 0;
  const head = await readHead(source.chunks, signal);
  const isNothing = options.tarHex !== undefined && head.bytes.every((byte) => byte === 0);
  const compression = sniffCompression(head.bytes) ?? (isNothing ? 'none' : undefined);
  if (compression === undefined) {
    giveUp(head.rest);
    throw new ArchiveError('ARCHIVE_UNKNOWN_FORMAT', unknownFormat(head.bytes), {
      remedies: ['give a tar archive, plain or compressed with gzip, bzip2, xz or zstd'],
    });
  }
  // The same bytes need not be hashed twice.
  const isSame = compression === 'none' && archiveAlgorithm === tarAlgorithm;
  const tarHash: Hash | undefined = isSame ? undefined : createHash(tarAlgorithm);

  const keep = (chunk: Buffer) => onBytes?.(chunk, compression);

  async function* hashed(): AsyncGenerator<Buffer> {
    try {
      for (let chunk: Buffer | undefined = head.bytes; chunk !== undefined;) {
        signal?.throwIfAborted();
        archiveBytes += chunk.length;
        archiveHash?.update(chunk);
        await keep(chunk);
        yield chunk;
        const next: IteratorResult<Uint8Array> = await abortable(head.rest.next(), signal);
        chunk = next.done === true ? undefined : asBuffer(next.value);
      }
    } finally {
      giveUp(head.rest);
    }
  }

  const reader = new TarReader(sink, limits);
  const collect = createBufferCollector(COLLECT_EVERY_BYTES);
  let reportedBytes = 0;
  const report = (tarBytes: number): void => {
    onProgress?.({ readBytes: archiveBytes, totalBytes: source.totalBytes, tarBytes });
    reportedBytes = tarBytes;
  };
  try {
    for await (const chunk of decompress(compression, hashed(), ports)) {
      signal?.throwIfAborted();
      tarHash?.update(chunk);
      checkSize(reader.readBytes + chunk.length, archiveBytes, limits);
      reader.write(chunk);
      collect(chunk.length);
      if (reader.readBytes - reportedBytes >= PROGRESS_EVERY_BYTES) report(reader.readBytes);
    }
  } catch (error) {
    throw isXzGarbage(compression, reader, error) ? trailing(error) : error;
  }
  const archiveHex = archiveHash?.digest('hex');
  const tarHex = tarHash?.digest('hex') ?? archiveHex ?? '';
  if (tarHex !== options.tarHex || !reader.isBetweenEntries) reader.end();
  report(reader.readBytes);
  return { compression, archiveHex, archiveBytes, tarHex, tarBytes: reader.readBytes };
}

/** xz calls garbage behind its data damage to it. Behind the end of the tar that makes no difference but to the words. */
function isXzGarbage(compression: Compression, reader: TarReader, error: unknown): boolean {
  return (
    compression === 'xz' &&
    reader.isComplete &&
    error instanceof ArchiveError &&
    error.code === 'ARCHIVE_CORRUPT'
  );
}

function checkSize(tarBytes: number, archiveBytes: number, limits: ArchiveLimits): void {
  if (tarBytes > limits.tarBytes) {
    throw new ArchiveError(
      'ARCHIVE_TOO_LARGE',
      `the archive is larger than the ${String(limits.tarBytes)} bytes allowed`,
    );
  }
  if (tarBytes > limits.ratioFromBytes && tarBytes > archiveBytes * limits.ratio) {
    throw new ArchiveError(
      'ARCHIVE_RATIO',
      `the archive grows to more than ${String(limits.ratio)} times its size when decompressed`,
    );
  }
}

/** Rejects with the signal's reason as soon as it comes, even while the source has nothing to give. */
function abortable<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      work.catch(() => undefined);
      reject(signal.reason instanceof Error ? signal.reason : new Error(String(signal.reason)));
    };
    if (signal.aborted) {
      abort();
      return;
    }
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => {
      signal.removeEventListener('abort', abort);
    });
  });
}

/** Not awaited: it would wait for a source that has nothing to give. */
function giveUp(chunks: AsyncIterator<Uint8Array>): void {
  chunks.return?.().catch(() => undefined);
}

async function readHead(
  chunks: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): Promise<{ readonly bytes: Buffer; readonly rest: AsyncIterator<Uint8Array> }> {
  const rest = chunks[Symbol.asyncIterator]();
  let bytes: Buffer = Buffer.alloc(0);
  while (bytes.length < BLOCK_BYTES && sniffCompression(bytes) === undefined) {
    const next = await abortable(rest.next(), signal);
    if (next.done === true) break;
    const chunk = asBuffer(next.value);
    bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk]);
  }
  return { bytes, rest };
}

function unknownFormat(head: Buffer): string {
  if (head.length === 0) return 'the archive is empty';
  if (head.toString('latin1', 0, 10) === '-----BEGIN' || head[0] === 0x8c) {
    return 'the archive is encrypted, or a signature and no archive';
  }
  return 'this is no archive: its first bytes are of no format that is understood';
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes)
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
