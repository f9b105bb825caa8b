/**
 * One line per request on a descriptor: time, caller, pod, method, path (never the token), status, bytes, milliseconds.
 * A reader that does not keep up costs lines, never answers.
 */
import { write } from 'node:fs';

import { errnoOf } from '../errors.ts';
import type { Subject } from './handler.ts';

export interface AccessLog {
  add(entry: {
    readonly at: Date;
    readonly remote: string;
    readonly subject: Subject | undefined;
    readonly method: string;
    readonly status: number;
    readonly bytes: number;
    readonly ms: number;
  }): void;
  /** Ends with everything written that can be. */
  close(): Promise<void>;
}

const MAX_WAITING = 256 * 1024;
const FLUSH_MS = 50;
const AGAIN_MS = 100;
const MAX_PATH = 200;

/** What a caller wrote is no line feed and no escape sequence of ours. */
function printable(text: string): string {
  const short = text.length > MAX_PATH ? `${text.slice(0, MAX_PATH)}...` : text;
  return short.replace(/[^\x21-\x7e]/g, (c) => `%${c.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

export function createAccessLog(fd: number): AccessLog {
  let waiting = '';
  let lost = 0;
  let timer: NodeJS.Timeout | undefined;
  let busy: Promise<void> | undefined;

  /** How much of it was written; a failure other than "not now" loses it. */
  const put = (bytes: Buffer) =>
    new Promise<number>((resolve) => {
      write(fd, bytes, (error, written) => {
        resolve(error === null ? written : errnoOf(error) === 'EAGAIN' ? 0 : bytes.length);
      });
    });

  async function flush(): Promise<void> {
    while (waiting !== '') {
      const note = lost === 0 ? '' : `${String(lost)} lines lost\n`;
      let bytes = Buffer.from(waiting + note, 'latin1');
      waiting = '';
      lost = 0;
      while (bytes.length > 0) {
        const written = await put(bytes);
        bytes = bytes.subarray(written);
        if (written === 0) await new Promise((resolve) => setTimeout(resolve, AGAIN_MS).unref());
      }
    }
  }

  function start(): void {
    timer = undefined;
    busy ??= flush().finally(() => {
      busy = undefined;
      if (waiting !== '') schedule();
    });
  }

  function schedule(): void {
    timer ??= setTimeout(start, FLUSH_MS);
  }

  return {
    add({ at, remote, subject, method, status, bytes, ms }) {
      const pod = subject?.pod?.slice(0, 8) ?? '-';
      const path = subject === undefined || subject.path === '' ? '-' : printable(subject.path);
      const line = `${at.toISOString()} ${remote} ${pod} ${printable(method)} ${path} ${String(status)} ${String(bytes)} ${ms.toFixed(1)}\n`;
      if (waiting.length + line.length > MAX_WAITING) lost += 1;
      else waiting += line;
      schedule();
    },
    async close() {
      clearTimeout(timer);
      start();
      await busy;
    },
  };
}
