/** Looking at a tree that is there already, and taking things out of it, without ever following a link. */
import {
  type BigIntStats,
  lstatSync,
  readdirSync,
  rmdirSync,
  unlinkSync,
  utimesSync,
} from 'node:fs';

import { errnoOf } from '../../errors.ts';
import { byteTextOf, fsPath } from '../../formats/tar/names.ts';
import { nameFault } from './tree-faults.ts';
import type { Attributes } from './tree-listing.ts';
import { secondsOf, timeOfStat } from './tree-time.ts';

export class LowerTree {
  readonly #root: string;

  constructor(root: string) {
    this.#root = byteTextOf(root);
  }

  /** Of a path below the root, byte text, empty for the root itself. */
  place(path: string): string | Buffer {
    return fsPath(path === '' ? this.#root : `${this.#root}/${path}`);
  }

  /** Undefined when there is nothing. The folders above must be known to be real ones: only the last part is not followed. */
  find(path: string): BigIntStats | undefined {
    try {
      return lstatSync(this.place(path), { bigint: true, throwIfNoEntry: false });
    } catch (error) {
      throw nameFault(error, path);
    }
  }

  /** Names in a folder, byte text, in the order of their bytes. */
  names(path: string): readonly string[] {
    return readdirSync(this.place(path), { encoding: 'latin1' }).sort();
  }

  /** With everything below it, without recursion; holds the names of the folders that are open. True when it was a folder. */
  remove(path: string): boolean {
    if (!this.#unlink(path)) return false;
    const open: { readonly path: string; readonly names: string[] }[] = [];
    const enter = (folder: string): void => {
      open.push({
        path: folder,
        names: readdirSync(this.place(folder), { encoding: 'latin1' }),
      });
    };
    enter(path);
    for (let top = open.at(-1); top !== undefined; top = open.at(-1)) {
      const name = top.names.pop();
      if (name === undefined) {
        rmdirSync(this.place(top.path));
        open.pop();
        continue;
      }
      const child = `${top.path}/${name}`;
      if (this.#unlink(child)) enter(child);
    }
    return true;
  }

  /** True when it is a folder and still there. */
  #unlink(path: string): boolean {
    const place = this.place(path);
    try {
      unlinkSync(place);
      return false;
    } catch (error) {
      const errno = errnoOf(error);
      // EISDIR on Linux, EPERM elsewhere.
      if (errno !== 'EISDIR' && errno !== 'EPERM') throw error;
      if (!lstatSync(place).isDirectory()) throw error;
      return true;
    }
  }

  attributes(path: string, stats: BigIntStats): Attributes {
    return {
      path,
      mode: Number(stats.mode & 0o7777n),
      uid: Number(stats.uid),
      gid: Number(stats.gid),
      mtime: timeOfStat(stats.mtimeNs),
    };
  }

  /** After something in the folder was made or removed. */
  restoreTime({ path, mtime }: Attributes): void {
    utimesSync(this.place(path), secondsOf(mtime), secondsOf(mtime));
  }
}
