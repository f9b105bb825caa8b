/** A file that is there as a whole or not at all. */
import { randomUUID } from 'node:crypto';
import { lstatSync, realpathSync, rmSync, statSync } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import path from 'node:path';

import { errnoOf, HostError } from '../errors.ts';
import { syncFolder } from './store.ts';

/**
 * Writes beside the place and renames when all is on disk. What is there and is no file (a FIFO, /dev/null) is written to as it is.
 * When it throws, nothing of it is left and a file that was there is as before.
 */
export async function writeAside(
  target: string,
  chunks: AsyncIterable<Uint8Array>,
): Promise<number> {
  let made: string | undefined;
  try {
    const file = placeOf(target);
    const isDevice = statSync(file, { throwIfNoEntry: false })?.isFile() === false;
    const written = isDevice ? file : path.join(path.dirname(file), `.${randomUUID()}.jetpack`);
    if (!isDevice) made = written;
    const handle = await open(written, isDevice ? 'w' : 'wx', 0o666);
    let bytes = 0;
    try {
      for await (const chunk of chunks) {
        for (let at = 0; at < chunk.length;) {
          at += (await handle.write(chunk, at, chunk.length - at)).bytesWritten;
        }
        bytes += chunk.length;
      }
      if (!isDevice) await handle.sync();
    } finally {
      await handle.close();
    }
    if (!isDevice) {
      await rename(written, file);
      syncFolder(path.dirname(file));
    }
    return bytes;
  } catch (error) {
    if (made !== undefined) rmSync(made, { force: true });
    throw asOurs(error, target);
  }
}

/** Behind symlinks: the link stays one. */
function placeOf(target: string): string {
  return lstatSync(target, { throwIfNoEntry: false }) === undefined
    ? path.resolve(target)
    : realpathSync(target);
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such folder',
  ENOTDIR: 'a part of its path is no folder',
  ELOOP: 'its symlinks lead nowhere',
  ENOSPC: 'there is no space left',
  EACCES: 'permission denied',
  EROFS: 'the file system is read-only',
};

export function asOurs(error: unknown, target: string): unknown {
  const errno = errnoOf(error);
  if (errno === undefined || error instanceof HostError) return error;
  return new HostError('IO_FAILED', `cannot write ${target}: ${REASONS[errno] ?? errno}`, {
    cause: error,
  });
}
