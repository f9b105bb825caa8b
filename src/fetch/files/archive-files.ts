/** The files in an archive, compressed or not: indexed once, then read by their place. */
import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open, unlink } from 'node:fs/promises';
import path from 'node:path';

import { ArchiveError, errnoOf } from '../../errors.ts';
import { decompress, type DecompressPorts } from '../../formats/tar/decompress.ts';
import { BLOCK_BYTES } from '../../formats/tar/header.ts';
import { byteTextOf } from '../../formats/tar/names.ts';
import { type ArchiveIndex, indexArchive } from '../../formats/tar/index-archive.ts';
import { type Compression, sniffCompression } from '../../formats/tar/sniff.ts';
import { type LayoutFiles, readRange, readWhole, tooLarge, unreadable } from './layout-files.ts';

export interface ArchivePorts extends DecompressPorts {
  /** Where an archive that cannot be read by position is unpacked into a file without a name. */
  readonly scratchDir: string;
}

export interface ArchiveFileLimits {
  /** Of the archive, decompressed. */
  readonly tarBytes: number;
  /** How many times the file's size that may be, once it is larger than `ratioFromBytes`. */
  readonly ratio: number;
  readonly ratioFromBytes: number;
  readonly headerBytes: number;
  readonly entries: number;
  readonly pathBytes: number;
  readonly componentBytes: number;
}

const GIB = 1024 ** 3;

/** An image in an archive has two files for each layer, at most a few for each image. */
export const ARCHIVE_FILE_LIMITS: ArchiveFileLimits = {
  tarBytes: 256 * GIB,
  ratio: 1200,
  ratioFromBytes: GIB / 4,
  headerBytes: 1024 * 1024,
  entries: 100_000,
  pathBytes: 4096,
  componentBytes: 255,
};

/** `source`: for people. Throws FetchError, ArchiveError, HostError; nothing is open then. */
export async function archiveFiles(
  file: string,
  source: string,
  ports: ArchivePorts,
  options: { readonly limits?: Partial<ArchiveFileLimits>; readonly signal?: AbortSignal } = {},
): Promise<LayoutFiles> {
  const limits = { ...ARCHIVE_FILE_LIMITS, ...options.limits };
  const handle = await openPlain(file, source, ports, limits, options.signal);
  try {
    const read = async (position: number): Promise<Buffer> => {
      options.signal?.throwIfAborted();
      const buffer = Buffer.allocUnsafe(HEAD_BYTES);
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, position);
      return buffer.subarray(0, bytesRead);
    };
    return filesOf(handle, await indexArchive(read, limits), source);
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** Headers stand between contents that are passed over: large reads would be for nothing. */
const HEAD_BYTES = 16 * 1024;

function filesOf(handle: FileHandle, index: ArchiveIndex, source: string): LayoutFiles {
  let isOpen = true;
  return {
    async read(name, limitBytes) {
      const found = index.find(byteTextOf(name));
      if (found === undefined) return undefined;
      if (found.sizeBytes > limitBytes) throw tooLarge(source, name, found.sizeBytes, limitBytes);
      return readWhole(handle, found.offset, found.sizeBytes, name, source);
    },
    size: (name) => Promise.resolve(index.find(byteTextOf(name))?.sizeBytes),
    open(name, { fromByte = 0, signal } = {}) {
      const found = index.find(byteTextOf(name));
      if (found === undefined) return Promise.resolve(undefined);
      const { offset, sizeBytes } = found;
      const range = { from: offset + fromByte, to: offset + sizeBytes };
      return Promise.resolve({ sizeBytes, chunks: readRange(handle, range, signal, false) });
    },
    async close() {
      if (!isOpen) return;
      isOpen = false;
      await handle.close();
    },
  };
}

/** The archive's tar, open and readable by position. */
async function openPlain(
  file: string,
  source: string,
  ports: ArchivePorts,
  limits: ArchiveFileLimits,
  signal: AbortSignal | undefined,
): Promise<FileHandle> {
  let handle: FileHandle;
  try {
    // Without waiting for whoever writes to a FIFO.
    handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    const errno = errnoOf(cause);
    const why = errno === 'ENOENT' ? 'there is no such file' : String(errno ?? cause);
    throw unreadable(source, file, why, cause);
  }
  let isKept = false;
  try {
    const stats = await handle.stat();
    if (stats.isDirectory()) throw unreadable(source, file, 'it is a folder');
    if (!stats.isFile()) throw unreadable(source, file, 'it is no regular file');
    const compression = await sniff(handle, source);
    if (compression === 'none') {
      isKept = true;
      return handle;
    }
    const chunks = readRange(handle, { from: 0, to: Number.MAX_SAFE_INTEGER }, signal, false);
    return await unpackAside(decompress(compression, chunks, ports), stats.size, ports, limits);
  } finally {
    if (!isKept) await handle.close();
  }
}

async function sniff(handle: FileHandle, source: string): Promise<Compression> {
  const head = Buffer.alloc(BLOCK_BYTES);
  const { bytesRead } = await handle.read(head, 0, head.length, 0);
  const compression = sniffCompression(head.subarray(0, bytesRead));
  if (compression !== undefined) return compression;
  throw new ArchiveError('ARCHIVE_UNKNOWN_FORMAT', `${source}: this is no archive`, {
    remedies: ['give a tar archive, plain or compressed with gzip, bzip2, xz or zstd'],
  });
}

/** In a file that has lost its name already: whatever happens, nothing is left of it. */
async function unpackAside(
  chunks: AsyncIterable<Buffer>,
  fileBytes: number,
  { scratchDir }: ArchivePorts,
  limits: ArchiveFileLimits,
): Promise<FileHandle> {
  const name = path.join(scratchDir, `.${randomUUID()}.archive`);
  const handle = await open(name, 'wx+', 0o600);
  try {
    await unlink(name);
    let at = 0;
    for await (const chunk of chunks) {
      checkSize(at + chunk.length, fileBytes, limits);
      for (let done = 0; done < chunk.length;) {
        const { bytesWritten } = await handle.write(chunk, done, chunk.length - done, at + done);
        done += bytesWritten;
      }
      at += chunk.length;
    }
    return handle;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

function checkSize(tarBytes: number, fileBytes: number, limits: ArchiveFileLimits): void {
  if (tarBytes > limits.tarBytes) {
    throw new ArchiveError(
      'ARCHIVE_TOO_LARGE',
      `the archive is larger than the ${String(limits.tarBytes)} bytes allowed`,
    );
  }
  if (tarBytes > limits.ratioFromBytes && tarBytes > fileBytes * limits.ratio) {
    throw new ArchiveError(
      'ARCHIVE_RATIO',
      `the archive grows to more than ${String(limits.ratio)} times its size when decompressed`,
    );
  }
}
