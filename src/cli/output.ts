/** Where the answer (stdout) and the story (stderr) go. Synchronous: nothing is lost when the process ends or is replaced. */
import { writeSync } from 'node:fs';
import process from 'node:process';

import { errnoOf } from '../errors.ts';

function write(fd: 1 | 2, text: string | Uint8Array): void {
  const bytes = typeof text === 'string' ? Buffer.from(text, 'utf8') : text;
  let offset = 0;
  while (offset < bytes.length) {
    try {
      offset += writeSync(fd, bytes, offset);
    } catch (error) {
      const errno = errnoOf(error);
      // A full non-blocking pipe: wait for its reader. A reader that went away (`| head`) wants no more.
      if (errno === 'EAGAIN') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2);
      else if (errno === 'EPIPE') return;
      else throw error;
    }
  }
}

export function printAnswer(text: string): void {
  write(1, text.endsWith('\n') || text === '' ? text : `${text}\n`);
}

export function printJson(value: unknown): void {
  write(1, `${JSON.stringify(value, undefined, 2)}\n`);
}

export function tell(text: string): void {
  write(2, text.endsWith('\n') ? text : `${text}\n`);
}

/** Something that does not keep the work from being done. */
export function tellWarning(message: string, json: boolean): void {
  tell(json ? JSON.stringify({ warning: { message } }) : `jetpack: warning: ${printable(message)}`);
}

/** Something worth knowing; nothing is wrong. As the shim tells it. */
export function tellNote(message: string, json: boolean): void {
  tell(json ? JSON.stringify({ note: { message } }) : `jetpack: note: ${printable(message)}`);
}

/** As it is: bytes of an app. */
export function printRaw(text: string | Uint8Array): void {
  write(1, text);
}

export function tellRaw(text: string | Uint8Array): void {
  write(2, text);
}

export function isTerminal(fd: 0 | 1 | 2): boolean {
  return Boolean([process.stdin, process.stdout, process.stderr][fd]?.isTTY);
}

/** Text from images and pods may hold control characters; a terminal must not obey them. */
export function printable(text: string): string {
  return text.replace(
    /[\u0000-\u001f\u007f-\u009f]/g,
    (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
}

/** Columns as wide as their widest cell, two spaces apart; the last is not padded. */
export function renderTable(
  header: readonly string[] | undefined,
  rows: readonly (readonly string[])[],
): string {
  const all = (header === undefined ? rows : [header, ...rows]).map((row) => row.map(printable));
  const widths: number[] = [];
  for (const row of all)
    row.forEach((cell, i) => (widths[i] = Math.max(widths[i] ?? 0, cell.length)));
  return all
    .map((row) =>
      row
        .map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join('');
}

const UNITS = ['B', 'KB', 'MB', 'GB', 'TB', 'PB'] as const;

/** 1000-based, three digits: `4.19 MB`. */
export function renderBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${value.toFixed(digits)} ${UNITS[unit] ?? ''}`;
}

/** How long ago, in its largest unit: `3 minutes`, `a moment`. */
export function renderAge(ms: number): string {
  const steps: readonly (readonly [number, string])[] = [
    [365 * 86_400, 'year'],
    [30 * 86_400, 'month'],
    [7 * 86_400, 'week'],
    [86_400, 'day'],
    [3600, 'hour'],
    [60, 'minute'],
    [1, 'second'],
  ];
  const seconds = Math.max(0, Math.floor(ms / 1000));
  for (const [size, word] of steps) {
    const count = Math.floor(seconds / size);
    if (count >= 1) return `${String(count)} ${word}${count === 1 ? '' : 's'}`;
  }
  return 'a moment';
}
