/** A folder against the listing of what should be in it. */
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

import { byteTextOf, displayName, fsPath } from '../../formats/tar/names.ts';
import type { TreeItem, TreeListing, TreeTime, TreeXattr } from './tree-listing.ts';

export interface TreeDifference {
  /** Byte text, empty for the root. */
  readonly path: string;
  readonly kind: 'missing' | 'added' | 'changed';
  readonly detail: string;
}

const READ_BYTES = 1024 * 1024;
/** Times outside of these are not kept alike by all file systems: 1901 to 2106. */
const KEPT_TIMES = { from: -(2 ** 31), to: 2 ** 32 } as const;
const KINDS: Readonly<Record<TreeItem['kind'], string>> = {
  f: 'a file',
  d: 'a folder',
  l: 'a symlink',
  p: 'a FIFO',
  c: 'a character device',
  b: 'a block device',
  h: 'a hard link',
};

/** Yields differences as they are found; reads every file. Extended attributes: compareXattrs. */
export function* compareTree(root: string, listing: TreeListing): Generator<TreeDifference> {
  const base = byteTextOf(root);
  const place = (path: string): string | Buffer => fsPath(path === '' ? base : `${base}/${path}`);
  const seen = new Set<string>();
  const waiting = [''];
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    const stats = lstatSync(place(path), { bigint: true });
    seen.add(path);
    const item = listing.items.get(path);
    if (item === undefined) yield { path, kind: 'added', detail: `it is ${KINDS[kindOf(stats)]}` };
    else {
      const detail = difference(item, stats, place);
      if (detail !== undefined) yield { path, kind: 'changed', detail };
    }
    if (!stats.isDirectory()) continue;
    const names = readdirSync(place(path), { encoding: 'latin1' }).sort().reverse();
    for (const name of names) waiting.push(path === '' ? name : `${path}/${name}`);
  }
  for (const path of listing.items.keys()) {
    if (!seen.has(path)) yield { path, kind: 'missing', detail: 'it is not there' };
  }
}

/** Labels that the host's security module puts on files by itself. */
const OF_THE_HOST = new Set([
  'security.selinux',
  'security.SMACK64',
  'security.ima',
  'security.evm',
]);

export function isOfTheHost(name: string): boolean {
  return OF_THE_HOST.has(name);
}

export function compareXattrs(
  actual: readonly TreeXattr[],
  expected: readonly TreeXattr[],
): readonly TreeDifference[] {
  const key = ({ path, name }: TreeXattr): string => `${name}\0${path}`;
  const rest = new Map(actual.map((xattr) => [key(xattr), xattr]));
  const differences: TreeDifference[] = [];
  for (const xattr of expected) {
    const { path, name, value } = xattr;
    const found = rest.get(key(xattr));
    rest.delete(key(xattr));
    const what = `its attribute ${displayName(name)}`;
    if (found === undefined)
      differences.push({ path, kind: 'changed', detail: `${what} is not there` });
    else if (found.value !== value)
      differences.push({ path, kind: 'changed', detail: `${what} is another` });
  }
  for (const { path, name } of rest.values()) {
    if (isOfTheHost(name)) continue;
    const detail = `it has a new attribute ${displayName(name)}`;
    differences.push({ path, kind: 'changed', detail });
  }
  return differences;
}

function difference(
  item: TreeItem,
  stats: BigIntStats,
  place: (path: string) => string | Buffer,
): string | undefined {
  if (item.kind === 'h') {
    const target = lstatSync(place(item.target), { bigint: true, throwIfNoEntry: false });
    return target?.ino === stats.ino
      ? undefined
      : `it is no longer the same file as ${displayName(item.target)}`;
  }
  const kind = kindOf(stats);
  if (kind !== item.kind) return `it is ${KINDS[kind]} and no longer ${KINDS[item.kind]}`;
  const mode = Number(stats.mode & 0o7777n);
  if (kind !== 'l' && mode !== item.mode)
    return `its mode is ${octal(mode)} and not ${octal(item.mode)}`;
  if (Number(stats.uid) !== item.uid || Number(stats.gid) !== item.gid) {
    return `its owner is ${String(stats.uid)}:${String(stats.gid)} and not ${String(item.uid)}:${String(item.gid)}`;
  }
  const detail = contentDifference(item, stats, place);
  if (detail !== undefined) return detail;
  return isSameTime(item.mtime, stats.mtimeNs) ? undefined : 'it was modified at another time';
}

function contentDifference(
  item: Exclude<TreeItem, { readonly kind: 'h' }>,
  stats: BigIntStats,
  place: (path: string) => string | Buffer,
): string | undefined {
  switch (item.kind) {
    case 'f':
      return fileDifference(item, stats, place(item.path));
    case 'l': {
      const target = readlinkSync(place(item.path), { encoding: 'buffer' }).toString('latin1');
      return target === item.target ? undefined : `it points to ${displayName(target)}`;
    }
    case 'd':
    case 'p':
      return undefined;
    case 'c':
    case 'b':
      return stats.rdev === deviceNumber(item.major, item.minor)
        ? undefined
        : 'it is another device';
  }
}

function fileDifference(
  item: Extract<TreeItem, { readonly kind: 'f' }>,
  stats: BigIntStats,
  place: string | Buffer,
): string | undefined {
  if (Number(stats.size) !== item.sizeBytes) {
    return `it has ${String(stats.size)} bytes and not ${String(item.sizeBytes)}`;
  }
  return sha256Of(place) === item.sha256 ? undefined : 'its content is another';
}

function sha256Of(place: string | Buffer): string {
  const digest = createHash('sha256');
  const buffer = Buffer.allocUnsafe(READ_BYTES);
  const fd = openSync(place, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    for (let read = readSync(fd, buffer); read > 0; read = readSync(fd, buffer)) {
      digest.update(buffer.subarray(0, read));
    }
  } finally {
    closeSync(fd);
  }
  return digest.digest('hex');
}

/** How Linux puts both numbers into st_rdev; on FreeBSD the halves are elsewhere, but image trees have no devices there. */
function deviceNumber(major: number, minor: number): bigint {
  const [high, low] = [BigInt(major), BigInt(minor)];
  return (
    ((high & 0xfffff000n) << 32n) |
    ((high & 0xfffn) << 8n) |
    ((low & 0xffffff00n) << 12n) |
    (low & 0xffn)
  );
}

function isSameTime(expected: TreeTime, actualNs: bigint): boolean {
  if (expected.seconds < KEPT_TIMES.from || expected.seconds >= KEPT_TIMES.to) return true;
  const expectedUs = BigInt(expected.seconds) * 1_000_000n + BigInt(expected.microseconds);
  const offNs = actualNs - expectedUs * 1000n;
  if (offNs > -1000n && offNs < 2000n) return true;
  // zfs-fuse keeps whole seconds only.
  return actualNs === BigInt(expected.seconds) * 1_000_000_000n;
}

function kindOf(stats: BigIntStats): Exclude<TreeItem['kind'], 'h'> {
  if (stats.isFile()) return 'f';
  if (stats.isDirectory()) return 'd';
  if (stats.isSymbolicLink()) return 'l';
  if (stats.isFIFO()) return 'p';
  return stats.isBlockDevice() ? 'b' : 'c';
}

function octal(mode: number): string {
  return mode.toString(8).padStart(4, '0');
}
