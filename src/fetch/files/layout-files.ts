/** The files of an image layout, be it a folder or an archive. Names are ours or digests': no path of the layout's own is opened. */
import { constants, type Stats } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import path from 'node:path';

import { errnoOf, FetchError } from '../../errors.ts';

export interface OpenFile {
  readonly sizeBytes: number;
  readonly chunks: AsyncIterable<Buffer>;
}

export interface LayoutFiles {
  /** Undefined when there is no such file. Throws FETCH_SIZE when it is larger. */
  read(name: string, limitBytes: number): Promise<Buffer | undefined>;
  /** Undefined when there is no such file. */
  size(name: string): Promise<number | undefined>;
  /** From a byte on. Undefined when there is no such file. The chunks close what is opened when they end, or are given up. */
  open(
    name: string,
    options?: { readonly fromByte?: number; readonly signal?: AbortSignal | undefined },
  ): Promise<OpenFile | undefined>;
  /** Idempotent. */
  close(): Promise<void>;
}

export const READ_BYTES = 256 * 1024;

/** `source`: for people. */
export function folderFiles(dir: string, source: string): LayoutFiles {
  return {
    async read(name, limitBytes) {
      const opened = await openRegular(path.join(dir, name), source);
      if (opened === undefined) return undefined;
      try {
        const { size } = opened.stats;
        if (size > limitBytes) throw tooLarge(source, name, size, limitBytes);
        return await readWhole(opened.handle, 0, size, name, source);
      } finally {
        await opened.handle.close();
      }
    },
    async size(name) {
      const opened = await openRegular(path.join(dir, name), source);
      await opened?.handle.close();
      return opened?.stats.size;
    },
    async open(name, { fromByte = 0, signal } = {}) {
      const opened = await openRegular(path.join(dir, name), source);
      if (opened === undefined) return undefined;
      const { handle, stats } = opened;
      const range = { from: fromByte, to: stats.size };
      return { sizeBytes: stats.size, chunks: readRange(handle, range, signal, true) };
    },
    close: () => Promise.resolve(),
  };
}

/** Never through a symlink, and never waiting for a FIFO: what lies in the folder may be somebody else's. */
async function openRegular(
  file: string,
  source: string,
): Promise<{ readonly handle: FileHandle; readonly stats: Stats } | undefined> {
  let handle: FileHandle;
  try {
    handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (cause) {
    const errno = errnoOf(cause);
    if (errno === 'ENOENT' || errno === 'ENOTDIR') return undefined;
    throw unreadable(source, file, errno === 'ELOOP' ? 'it is a symlink' : String(errno), cause);
  }
  try {
    const stats = await handle.stat();
    if (stats.isFile()) return { handle, stats };
    throw unreadable(source, file, 'it is no regular file');
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** Chunks are the reader's to keep. */
export async function* readRange(
  handle: FileHandle,
  range: { readonly from: number; readonly to: number },
  signal: AbortSignal | undefined,
  closes: boolean,
): AsyncGenerator<Buffer, void, undefined> {
  try {
    for (let at = range.from; at < range.to;) {
      signal?.throwIfAborted();
      const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, range.to - at));
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, at);
      // Shorter than it was: the size that it should have is the reader's to check.
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
      at += bytesRead;
    }
  } finally {
    if (closes) await handle.close();
  }
}

export async function readWhole(
  handle: FileHandle,
  offset: number,
  sizeBytes: number,
  name: string,
  source: string,
): Promise<Buffer> {
  const buffer = Buffer.alloc(sizeBytes);
  for (let at = 0; at < sizeBytes;) {
    const { bytesRead } = await handle.read(buffer, at, sizeBytes - at, offset + at);
    if (bytesRead === 0) throw unreadable(source, name, 'it has become shorter');
    at += bytesRead;
  }
  return buffer;
}

export function tooLarge(
  source: string,
  name: string,
  sizeBytes: number,
  limitBytes: number,
): FetchError {
  return new FetchError(
    'FETCH_SIZE',
    `${source}: ${name} has ${String(sizeBytes)} bytes, more than the ${String(limitBytes)} allowed`,
  );
}

export function unreadable(source: string, file: string, why: string, cause?: unknown): FetchError {
  const options = cause === undefined ? {} : { cause };
  return new FetchError('FETCH_NOT_FOUND', `${source}: cannot read ${file}: ${why}`, options);
}
