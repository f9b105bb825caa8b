/**
 * Files with holes, in GNU tar's four ways ("Storing Sparse Files" in its manual): a map of the pieces that hold data, in the
 * header (old GNU), in the extended header (0.0 and 0.1), or before the data (1.0).
 */
import { ArchiveError } from '../../errors.ts';
import { BLOCK_BYTES, parseNumber } from './header.ts';
import { displayName } from './names.ts';
import { parsePaxNumber, type PaxRecord } from './pax.ts';

/** A piece of data and its place in the file. */
export interface Piece {
  readonly offset: number;
  readonly length: number;
}

/** The pieces of an old GNU header (at 386, four) or of a block that goes on with it (at 0, twenty-one). */
export function parseOldPieces(block: Buffer, at: number, count: number): Piece[] {
  const pieces: Piece[] = [];
  for (let index = 0; index < count; index++) {
    const place = at + index * 24;
    // An unused slot begins with NUL; a used one has digits or base 256.
    if (block[place] === 0 && block[place + 12] === 0) break;
    const offset = parseNumber(block, place, 12);
    const length = parseNumber(block, place + 12, 12);
    if (offset === undefined || length === undefined) throw malformed('its map has no numbers');
    pieces.push({ offset, length });
  }
  return pieces;
}

export function hasMoreOldPieces(block: Buffer, at: number): boolean {
  return block[at] !== 0;
}

/** 0.0 and 0.1: everything is in the extended header. Undefined when the records speak of no such file. */
export function parsePaxPieces(records: readonly PaxRecord[]): Piece[] | undefined {
  const numbers: number[] = [];
  let found = false;
  for (const { key, value } of records) {
    if (key === 'GNU.sparse.map') {
      found = true;
      if (value !== '') numbers.push(...value.split(',').map(wholeNumber));
    } else if (key === 'GNU.sparse.offset' || key === 'GNU.sparse.numbytes') {
      found = true;
      numbers.push(wholeNumber(value));
    } else if (key === 'GNU.sparse.numblocks') found = true;
  }
  return found ? pair(numbers) : undefined;
}

/**
 * 1.0: `count\noffset\nlength\n…`, filled up to a block. `text` is what has been read of it so far; undefined = not all of it yet.
 */
export function parseDataPieces(text: string): Piece[] | undefined {
  const lines = text.split('\n');
  if (lines.length < 2) return undefined;
  const count = wholeNumber(lines[0] ?? '');
  if (lines.length <= 1 + 2 * count) return undefined;
  return pair(lines.slice(1, 1 + 2 * count).map(wholeNumber));
}

/** Throws unless the pieces are in order, apart, inside the file, and as many bytes as the archive holds. */
export function checkPieces(
  pieces: readonly Piece[],
  sizeBytes: number,
  storedBytes: number,
  name: string,
): void {
  let end = 0;
  let sum = 0;
  for (const { offset, length } of pieces) {
    if (offset < end || length < 0 || offset + length > sizeBytes) {
      throw malformed('its pieces overlap or lie outside', name);
    }
    end = offset + length;
    sum += length;
  }
  // Old writers count the data up to the next block.
  const blocks = Math.ceil(sum / BLOCK_BYTES) * BLOCK_BYTES;
  if (sum !== storedBytes && blocks !== storedBytes) {
    throw malformed('its pieces are not as long as its data', name);
  }
}

function pair(numbers: readonly number[]): Piece[] {
  if (numbers.length % 2 !== 0) throw malformed('its map has an odd number of numbers');
  const pieces: Piece[] = [];
  for (let index = 0; index < numbers.length; index += 2) {
    pieces.push({ offset: numbers[index] ?? 0, length: numbers[index + 1] ?? 0 });
  }
  return pieces;
}

function wholeNumber(text: string): number {
  const number = parsePaxNumber(text);
  if (number === undefined) throw malformed('its map has no numbers');
  return number;
}

function malformed(why: string, name?: string): ArchiveError {
  const which = name === undefined ? 'a sparse file' : `the sparse file ${displayName(name)}`;
  return new ArchiveError(
    'ARCHIVE_CORRUPT',
    `the archive is damaged: ${which} cannot be read: ${why}`,
    name === undefined ? {} : { entry: displayName(name) },
  );
}
