/**
 * Where the members of an archive are in it, so that they can be read in any order. Their contents are passed over, not read.
 * The archive is somebody else's: names are normalised, links lead to members only, nothing is there twice.
 */
import { ArchiveError } from '../../errors.ts';
import type { TarEntry } from './entry.ts';
import { BLOCK_BYTES } from './header.ts';
import { displayName, type NameLimits, normaliseName } from './names.ts';
import { TarReader } from './reader.ts';

export interface ArchivedFile {
  /** Of its content, from the archive's first byte. */
  readonly offset: number;
  readonly sizeBytes: number;
}

export interface IndexLimits extends NameLimits {
  readonly headerBytes: number;
  readonly entries: number;
}

export interface ArchiveIndex {
  /** Undefined when there is no such file. Throws ArchiveError for what is there and is none. */
  find(name: string): ArchivedFile | undefined;
  /** Names of all files, as they are looked for. */
  readonly names: readonly string[];
}

/** Bytes of the archive from `position` on; none at its end. */
export type ReadAt = (position: number) => Promise<Buffer> | Buffer;

type Member =
  | ({ readonly kind: 'file' } & ArchivedFile)
  | { readonly kind: 'link'; readonly target: string }
  | { readonly kind: 'other'; readonly what: string };

/** Of links to links; nobody makes more than one. */
const MAX_LINKS = 8;

/** Throws ArchiveError. */
export async function indexArchive(read: ReadAt, limits: IndexLimits): Promise<ArchiveIndex> {
  const members = new Map<string, Member>();
  let entry: TarEntry | undefined;
  let entries = 0;
  const reader = new TarReader(
    {
      entry(told) {
        entries += 1;
        if (entries > limits.entries) throw tooMany(limits.entries);
        entry = told;
      },
      data: () => undefined,
      endEntry: () => undefined,
    },
    limits,
  );
  let position = 0;
  for (let chunk = await read(0); chunk.length > 0; chunk = await read(position)) {
    let at = 0;
    // Block by block, so that it is seen where a content begins.
    while (at < chunk.length && reader.contentLeftBytes === 0) {
      const block = chunk.subarray(at, at + BLOCK_BYTES - ((position + at) % BLOCK_BYTES));
      reader.write(block);
      at += block.length;
      if (entry !== undefined) {
        addMember(members, entry, { offset: position + at, left: reader.contentLeftBytes }, limits);
        entry = undefined;
      }
    }
    position += at + reader.skipContent();
  }
  reader.end();
  return {
    names: [...members].filter(([, { kind }]) => kind !== 'other').map(([name]) => name),
    find: (name) => findFile(members, name),
  };
}

function addMember(
  members: Map<string, Member>,
  entry: TarEntry,
  place: { readonly offset: number; readonly left: number },
  limits: IndexLimits,
): void {
  const name = normaliseName(entry.name, limits);
  // A folder may well be there twice, and nobody looks for one.
  if (entry.type === 'directory') return;
  if (members.has(name)) {
    throw new ArchiveError('ARCHIVE_DUPLICATE', `the archive has ${displayName(name)} twice`, {
      entry: displayName(name),
    });
  }
  members.set(name, memberOf(name, entry, place));
}

function memberOf(
  name: string,
  entry: TarEntry,
  { offset, left }: { readonly offset: number; readonly left: number },
): Member {
  switch (entry.type) {
    case 'file':
      return left === entry.sizeBytes
        ? { kind: 'file', offset, sizeBytes: left }
        : { kind: 'other', what: 'a file with holes' };
    case 'link':
      return { kind: 'link', target: resolveName('', entry.linkName) ?? '' };
    case 'symlink': {
      const folder = name.includes('/') ? name.slice(0, name.lastIndexOf('/')) : '';
      return { kind: 'link', target: resolveName(folder, entry.linkName) ?? '' };
    }
    case 'directory':
    case 'fifo':
    case 'character-device':
    case 'block-device':
      return { kind: 'other', what: `a ${entry.type}` };
  }
}

/** What a link in `folder` leads to, as a name of the archive; undefined when it leads out of it. */
function resolveName(folder: string, target: string): string | undefined {
  const parts = target.startsWith('/') ? [] : folder.split('/');
  for (const part of target.split('/')) {
    if (part === '..') {
      if (parts.every((one) => one === '')) return undefined;
      parts.pop();
    } else if (part !== '' && part !== '.') parts.push(part);
  }
  return parts.filter((part) => part !== '').join('/');
}

function findFile(members: ReadonlyMap<string, Member>, wanted: string): ArchivedFile | undefined {
  let name = wanted;
  for (let links = 0; links <= MAX_LINKS; links++) {
    const member = members.get(name);
    if (member === undefined) {
      if (links === 0) return undefined;
      throw badMember(wanted, 'is a link to what the archive does not have');
    }
    if (member.kind === 'file') return member;
    if (member.kind === 'other') throw badMember(wanted, `is ${member.what}`);
    name = member.target;
  }
  throw badMember(wanted, 'is a link that leads to itself');
}

function badMember(name: string, why: string): ArchiveError {
  const entry = displayName(name);
  return new ArchiveError('ARCHIVE_LAYOUT', `${entry} in the archive ${why}`, { entry });
}

function tooMany(entries: number): ArchiveError {
  return new ArchiveError(
    'ARCHIVE_TOO_MANY_ENTRIES',
    `the archive has more than the ${String(entries)} entries allowed`,
  );
}
