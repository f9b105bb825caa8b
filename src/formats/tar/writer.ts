/**
 * Writes a tar archive: ustar (POSIX.1-2018 pax(1), "ustar Interchange Format"), with an extended header before what that cannot
 * hold. The bytes are a function of what is given alone: no time, no name of a user, no place where it was written.
 */
import type { TarEntry, TarEntryType, TarXattr } from './entry.ts';
import { BLOCK_BYTES } from './header.ts';
import { displayName } from './names.ts';

/** What a reader would be told; `name` without a slash at its end. */
export type TarMember = Omit<TarEntry, 'unsupported'>;

const TYPE_FLAGS: Readonly<Record<TarEntryType, string>> = {
  file: '0',
  link: '1',
  symlink: '2',
  'character-device': '3',
  'block-device': '4',
  directory: '5',
  fifo: '6',
};

const NAME_BYTES = 100;
const PREFIX_BYTES = 155;
const MAX_ID = 0o7777777;
const MAX_SIZE = 0o77777777777;

/** Two blocks of zeros. */
export const END_MARK: Buffer = Buffer.alloc(2 * BLOCK_BYTES);

/** What stands before the member's content. */
export function encodeHeader(member: TarMember): Buffer {
  const name = member.type === 'directory' ? `${member.name}/` : member.name;
  const place = splitName(name);
  const records = recordsOf(member, name, place === undefined);
  const header = encodeBlock({
    ...(place ?? { name: name.slice(0, NAME_BYTES), prefix: '' }),
    typeFlag: TYPE_FLAGS[member.type],
    linkName: member.linkName.slice(0, NAME_BYTES),
    mode: member.mode,
    uid: within(member.uid, MAX_ID),
    gid: within(member.gid, MAX_ID),
    sizeBytes: within(contentBytes(member), MAX_SIZE),
    mtimeS: member.mtimeS < 0 ? 0 : within(member.mtimeS, MAX_SIZE),
    deviceMajor: within(member.deviceMajor, MAX_ID),
    deviceMinor: within(member.deviceMinor, MAX_ID),
  });
  return records.length === 0 ? header : Buffer.concat([encodePax(member.name, records), header]);
}

/** How many bytes the content of a member takes; what follows it up to the next block is paddingAfter. */
export function contentBytes(member: Pick<TarMember, 'type' | 'sizeBytes'>): number {
  return member.type === 'file' ? member.sizeBytes : 0;
}

const ZEROS = Buffer.alloc(BLOCK_BYTES);

export function paddingAfter(sizeBytes: number): Buffer {
  return ZEROS.subarray(0, (BLOCK_BYTES - (sizeBytes % BLOCK_BYTES)) % BLOCK_BYTES);
}

export interface TarContent {
  readonly member: TarMember;
  /** Exactly `sizeBytes` bytes of a file; the chunks are used up before the next one is asked for. */
  readonly content?: () => Iterable<Uint8Array> | AsyncIterable<Uint8Array>;
}

/** Small pieces are gathered up to this. */
const GATHER_BYTES = 256 * 1024;
const PASSED_BYTES = 64 * 1024;

/**
 * The whole archive, its end mark included. Asks for nothing before somebody wants more bytes of it, and never holds more than
 * a chunk. Throws what the contents throw, and an error for a file that is not as long as its member says.
 */
export async function* writeTar(
  contents: Iterable<TarContent> | AsyncIterable<TarContent>,
): AsyncGenerator<Buffer, void, undefined> {
  let waiting: Buffer[] = [];
  let waitingBytes = 0;
  const add = (bytes: Buffer): boolean => {
    waiting.push(bytes);
    waitingBytes += bytes.length;
    return waitingBytes >= GATHER_BYTES;
  };
  const take = (): Buffer => {
    const bytes = Buffer.concat(waiting, waitingBytes);
    waiting = [];
    waitingBytes = 0;
    return bytes;
  };
  for await (const { member, content } of contents) {
    add(encodeHeader(member));
    const wantedBytes = contentBytes(member);
    let writtenBytes = 0;
    if (wantedBytes > 0) {
      for await (const chunk of content?.() ?? []) {
        writtenBytes += chunk.length;
        if (writtenBytes > wantedBytes) break;
        // Copies: the chunk is its giver's again with the next one. Large ones go as they are, behind what waits.
        const copy = Buffer.from(chunk);
        if (copy.length >= PASSED_BYTES) {
          if (waitingBytes > 0) yield take();
          yield copy;
        } else if (add(copy)) yield take();
      }
      if (writtenBytes !== wantedBytes) throw notAsLong(member);
    }
    if (add(paddingAfter(wantedBytes))) yield take();
  }
  add(END_MARK);
  yield take();
}

function notAsLong(member: TarMember): Error {
  return new Error(
    `${displayName(member.name)} has not the ${String(member.sizeBytes)} bytes that it had`,
  );
}

// Headers

interface Fields {
  readonly name: string;
  readonly prefix: string;
  readonly typeFlag: string;
  readonly linkName: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly sizeBytes: number;
  readonly mtimeS: number;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
}

function encodeBlock(fields: Fields): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES);
  block.write(fields.name, 0, NAME_BYTES, 'latin1');
  writeOctal(block, 100, 8, fields.mode);
  writeOctal(block, 108, 8, fields.uid);
  writeOctal(block, 116, 8, fields.gid);
  writeOctal(block, 124, 12, fields.sizeBytes);
  writeOctal(block, 136, 12, fields.mtimeS);
  block.write(fields.typeFlag, 156, 1, 'latin1');
  block.write(fields.linkName, 157, NAME_BYTES, 'latin1');
  block.write('ustar\x0000', 257, 8, 'latin1');
  writeOctal(block, 329, 8, fields.deviceMajor);
  writeOctal(block, 337, 8, fields.deviceMinor);
  block.write(fields.prefix, 345, PREFIX_BYTES, 'latin1');
  block.fill(0x20, 148, 156);
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 8, 'latin1');
  return block;
}

/** Digits and a NUL at the end. */
function writeOctal(block: Buffer, at: number, length: number, value: number): void {
  block.write(value.toString(8).padStart(length - 1, '0'), at, length - 1, 'latin1');
}

/** What does not fit is told by an extended header; readers take that. */
function within(value: number, max: number): number {
  return value > max ? 0 : value;
}

/** The two fields of a name; undefined when it does not fit into them. */
function splitName(name: string): { readonly name: string; readonly prefix: string } | undefined {
  if (name.length <= NAME_BYTES) return { name, prefix: '' };
  // The slash between the parts is in neither; the one at the end of a folder's name is no place to split.
  const slash = name.lastIndexOf('/', Math.min(PREFIX_BYTES, name.length - 2));
  if (slash <= 0 || name.length - slash - 1 > NAME_BYTES) return undefined;
  return { name: name.slice(slash + 1), prefix: name.slice(0, slash) };
}

// Extended headers

type Records = readonly (readonly [key: string, value: string])[];

/** Sorted by their keys. */
function recordsOf(member: TarMember, name: string, isLong: boolean): Records {
  const records: [string, string][] = [];
  if (isLong) records.push(['path', name]);
  if (member.linkName.length > NAME_BYTES) records.push(['linkpath', member.linkName]);
  if (member.uid > MAX_ID) records.push(['uid', String(member.uid)]);
  if (member.gid > MAX_ID) records.push(['gid', String(member.gid)]);
  if (contentBytes(member) > MAX_SIZE) records.push(['size', String(member.sizeBytes)]);
  if (member.mtimeNs !== 0 || member.mtimeS < 0 || member.mtimeS > MAX_SIZE) {
    records.push(['mtime', renderTime(member)]);
  }
  if (member.deviceMajor > MAX_ID) {
    records.push(['SCHILY.devmajor', String(member.deviceMajor)]);
  }
  if (member.deviceMinor > MAX_ID) {
    records.push(['SCHILY.devminor', String(member.deviceMinor)]);
  }
  records.push(...member.xattrs.map(xattrRecord));
  return records.sort(([a], [b]) => (a < b ? -1 : 1));
}

function renderTime({ mtimeS, mtimeNs }: TarMember): string {
  if (mtimeNs === 0) return String(mtimeS);
  // Counted up from the seconds; written, the fraction counts away from zero.
  const isNegative = mtimeS < 0;
  const whole = isNegative ? -(mtimeS + 1) : mtimeS;
  const nanoseconds = isNegative ? 1_000_000_000 - mtimeNs : mtimeNs;
  const fraction = String(nanoseconds).padStart(9, '0').replace(/0+$/, '');
  return `${isNegative ? '-' : ''}${String(whole)}.${fraction}`;
}

function xattrRecord({ name, value }: TarXattr): [string, string] {
  if (!name.includes('=')) return [`SCHILY.xattr.${name}`, value];
  // A key ends with the first "="; the form of bsdtar can say such a name, too.
  const encoded = name.replace(
    /[^!-$&-<>-~]/g,
    (byte) => `%${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  );
  return [`LIBARCHIVE.xattr.${encoded}`, Buffer.from(value, 'latin1').toString('base64')];
}

function encodePax(name: string, records: Records): Buffer {
  const body = Buffer.from(records.map(encodeRecord).join(''), 'latin1');
  const base = name.slice(name.lastIndexOf('/') + 1);
  const block = encodeBlock({
    name: `PaxHeaders/${base}`.slice(0, NAME_BYTES),
    prefix: '',
    typeFlag: 'x',
    linkName: '',
    mode: 0o644,
    uid: 0,
    gid: 0,
    sizeBytes: body.length,
    mtimeS: 0,
    deviceMajor: 0,
    deviceMinor: 0,
  });
  return Buffer.concat([block, body, paddingAfter(body.length)]);
}

/** `LENGTH KEY=VALUE\n`, where the length counts its own digits. */
function encodeRecord([key, value]: Records[number]): string {
  const rest = ` ${key}=${value}\n`;
  let length = rest.length + 1;
  while (length !== rest.length + String(length).length) {
    length = rest.length + String(length).length;
  }
  return `${String(length)}${rest}`;
}
