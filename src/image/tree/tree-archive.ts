/**
 * A tree as the contents of an archive, canonical: in the order of the bytes of the names, of several names of a file the first one
 * with its content. With the tree's listing (tree-listing.ts) the facts are the listing's, whose times are finer than what some
 * file systems keep, and every content is checked against it.
 */
import { createHash } from 'node:crypto';
import {
  type BigIntStats,
  closeSync,
  constants,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
} from 'node:fs';

import { errnoOf, ImageError } from '../../errors.ts';
import type { TarXattr } from '../../formats/tar/entry.ts';
import { byteTextOf, displayName, fsPath } from '../../formats/tar/names.ts';
import type { TarContent, TarMember } from '../../formats/tar/writer.ts';
import type { ImagePorts } from '../ports.ts';
import { dumpXattrs } from './shim-special-files.ts';
import { isOfTheHost } from './tree-compare.ts';
import type { TreeItem, TreeListing } from './tree-listing.ts';

export interface TreeArchiveOptions {
  /** What must be there. Without it whatever is there. */
  readonly listing?: TreeListing | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Told with every chunk: bytes of files so far, and of all of them. */
  readonly onProgress?: ((doneBytes: number, totalBytes: number) => void) | undefined;
}

const READ_BYTES = 256 * 1024;

/** What there is to tell of a name; `sha256` where a listing says it. */
interface Found {
  readonly member: TarMember;
  readonly sha256: string | undefined;
  /** The same for every name of one file. */
  readonly file: unknown;
}

/**
 * For writeTar: the root first, whose name is empty. The contents are read when they are asked for, from a tree that must not change
 * meanwhile. Throws IMAGE_DAMAGED where the tree is another than the listing; sockets are left out, since no archive has any.
 */
export async function* treeContents(
  ports: Pick<ImagePorts, 'exec' | 'tools'>,
  root: string,
  options: TreeArchiveOptions = {},
): AsyncGenerator<TarContent, void, undefined> {
  const { listing, signal, onProgress } = options;
  const found = listing === undefined ? walk(root) : fromListing(listing);
  const xattrs = groupXattrs(listing?.xattrs ?? (await dumpXattrs(ports, root)));
  const totalBytes = found.reduce((sum, { member }) => sum + member.sizeBytes, 0);
  const firstNames = new Map<unknown, string>();
  let doneBytes = 0;
  for (const { member, sha256, file } of found) {
    signal?.throwIfAborted();
    const first = firstNames.get(file);
    if (first !== undefined) {
      yield { member: linkTo(member, first) };
      continue;
    }
    firstNames.set(file, member.name);
    const whole = { ...member, xattrs: xattrs.get(member.name) ?? [] };
    if (member.type !== 'file') {
      yield { member: whole };
      continue;
    }
    const content = () =>
      readFile(root, member, sha256, (bytes) => {
        signal?.throwIfAborted();
        doneBytes += bytes;
        onProgress?.(doneBytes, totalBytes);
      });
    yield { member: whole, content };
  }
}

function linkTo(member: TarMember, target: string): TarMember {
  return { ...member, type: 'link', linkName: target, sizeBytes: 0, xattrs: [] };
}

function groupXattrs(
  all: readonly { readonly path: string; readonly name: string; readonly value: string }[],
): ReadonlyMap<string, readonly TarXattr[]> {
  const groups = new Map<string, TarXattr[]>();
  for (const { path, name, value } of all) {
    if (isOfTheHost(name)) continue;
    const group = groups.get(path);
    if (group === undefined) groups.set(path, [{ name, value }]);
    else group.push({ name, value });
  }
  return groups;
}

function byName(a: Found, b: Found): number {
  return a.member.name < b.member.name ? -1 : 1;
}

// From a listing

function fromListing({ items }: TreeListing): readonly Found[] {
  const found: Found[] = [];
  for (const item of items.values()) {
    const node = item.kind === 'h' ? items.get(item.target) : item;
    if (node === undefined || node.kind === 'h') {
      throw damaged(item.path, 'is a hard link to what is not there');
    }
    found.push({
      member: memberOf(item.path, node),
      sha256: node.kind === 'f' ? node.sha256 : undefined,
      file: node,
    });
  }
  return found.sort(byName);
}

const TYPES = {
  f: 'file',
  d: 'directory',
  l: 'symlink',
  p: 'fifo',
  c: 'character-device',
  b: 'block-device',
} as const;

function memberOf(name: string, item: Exclude<TreeItem, { readonly kind: 'h' }>): TarMember {
  const isDevice = item.kind === 'c' || item.kind === 'b';
  return {
    name,
    type: TYPES[item.kind],
    linkName: item.kind === 'l' ? item.target : '',
    mode: item.kind === 'l' ? 0o777 : item.mode,
    uid: item.uid,
    gid: item.gid,
    sizeBytes: item.kind === 'f' ? item.sizeBytes : 0,
    mtimeS: item.mtime.seconds,
    mtimeNs: item.mtime.microseconds * 1000,
    deviceMajor: isDevice ? item.major : 0,
    deviceMinor: isDevice ? item.minor : 0,
    xattrs: [],
  };
}

// From what is there

function walk(root: string): readonly Found[] {
  const base = byteTextOf(root);
  const found: Found[] = [];
  const waiting = [''];
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    const place = fsPath(path === '' ? base : `${base}/${path}`);
    const stats = lstatSync(place, { bigint: true });
    const type = typeOf(stats);
    if (type === undefined) continue;
    const linkName =
      type === 'symlink' ? readlinkSync(place, { encoding: 'buffer' }).toString('latin1') : '';
    const isShared = stats.nlink > 1n && type !== 'directory';
    const member = statMember(path, type, linkName, stats);
    found.push({ member, sha256: undefined, file: isShared ? String(stats.ino) : member });
    if (type !== 'directory') continue;
    for (const name of readdirSync(place, { encoding: 'latin1' })) {
      waiting.push(path === '' ? name : `${path}/${name}`);
    }
  }
  return found.sort(byName);
}

function typeOf(stats: BigIntStats): TarMember['type'] | undefined {
  if (stats.isFile()) return 'file';
  if (stats.isDirectory()) return 'directory';
  if (stats.isSymbolicLink()) return 'symlink';
  if (stats.isFIFO()) return 'fifo';
  if (stats.isCharacterDevice()) return 'character-device';
  return stats.isBlockDevice() ? 'block-device' : undefined;
}

const NS_PER_S = 1_000_000_000n;

function statMember(
  name: string,
  type: TarMember['type'],
  linkName: string,
  stats: BigIntStats,
): TarMember {
  const isDevice = type === 'character-device' || type === 'block-device';
  const nanoseconds = ((stats.mtimeNs % NS_PER_S) + NS_PER_S) % NS_PER_S;
  const { rdev } = stats;
  return {
    name,
    type,
    linkName,
    mode: type === 'symlink' ? 0o777 : Number(stats.mode & 0o7777n),
    uid: Number(stats.uid),
    gid: Number(stats.gid),
    sizeBytes: type === 'file' ? Number(stats.size) : 0,
    mtimeS: Number((stats.mtimeNs - nanoseconds) / NS_PER_S),
    mtimeNs: Number(nanoseconds),
    // As Linux puts them into st_rdev; on FreeBSD the halves are elsewhere, but image trees have no devices there.
    deviceMajor: isDevice ? Number(((rdev >> 32n) & 0xfffff000n) | ((rdev >> 8n) & 0xfffn)) : 0,
    deviceMinor: isDevice ? Number(((rdev >> 12n) & 0xffffff00n) | (rdev & 0xffn)) : 0,
    xattrs: [],
  };
}

// Contents

function* readFile(
  root: string,
  { name, sizeBytes }: TarMember,
  sha256: string | undefined,
  onRead: (bytes: number) => void,
): Generator<Buffer, void, undefined> {
  const hash = sha256 === undefined ? undefined : createHash('sha256');
  const fd = openFile(root, name);
  try {
    const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, sizeBytes + 1));
    let at = 0;
    for (let read = readSync(fd, buffer); read > 0; read = readSync(fd, buffer)) {
      const bytes = buffer.subarray(0, read);
      hash?.update(bytes);
      at += read;
      if (at > sizeBytes) break;
      onRead(read);
      yield bytes;
    }
    if (at !== sizeBytes) throw damaged(name, `has not the ${String(sizeBytes)} bytes that it had`);
    if (hash !== undefined && hash.digest('hex') !== sha256) {
      throw damaged(name, 'has another content than it had');
    }
  } finally {
    closeSync(fd);
  }
}

function openFile(root: string, name: string): number {
  const place = fsPath(`${byteTextOf(root)}/${name}`);
  try {
    return openSync(place, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (cause) {
    const errno = errnoOf(cause);
    if (errno !== 'ENOENT' && errno !== 'ELOOP' && errno !== 'ENOTDIR') throw cause;
    throw damaged(name, 'is not there any more', cause);
  }
}

function damaged(name: string, why: string, cause?: unknown): ImageError {
  return new ImageError('IMAGE_DAMAGED', `${displayName(name)} in the image ${why}`, {
    remedies: ['look closer with: jetpack image verify'],
    ...(cause === undefined ? {} : { cause }),
  });
}
