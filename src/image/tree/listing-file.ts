/** Writes the listing of a tree (tree-listing.ts) line by line. */
import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs';

import { renderTreeEnd, TREE_HEADER } from './tree-listing.ts';

export interface ListingFile {
  add(line: string): void;
  /** Writes the end, and waits until all is on disk. */
  finish(): void;
  /** Idempotent. */
  close(): void;
}

/** The file must not be there yet. */
export function openListing(file: string): ListingFile {
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
