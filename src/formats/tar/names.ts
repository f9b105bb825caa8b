/**
 * Names in an archive are bytes. They are carried as "byte text": strings in which every character is one byte (latin1),
 * so nothing is lost, whatever encoding the archive's author used, and they still work as keys and in comparisons.
 */
import { ArchiveError } from '../../errors.ts';

/** Byte text of a name, for the functions of node:fs. Plain ASCII is the same either way, and cheaper as a string. */
export function fsPath(byteText: string): string | Buffer {
  return /^[\0-\x7f]*$/.test(byteText) ? byteText : Buffer.from(byteText, 'latin1');
}

/** A path of ours (UTF-16 text) as byte text. */
export function byteTextOf(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}

/** For messages: as UTF-8 where it is that, and nothing in it that could play with a terminal. */
export function displayName(byteText: string): string {
  const bytes = Buffer.from(byteText, 'latin1');
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    text = byteText;
  }
  const safe = JSON.stringify(text).replace(
    /[\u007f-\u009f\u2028-\u202e\u2066-\u2069\ufeff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  return safe.length <= 300 ? safe : `${safe.slice(0, 300)}…"`;
}

export interface NameLimits {
  readonly pathBytes: number;
  readonly componentBytes: number;
}

/**
 * `./a//b/` and `/a/b` → `a/b`: what lies in the archive's root has one spelling, so duplicates are seen.
 * Stops the walk out of the root: `..` is refused wherever it stands. The root itself is the empty text.
 */
export function normaliseName(name: string, limits: NameLimits): string {
  if (name.length > limits.pathBytes) {
    throw new ArchiveError(
      'ARCHIVE_NAME_TOO_LONG',
      `the archive has a name of ${String(name.length)} bytes: ${displayName(name)}`,
      { entry: displayName(name) },
    );
  }
  if (name.includes('\0')) throw badName(name, 'has a NUL byte');
  if (name === '') throw badName(name, 'is empty');
  if (isNormal(name, limits.componentBytes)) return name;
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  for (const part of parts) {
    if (part === '..') {
      throw new ArchiveError(
        'ARCHIVE_ESCAPE',
        `the archive has an entry that leads out of it: ${displayName(name)}`,
        { entry: displayName(name) },
      );
    }
    if (part.length > limits.componentBytes) {
      throw new ArchiveError(
        'ARCHIVE_NAME_TOO_LONG',
        `the archive has a file name of ${String(part.length)} bytes: ${displayName(part)}`,
        { entry: displayName(name) },
      );
    }
  }
  return parts.join('/');
}

/** The usual case, without taking the name apart: short, and no `//`, `/.`, or slash and dot at the ends. */
function isNormal(name: string, componentBytes: number): boolean {
  return (
    name.length <= componentBytes &&
    !name.startsWith('/') &&
    !name.startsWith('.') &&
    !name.endsWith('/') &&
    !name.includes('//') &&
    !name.includes('/.')
  );
}

export function badName(name: string, why: string): ArchiveError {
  return new ArchiveError(
    'ARCHIVE_ENTRY_NAME',
    `the archive has an entry whose name ${why}: ${displayName(name)}`,
    { entry: displayName(name) },
  );
}
