/** Where an archive goes that a command writes: a file, whole or not at all, or our own standard output. */
import { statSync } from 'node:fs';
import process from 'node:process';

import { UsageError } from '../errors.ts';
import { asOurs, writeAside } from '../image/write-aside.ts';
import { isTerminal } from './output.ts';

export type ArchiveWriter = (chunks: AsyncIterable<Uint8Array>) => Promise<number>;

/** `target`: a file, or `-`. Throws UsageError where that is a terminal. */
export function archiveWriter(target: string, what: string): ArchiveWriter {
  if (target !== '-') return (chunks) => writeAside(target, chunks);
  if (!isTerminal(1)) return writeStdout;
  throw new UsageError(`standard output is a terminal, which ${what} would only confuse`, {
    remedies: ['name a file behind the image', 'or pipe it into a program that reads it'],
  });
}

/** Whether people mean a folder: its name ends with a slash, or it is one. */
export function isFolderTarget(target: string): boolean {
  if (target === '-') return false;
  if (target.endsWith('/')) return true;
  try {
    return statSync(target, { throwIfNoEntry: false })?.isDirectory() === true;
  } catch {
    // Whoever writes there will say why not.
    return false;
  }
}

async function writeStdout(chunks: AsyncIterable<Uint8Array>): Promise<number> {
  let bytes = 0;
  // Told by the write that it happens to, too; and oclif's listener throws where nobody catches it.
  const ignore = (): void => undefined;
  process.stdout.removeAllListeners('error');
  process.stdout.on('error', ignore);
  try {
    for await (const chunk of chunks) {
      await new Promise<void>((resolve, reject) => {
        process.stdout.write(chunk, (error) => {
          if (error === null || error === undefined) resolve();
          else reject(error);
        });
      });
      bytes += chunk.length;
    }
  } catch (error) {
    throw asOurs(error, 'standard output');
  }
  return bytes;
}
