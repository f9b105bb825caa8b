/**
 * One 512-byte header of a tar archive: v7, ustar, star, and both of GNU's. Layout: POSIX.1-2018 pax(1) and the
 * chapter "Basic Tar Format" of GNU tar's manual.
 */
import { ArchiveError } from '../../errors.ts';
import { displayName } from './names.ts';

export const BLOCK_BYTES = 512;

export interface RawHeader {
  /** Byte text, the prefix of ustar joined on. */
  readonly name: string;
  readonly linkName: string;
  /** The type as a character; the NUL of v7 is `0`. */
  readonly typeFlag: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly sizeBytes: number;
  readonly mtimeS: number;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
}

export function isZeroBlock(block: Uint8Array): boolean {
  for (let index = 0; index < BLOCK_BYTES; index++) if (block[index] !== 0) return false;
  return true;
}

/** Whether the sum in the header is that of its bytes; old writers added up signed ones. */
export function hasValidChecksum(block: Buffer): boolean {
  const stored = parseOctal(block, 148, 8);
  if (stored === undefined) return false;
  let unsigned = 0;
  let signed = 0;
  for (let index = 0; index < BLOCK_BYTES; index++) {
    const byte = index >= 148 && index < 156 ? 0x20 : (block[index] ?? 0);
    unsigned += byte;
    signed += byte > 127 ? byte - 256 : byte;
  }
  return stored === unsigned || stored === signed;
}

export function decodeHeader(block: Buffer): RawHeader {
  if (!hasValidChecksum(block)) {
    throw new ArchiveError(
      'ARCHIVE_CORRUPT',
      'the archive is damaged: a header has a wrong checksum',
    );
  }
  const magic = block.toString('latin1', 257, 265);
  const isUstar = magic.startsWith('ustar\0');
  const isGnu = magic === 'ustar  \0';
  const name = textAt(block, 0, 100);
  const prefix = isUstar ? textAt(block, 345, prefixBytes(block)) : '';
  const type = block[156] ?? 0;
  const known = isUstar || isGnu;
  const fail = (field: string): never => {
    throw new ArchiveError(
      'ARCHIVE_CORRUPT',
      `the archive is damaged: ${displayName(name)} has no valid ${field}`,
      { entry: displayName(name) },
    );
  };
  const field = (what: string, at: number, length: number): number =>
    parseNumber(block, at, length) ?? fail(what);
  const natural = (what: string, at: number, length: number): number => {
    const value = field(what, at, length);
    return value >= 0 ? value : fail(what);
  };
  const typeFlag = type === 0 ? '0' : String.fromCharCode(type);
  const isDevice = typeFlag === '3' || typeFlag === '4';
  return {
    name: prefix === '' ? name : `${prefix}/${name}`,
    linkName: textAt(block, 157, 100),
    typeFlag,
    mode: natural('mode', 100, 8) & 0o7777,
    uid: natural('owner', 108, 8),
    gid: natural('group', 116, 8),
    sizeBytes: natural('size', 124, 12),
    mtimeS: field('time', 136, 12),
    deviceMajor: known && isDevice ? natural('device number', 329, 8) : 0,
    deviceMinor: known && isDevice ? natural('device number', 337, 8) : 0,
  };
}

/** star keeps times behind a shorter prefix, and says so at the end of the block. */
function prefixBytes(block: Buffer): number {
  return block.toString('latin1', 508, 512) === 'tar\0' ? 131 : 155;
}

function textAt(block: Buffer, at: number, length: number): string {
  const end = block.indexOf(0, at);
  return block.toString('latin1', at, end < 0 || end > at + length ? at + length : end);
}

/** Octal digits, or GNU's base 256. Undefined when it is neither, or beyond what a number holds exactly. */
export function parseNumber(block: Buffer, at: number, length: number): number | undefined {
  const first = block[at] ?? 0;
  if ((first & 0x80) === 0) return parseOctal(block, at, length);
  // Two's complement over the whole field, the marking bit left out.
  let value = BigInt(first & 0x7f);
  if ((first & 0x40) !== 0) value -= 0x80n;
  for (let index = at + 1; index < at + length; index++) {
    value = value * 256n + BigInt(block[index] ?? 0);
  }
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : undefined;
}

function parseOctal(block: Buffer, at: number, length: number): number | undefined {
  let index = at;
  const end = at + length;
  while (index < end && block[index] === 0x20) index++;
  let value = 0;
  for (; index < end; index++) {
    const byte = block[index] ?? 0;
    if (byte === 0 || byte === 0x20) break;
    if (byte < 0x30 || byte > 0x37) return undefined;
    value = value * 8 + (byte - 0x30);
  }
  for (; index < end; index++) {
    const byte = block[index];
    if (byte !== 0 && byte !== 0x20) return undefined;
  }
  return value;
}
