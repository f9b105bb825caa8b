/** Reading what the supervisor logged: files in the CRI log format, `<app>` the newest, `<app>.1` … the rotated ones. */
import { closeSync, fstatSync, openSync, readdirSync, readSync } from 'node:fs';
import path from 'node:path';

import { errnoOf } from '../errors.ts';

export type LogStream = 'stdout' | 'stderr';

export interface LogLine {
  /** RFC 3339 with nanoseconds. */
  readonly time: string;
  readonly stream: LogStream;
  /** The bytes that the app wrote, one for each character (latin1): they need not be UTF-8. */
  readonly text: string;
  /** The app wrote no newline after it (yet). */
  readonly partial: boolean;
}

/** One line of the file; undefined when it is not one of the format. */
export function parseLogLine(line: string): LogLine | undefined {
  const match = /^(\S+) (stdout|stderr) ([FP]) ?([\s\S]*)$/.exec(line);
  if (match === null) return undefined;
  const [, time = '', stream = 'stdout', tag = 'F', text = ''] = match;
  return { time, stream: stream === 'stderr' ? 'stderr' : 'stdout', text, partial: tag === 'P' };
}

/** Reads complete lines from a growing file; keeps the rest of an unfinished one. */
class LogFile {
  readonly #fd: number;
  #offset = 0;
  #rest = Buffer.alloc(0);
  readonly inode: number;

  constructor(file: string) {
    this.#fd = openSync(file, 'r');
    this.inode = fstatSync(this.#fd).ino;
  }

  read(): readonly LogLine[] {
    const lines: LogLine[] = [];
    const chunk = Buffer.allocUnsafe(64 * 1024);
    for (;;) {
      const count = readSync(this.#fd, chunk, 0, chunk.length, this.#offset);
      if (count === 0) return lines;
      this.#offset += count;
      const data = Buffer.concat([this.#rest, chunk.subarray(0, count)]);
      let start = 0;
      for (let end = data.indexOf(10); end !== -1; end = data.indexOf(10, start)) {
        const parsed = parseLogLine(data.toString('latin1', start, end));
        if (parsed !== undefined) lines.push(parsed);
        start = end + 1;
      }
      this.#rest = Buffer.from(data.subarray(start));
    }
  }

  close(): void {
    closeSync(this.#fd);
  }
}

function inodeOf(file: string): number | undefined {
  try {
    const fd = openSync(file, 'r');
    const { ino } = fstatSync(fd);
    closeSync(fd);
    return ino;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** The log of one app across its rotations, in order. */
export class AppLog {
  readonly #folder: string;
  readonly #app: string;
  #current: LogFile | undefined;

  constructor(podDir: string, app: string) {
    this.#folder = path.join(podDir, 'logs');
    this.#app = app;
  }

  /** Everything that is there and was not returned before. */
  read(): readonly LogLine[] {
    const lines: LogLine[] = [];
    const newest = path.join(this.#folder, this.#app);
    if (this.#current === undefined) {
      for (const rotated of this.#rotated()) {
        const file = new LogFile(path.join(this.#folder, rotated));
        lines.push(...file.read());
        file.close();
      }
      if (inodeOf(newest) !== undefined) this.#current = new LogFile(newest);
    }
    if (this.#current === undefined) return lines;
    // Looked at before reading: what was written to the old file before its rotation is then all there.
    const rotatedAway = inodeOf(newest) !== this.#current.inode;
    lines.push(...this.#current.read());
    if (rotatedAway && inodeOf(newest) !== undefined) {
      this.#current.close();
      this.#current = new LogFile(newest);
      lines.push(...this.#current.read());
    }
    return lines;
  }

  close(): void {
    this.#current?.close();
    this.#current = undefined;
  }

  /** Oldest first. */
  #rotated(): readonly string[] {
    const prefix = `${this.#app}.`;
    let names: string[];
    try {
      names = readdirSync(this.#folder);
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return [];
      throw error;
    }
    return names
      .filter((name) => name.startsWith(prefix) && /^\d+$/.test(name.slice(prefix.length)))
      .sort((a, b) => Number(b.slice(prefix.length)) - Number(a.slice(prefix.length)));
  }
}
