/**
 * Reads a tar archive piece by piece, in one pass and in bounded memory. Understands v7, ustar, star, pax and GNU's dialects
 * with long names and sparse files. An archive ends with two blocks of zeros; anything behind them but zeros is refused, so
 * that two programs cannot see two different archives in the same bytes.
 */
import { ArchiveError } from '../../errors.ts';
import type { TarEntry, TarEntryType, TarSink, TarXattr } from './entry.ts';
import { BLOCK_BYTES, decodeHeader, isZeroBlock, parseNumber, type RawHeader } from './header.ts';
import { badName, displayName } from './names.ts';
import { parsePax, parsePaxNumber, type PaxRecord, parsePaxTime, type PaxTime } from './pax.ts';
import {
  checkPieces,
  hasMoreOldPieces,
  parseDataPieces,
  parseOldPieces,
  parsePaxPieces,
  type Piece,
} from './sparse.ts';

const TYPES: Readonly<Record<string, TarEntryType>> = {
  '0': 'file',
  '7': 'file',
  S: 'file',
  '1': 'link',
  '2': 'symlink',
  '3': 'character-device',
  '4': 'block-device',
  '5': 'directory',
  '6': 'fifo',
};

const UNREADABLE: Readonly<Record<string, string>> = {
  A: 'a Solaris access control list',
  D: 'a folder of a GNU incremental backup',
  M: 'the continuation of another volume',
  N: 'an old GNU long name',
};

/** No process may own files as this id: chown(2) takes it for "leave it". */
const NO_ID = 0xffffffff;

type State = 'header' | 'long' | 'old-map' | 'data-map' | 'data' | 'half-end' | 'end';

interface OpenEntry {
  readonly header: RawHeader;
  readonly pax: readonly PaxRecord[];
  readonly name: string;
  readonly linkName: string;
  /** Bytes in the archive. */
  readonly storedBytes: number;
  /** Bytes of the file, if its holes make that another number. */
  sparseBytes: number | undefined;
  pieces: Piece[];
}

export class TarReader {
  readonly #sink: TarSink;
  readonly #maxHeaderBytes: number;
  #state: State = 'header';
  /** The beginning of a block whose rest has not come yet. */
  readonly #partial = Buffer.alloc(BLOCK_BYTES);
  #partialBytes = 0;
  /** What is left of the member at hand, and of the filling behind it. */
  #payloadLeft = 0;
  #fillingLeft = 0;
  #readBytes = 0;

  #longType = '';
  #long: Buffer[] = [];
  #longName: string | undefined;
  #longLinkName: string | undefined;
  #pax: readonly PaxRecord[] | undefined;
  #globalPax: readonly PaxRecord[] = [];

  #open: OpenEntry | undefined;
  #map: string[] = [];
  #mapLines = 0;
  #mapBytes = 0;
  #pieces: readonly Piece[] = [];
  #piece = 0;
  #pieceDone = 0;

  constructor(sink: TarSink, limits: { readonly headerBytes: number }) {
    this.#sink = sink;
    this.#maxHeaderBytes = limits.headerBytes;
  }

  get readBytes(): number {
    return this.#readBytes;
  }

  /** The end mark has been read. */
  get isComplete(): boolean {
    return this.#state === 'end';
  }

  /** What was read so far could be a whole archive, but for its end mark. */
  get isBetweenEntries(): boolean {
    return (
      (this.#state === 'header' || this.#state === 'half-end') &&
      this.#partialBytes === 0 &&
      this.#payloadLeft === 0 &&
      this.#fillingLeft === 0 &&
      this.#pax === undefined &&
      this.#longName === undefined &&
      this.#longLinkName === undefined
    );
  }

  /** What is left of a member's content, in the archive's own order of bytes; 0 where anything else comes next. */
  get contentLeftBytes(): number {
    return this.#state === 'data' ? this.#payloadLeft : 0;
  }

  /**
   * Passes over what is left of a member's content, and over the filling behind it: the sink gets none of it, and `write` goes on
   * with what follows. Returns how many bytes of the archive these are.
   */
  skipContent(): number {
    if (this.contentLeftBytes === 0) return 0;
    const bytes = this.#payloadLeft + this.#fillingLeft;
    this.#payloadLeft = 0;
    this.#fillingLeft = 0;
    this.#readBytes += bytes;
    this.#endPayload();
    return bytes;
  }

  write(chunk: Buffer): void {
    this.#readBytes += chunk.length;
    let at = 0;
    while (at < chunk.length) {
      if (this.#payloadLeft > 0) {
        const length = Math.min(this.#payloadLeft, chunk.length - at);
        this.#payloadLeft -= length;
        this.#payload(chunk.subarray(at, at + length));
        at += length;
        if (this.#payloadLeft === 0) this.#endPayload();
      } else if (this.#fillingLeft > 0) {
        const length = Math.min(this.#fillingLeft, chunk.length - at);
        this.#fillingLeft -= length;
        at += length;
      } else if (this.#partialBytes === 0 && chunk.length - at >= BLOCK_BYTES) {
        this.#block(chunk.subarray(at, at + BLOCK_BYTES));
        at += BLOCK_BYTES;
      } else {
        const copied = chunk.copy(this.#partial, this.#partialBytes, at);
        this.#partialBytes += copied;
        at += copied;
        if (this.#partialBytes < BLOCK_BYTES) continue;
        this.#partialBytes = 0;
        this.#block(this.#partial);
      }
    }
  }

  /** Throws ARCHIVE_TRUNCATED unless the end of the archive has been read. */
  end(): void {
    if (this.#state === 'end') {
      if (isAllZero(this.#partial.subarray(0, this.#partialBytes))) return;
      throw trailing();
    }
    const where = this.#open === undefined ? '' : ` within ${displayName(this.#open.name)}`;
    throw new ArchiveError(
      'ARCHIVE_TRUNCATED',
      `the archive ends${where} before its end mark, after ${String(this.#readBytes)} bytes`,
      { remedies: ['fetch or copy the file again'] },
    );
  }

  #block(block: Buffer): void {
    switch (this.#state) {
      case 'end':
        if (!isZeroBlock(block)) throw trailing();
        return;
      case 'half-end':
        if (!isZeroBlock(block)) {
          throw corrupt('there is a block of zeros between its entries');
        }
        this.#state = 'end';
        return;
      case 'old-map':
        this.#oldMap(block);
        return;
      case 'header':
        if (isZeroBlock(block)) this.#endMark();
        else this.#header(decodeHeader(block), block);
        return;
      case 'long':
      case 'data-map':
      case 'data':
        throw new Error(`no block expected in state ${this.#state}`);
    }
  }

  #endMark(): void {
    if (
      this.#pax !== undefined ||
      this.#longName !== undefined ||
      this.#longLinkName !== undefined
    ) {
      throw corrupt('its last extended header belongs to no entry');
    }
    this.#state = 'half-end';
  }

  #header(header: RawHeader, block: Buffer): void {
    switch (header.typeFlag) {
      case 'L':
      case 'K':
      case 'x':
      case 'X':
      case 'g':
        this.#beginLong(header);
        return;
      case 'V':
        this.#take(header.sizeBytes);
        this.#state = 'header';
        return;
      default:
        this.#beginEntry(header, block);
    }
  }

  // Extended headers

  #beginLong(header: RawHeader): void {
    if (header.sizeBytes > this.#maxHeaderBytes) throw this.#headerTooLarge(header.sizeBytes);
    this.#longType = header.typeFlag;
    this.#long = [];
    this.#state = 'long';
    this.#take(header.sizeBytes);
    if (header.sizeBytes === 0) this.#endLong();
  }

  #endLong(): void {
    const bytes = Buffer.concat(this.#long);
    this.#long = [];
    this.#state = 'header';
    switch (this.#longType) {
      case 'L':
        this.#longName = longName(bytes);
        return;
      case 'K':
        this.#longLinkName = longName(bytes);
        return;
      case 'g':
        this.#globalPax = merge(this.#globalPax, parsePax(bytes));
        if (sum(this.#globalPax) > this.#maxHeaderBytes) {
          throw this.#headerTooLarge(sum(this.#globalPax));
        }
        return;
      default:
        this.#pax = parsePax(bytes);
    }
  }

  #headerTooLarge(bytes: number): ArchiveError {
    return new ArchiveError(
      'ARCHIVE_HEADER_TOO_LARGE',
      `the archive has an extended header of ${String(bytes)} bytes, more than the ${String(this.#maxHeaderBytes)} allowed`,
    );
  }

  // Entries

  #beginEntry(header: RawHeader, block: Buffer): void {
    const pax = this.#pax === undefined ? this.#globalPax : merge(this.#globalPax, this.#pax);
    const paxText = (key: string): string | undefined => last(pax, key);
    const name = paxText('GNU.sparse.name') ?? paxText('path') ?? this.#longName ?? header.name;
    const linkName = paxText('linkpath') ?? this.#longLinkName ?? header.linkName;
    if (name.includes('\0') || linkName.includes('\0')) throw badName(name, 'has a NUL byte');
    const storedBytes = numberOf(paxText('size'), 'size', name) ?? header.sizeBytes;
    this.#pax = undefined;
    this.#longName = undefined;
    this.#longLinkName = undefined;
    const open: OpenEntry = {
      header,
      pax,
      name,
      linkName,
      storedBytes,
      sparseBytes: undefined,
      pieces: [],
    };
    this.#open = open;
    if (!Object.hasOwn(TYPES, header.typeFlag)) {
      const what =
        UNREADABLE[header.typeFlag] ?? `of the unknown type ${displayName(header.typeFlag)}`;
      throw new ArchiveError(
        'ARCHIVE_ENTRY_TYPE',
        `the archive has an entry that cannot be unpacked: ${displayName(name)} is ${what}`,
        { entry: displayName(name) },
      );
    }
    if (header.typeFlag === 'S') this.#beginOldSparse(open, block);
    else if (paxText('GNU.sparse.major') === '1') this.#beginDataMap(open);
    else {
      const pieces = parsePaxPieces(pax);
      if (pieces !== undefined) {
        const size = paxText('GNU.sparse.size') ?? paxText('GNU.sparse.realsize');
        open.sparseBytes = numberOf(size, 'size', name) ?? storedBytes;
        open.pieces = pieces;
        checkPieces(pieces, open.sparseBytes, storedBytes, name);
      }
      this.#emit(open, storedBytes);
    }
  }

  #beginOldSparse(open: OpenEntry, block: Buffer): void {
    open.pieces = parseOldPieces(block, 386, 4);
    open.sparseBytes = decodeRealSize(block, open.name);
    if (hasMoreOldPieces(block, 482)) this.#state = 'old-map';
    else this.#endOldMap(open);
  }

  #oldMap(block: Buffer): void {
    const open = this.#opened();
    open.pieces.push(...parseOldPieces(block, 0, 21));
    if (open.pieces.length * 24 > this.#maxHeaderBytes) {
      throw this.#headerTooLarge(open.pieces.length * 24);
    }
    if (!hasMoreOldPieces(block, 504)) this.#endOldMap(open);
  }

  #endOldMap(open: OpenEntry): void {
    checkPieces(open.pieces, open.sparseBytes ?? 0, open.storedBytes, open.name);
    this.#emit(open, open.storedBytes);
  }

  #beginDataMap(open: OpenEntry): void {
    open.sparseBytes = numberOf(last(open.pax, 'GNU.sparse.realsize'), 'size', open.name);
    if (open.sparseBytes === undefined) throw corrupt(`${displayName(open.name)} has no size`);
    this.#map = [];
    this.#mapLines = 0;
    this.#mapBytes = 0;
    this.#state = 'data-map';
    this.#take(open.storedBytes);
    if (open.storedBytes === 0) throw corrupt(`${displayName(open.name)} has no map of its data`);
  }

  /** The map ends with a block, wherever the chunks of the stream end; what follows it is data. */
  #dataMap(bytes: Buffer): void {
    const open = this.#opened();
    let at = 0;
    while (at < bytes.length && this.#state === 'data-map') {
      const length = Math.min(bytes.length - at, BLOCK_BYTES - (this.#mapBytes % BLOCK_BYTES));
      this.#map.push(bytes.toString('latin1', at, at + length));
      this.#mapLines += countLines(bytes, at, at + length);
      this.#mapBytes += length;
      at += length;
      if (this.#mapBytes % BLOCK_BYTES === 0) this.#endDataMap(open);
    }
    if (at < bytes.length) this.#data(bytes.subarray(at));
  }

  #endDataMap(open: OpenEntry): void {
    if (this.#mapBytes > this.#maxHeaderBytes) throw this.#headerTooLarge(this.#mapBytes);
    if (this.#mapLines < 1 + 2 * Number.parseInt(this.#map[0] ?? '', 10)) return;
    const pieces = parseDataPieces(this.#map.join(''));
    if (pieces === undefined) return;
    const dataBytes = open.storedBytes - this.#mapBytes;
    checkPieces(pieces, open.sparseBytes ?? 0, dataBytes, open.name);
    open.pieces = pieces;
    this.#map = [];
    this.#begin(open);
  }

  #emit(open: OpenEntry, storedBytes: number): void {
    this.#begin(open);
    const isFile = TYPES[open.header.typeFlag] === 'file' && !isFolderByName(open);
    // Only files have data: others tell a size for reasons of their own, as GNU tar and Go read them too.
    this.#take(isFile ? storedBytes : 0);
    if (this.#payloadLeft === 0) this.#endData();
  }

  #begin(open: OpenEntry): void {
    const entry = entryOf(open);
    this.#pieces =
      open.sparseBytes === undefined ? [{ offset: 0, length: open.storedBytes }] : open.pieces;
    this.#piece = 0;
    this.#pieceDone = 0;
    this.#state = 'data';
    this.#sink.entry(entry);
  }

  #data(bytes: Buffer): void {
    let at = 0;
    while (at < bytes.length) {
      const piece = this.#pieces[this.#piece];
      if (piece === undefined) return;
      const length = Math.min(piece.length - this.#pieceDone, bytes.length - at);
      if (length > 0) {
        this.#sink.data(bytes.subarray(at, at + length), piece.offset + this.#pieceDone);
        this.#pieceDone += length;
        at += length;
      }
      if (this.#pieceDone === piece.length) {
        this.#piece += 1;
        this.#pieceDone = 0;
      }
    }
  }

  #endData(): void {
    this.#state = 'header';
    this.#open = undefined;
    this.#sink.endEntry();
  }

  // The payload of whatever is at hand

  #take(bytes: number): void {
    this.#payloadLeft = bytes;
    this.#fillingLeft = (BLOCK_BYTES - (bytes % BLOCK_BYTES)) % BLOCK_BYTES;
  }

  #payload(bytes: Buffer): void {
    switch (this.#state) {
      case 'data':
        this.#data(bytes);
        return;
      case 'long':
        // A copy: the bytes belong to the caller.
        this.#long.push(Buffer.from(bytes));
        return;
      case 'data-map':
        this.#dataMap(bytes);
        return;
      case 'header':
      case 'old-map':
      case 'half-end':
      case 'end':
    }
  }

  #endPayload(): void {
    switch (this.#state) {
      case 'data':
        this.#endData();
        return;
      case 'long':
        this.#endLong();
        return;
      case 'data-map':
        throw corrupt(`the map of the sparse file ${displayName(this.#opened().name)} has no end`);
      case 'header':
      case 'old-map':
      case 'half-end':
      case 'end':
    }
  }

  #opened(): OpenEntry {
    if (this.#open === undefined) throw new Error('no entry is open');
    return this.#open;
  }
}

function entryOf(open: OpenEntry): TarEntry {
  const { header, pax, name } = open;
  const time = timeOf(last(pax, 'mtime'), name) ?? { seconds: header.mtimeS, nanoseconds: 0 };
  const type = isFolderByName(open) ? 'directory' : (TYPES[header.typeFlag] ?? 'file');
  const device = (key: string, otherwise: number) =>
    numberOf(last(pax, `SCHILY.${key}`), 'device number', name) ?? otherwise;
  return {
    name,
    type,
    linkName: type === 'symlink' || type === 'link' ? open.linkName : '',
    mode: header.mode,
    uid: idOf(last(pax, 'uid'), header.uid, name),
    gid: idOf(last(pax, 'gid'), header.gid, name),
    sizeBytes: type === 'file' ? (open.sparseBytes ?? open.storedBytes) : 0,
    mtimeS: time.seconds,
    mtimeNs: time.nanoseconds,
    deviceMajor: device('devmajor', header.deviceMajor),
    deviceMinor: device('devminor', header.deviceMinor),
    xattrs: pax.length === 0 ? [] : xattrsOf(pax),
    unsupported: pax.length === 0 ? [] : unsupportedIn(pax),
  };
}

/** v7 has no type for folders: their names end with a slash. */
function isFolderByName(open: OpenEntry): boolean {
  return (open.header.typeFlag === '0' || open.header.typeFlag === '7') && open.name.endsWith('/');
}

function xattrsOf(pax: readonly PaxRecord[]): readonly TarXattr[] {
  const xattrs = new Map<string, string>();
  for (const { key, value } of pax) {
    if (key.startsWith('LIBARCHIVE.xattr.')) {
      // bsdtar writes both; its own has the name percent-encoded and the value in base64.
      const name = percentDecoded(key.slice('LIBARCHIVE.xattr.'.length));
      if (!xattrs.has(name)) xattrs.set(name, Buffer.from(value, 'base64').toString('latin1'));
    } else if (key.startsWith('SCHILY.xattr.')) {
      xattrs.set(key.slice('SCHILY.xattr.'.length), value);
    }
  }
  return [...xattrs].map(([name, value]) => ({ name, value }));
}

function percentDecoded(text: string): string {
  return text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

function unsupportedIn(pax: readonly PaxRecord[]): readonly string[] {
  return pax
    .map(({ key }) => key)
    .filter(
      (key) =>
        key.startsWith('SCHILY.acl.') || key.startsWith('RHT.security.') || key === 'SCHILY.fflags',
    );
}

function last(records: readonly PaxRecord[], key: string): string | undefined {
  for (let index = records.length - 1; index >= 0; index--) {
    const record = records[index];
    // An empty value takes a setting back.
    if (record?.key === key) return record.value === '' ? undefined : record.value;
  }
  return undefined;
}

/** What a member says beats what is said for all; pieces of sparse files may repeat a key, so nothing else is dropped. */
function merge(global: readonly PaxRecord[], own: readonly PaxRecord[]): readonly PaxRecord[] {
  if (global.length === 0) return own;
  const keys = new Set(own.map(({ key }) => key));
  return [...global.filter(({ key }) => !keys.has(key)), ...own];
}

function sum(records: readonly PaxRecord[]): number {
  return records.reduce((bytes, { key, value }) => bytes + key.length + value.length, 0);
}

function longName(bytes: Buffer): string {
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end--;
  return bytes.toString('latin1', 0, end);
}

function decodeRealSize(block: Buffer, name: string): number {
  const size = parseNumber(block, 483, 12);
  if (size === undefined || size < 0) throw corrupt(`${displayName(name)} has no size`);
  return size;
}

function numberOf(value: string | undefined, what: string, name: string): number | undefined {
  if (value === undefined) return undefined;
  const number = parsePaxNumber(value);
  if (number === undefined) throw corrupt(`${displayName(name)} has no valid ${what}`);
  return number;
}

function idOf(value: string | undefined, otherwise: number, name: string): number {
  const id = numberOf(value, 'owner', name) ?? otherwise;
  if (id >= NO_ID) throw corrupt(`${displayName(name)} has an owner beyond what a system can have`);
  return id;
}

function timeOf(value: string | undefined, name: string): PaxTime | undefined {
  if (value === undefined) return undefined;
  const time = parsePaxTime(value);
  if (time === undefined) throw corrupt(`${displayName(name)} has no valid time`);
  return time;
}

function countLines(bytes: Buffer, from: number, to: number): number {
  let lines = 0;
  for (let at = bytes.indexOf(0x0a, from); at >= 0 && at < to; at = bytes.indexOf(0x0a, at + 1))
    lines++;
  return lines;
}

function isAllZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}

function corrupt(why: string): ArchiveError {
  return new ArchiveError('ARCHIVE_CORRUPT', `the archive is damaged: ${why}`);
}

function trailing(): ArchiveError {
  return new ArchiveError('ARCHIVE_TRAILING_DATA', 'the archive has data behind its end mark');
}
