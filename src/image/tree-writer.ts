/**
 * Unpacks entries into an empty folder that nobody else writes to. The attack that each rule stops:
 *
 * - Nothing is written through a symlink. A parent is used only if this writer made it, as a real folder: an entry `a` that is
 *   a symlink to / and an entry `a/etc/passwd` would else be written to the host.
 * - Everything is made with O_EXCL, mkdir, symlink or link, which follow nothing and replace nothing: an entry that is there
 *   already is a duplicate, and two programs could see two different trees in one archive.
 * - A hard link goes only to what this writer has made, reached by real folders: else it would give a name inside to a file of the host.
 * - Folders stay 0700 until the end: no user of the host gets at a setuid program while it is unpacked.
 * - Device nodes are made on request only.
 */
import { createHash, type Hash, hash } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  ftruncateSync,
  futimesSync,
  lchownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  readlinkSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeSync,
} from 'node:fs';

import { ArchiveError, errnoOf } from '../errors.ts';
import type { TreeSink } from '../formats/aci/sink.ts';
import type { TarEntry } from '../formats/tar/entry.ts';
import { byteTextOf, displayName, fsPath } from '../formats/tar/names.ts';
import type { ApplySpecialFiles, SpecialNode, SpecialXattr } from './special-files.ts';
import type { Attributes, TreeItem, TreeTime, TreeXattr } from './tree-listing.ts';

export interface TreeWriterOptions {
  /** An empty folder. */
  readonly root: string;
  /** Make device nodes. Else those below dev/ are left out with a warning, and others refused. */
  readonly allowDevices: boolean;
  /** Bytes of all files together, their holes included. */
  readonly treeBytes: number;
  /** Takes every item in the order in which it is made; attributes of folders are those that they will have at the end. */
  readonly onItem: (item: TreeItem) => void;
  readonly onXattr: (xattr: TreeXattr) => void;
}

interface OpenFile {
  readonly path: string;
  readonly entry: TarEntry;
  readonly fd: number;
  hash: Hash | undefined;
  sha256: string | undefined;
  hashedBytes: number;
  /** The file's end so far: behind it is nothing, not even a hole. */
  endBytes: number;
}

const CREATE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
/** Zeros of this length and more become a hole. */
const HOLE_BYTES = 64 * 1024;
const ZEROS = Buffer.alloc(HOLE_BYTES);
const EMPTY_SHA256 = hash('sha256', '');
/** Of all extended attributes together: they wait in memory for the end. */
const MAX_XATTR_BYTES = 64 * 1024 * 1024;

export class TreeWriter implements TreeSink {
  readonly #options: TreeWriterOptions;
  readonly #root: string;
  readonly #made: { readonly uid: number; readonly gid: number; readonly umask: number };
  /** Folders made here, and whether an entry has told their attributes. */
  readonly #folders = new Map<string, Attributes | undefined>([['', undefined]]);
  readonly #nodes = new Map<string, TarEntry>();
  readonly #linksToNodes: { readonly path: string; readonly target: string }[] = [];
  readonly #leftOut = new Set<string>();
  readonly #xattrs: SpecialXattr[] = [];
  readonly #warnings = new Set<string>();
  #file: OpenFile | undefined;
  #writtenBytes = 0;
  #declaredBytes = 0;
  #xattrBytes = 0;

  constructor(options: TreeWriterOptions) {
    this.#options = options;
    this.#root = byteTextOf(options.root);
    this.#made = probe(options.root);
  }

  /** Bytes written to files so far. */
  get writtenBytes(): number {
    return this.#writtenBytes;
  }

  /** Sizes of all files so far, their holes included. */
  get declaredBytes(): number {
    return this.#declaredBytes;
  }

  begin(path: string, entry: TarEntry, linkTarget: string): void {
    if (this.#nodes.has(path) || this.#leftOut.has(path)) throw duplicate(path);
    for (const name of entry.unsupported) this.#warn(`${name} is not kept (${displayName(path)})`);
    if (path !== '') this.#ensureParent(path);
    switch (entry.type) {
      case 'file':
        this.#beginFile(path, entry);
        break;
      case 'directory':
        this.#makeFolder(path, entry);
        break;
      case 'symlink':
        this.#makeSymlink(path, entry);
        break;
      case 'link':
        this.#makeLink(path, linkTarget);
        return;
      case 'fifo':
        this.#nodes.set(path, entry);
        break;
      case 'character-device':
      case 'block-device':
        if (!this.#wantsDevice(path, entry)) return;
        this.#nodes.set(path, entry);
    }
    for (const { name, value } of entry.xattrs) this.#keepXattr({ path, name, value });
  }

  data(bytes: Buffer, offset: number): void {
    const file = this.#file;
    if (file === undefined) return;
    this.#hashPiece(file, bytes, offset);
    writePiece(file, bytes, offset);
    this.#writtenBytes += bytes.length;
  }

  end(): void {
    const file = this.#file;
    if (file === undefined) return;
    const { path, entry, fd } = file;
    if (file.endBytes < entry.sizeBytes) ftruncateSync(fd, entry.sizeBytes);
    this.#own(entry, (uid, gid) => {
      fchownSync(fd, uid, gid);
    });
    // After the owner: chown(2) takes setuid and setgid away.
    if ((entry.mode & 0o7000) !== 0 || (entry.mode & this.#made.umask) !== 0)
      fchmodSync(fd, entry.mode);
    const mtime = timeOf(entry);
    futimesSync(fd, secondsOf(mtime), secondsOf(mtime));
    this.#file = undefined;
    closeSync(fd);
    this.#options.onItem({
      kind: 'f',
      ...attributesOf(path, entry, mtime),
      sizeBytes: entry.sizeBytes,
      sha256: this.#sha256(file),
    });
  }

  /**
   * Nodes and extended attributes, and then, from the bottom up, the attributes of folders. To be called once, after the last entry.
   * Returns warnings, each of them once.
   */
  async finish(apply: ApplySpecialFiles): Promise<readonly string[]> {
    if (this.#nodes.size > 0 || this.#xattrs.length > 0) await this.#finishSpecials(apply);
    for (const [path, { mode, uid, gid, mtime }] of this.#folderAttributes().reverse()) {
      const place = this.#place(path);
      if (uid !== this.#made.uid || gid !== this.#made.gid || path === '')
        lchownSync(place, uid, gid);
      chmodSync(place, mode);
      utimesSync(place, secondsOf(mtime), secondsOf(mtime));
    }
    return [...this.#warnings];
  }

  /** Closes what is open. For when something has gone wrong; the folder is the caller's to remove. */
  abandon(): void {
    if (this.#file === undefined) return;
    closeSync(this.#file.fd);
    this.#file = undefined;
  }

  // Kinds of entries

  #beginFile(path: string, entry: TarEntry): void {
    if (path === '') throw duplicate(path);
    this.#declaredBytes += entry.sizeBytes;
    if (this.#declaredBytes > this.#options.treeBytes) {
      throw new ArchiveError(
        'ARCHIVE_TOO_LARGE',
        `the files in the archive have more than the ${String(this.#options.treeBytes)} bytes allowed`,
        { entry: displayName(path) },
      );
    }
    const fd = this.#make(path, (place) => openSync(place, CREATE, entry.mode & 0o777));
    this.#file = {
      path,
      entry,
      fd,
      hash: undefined,
      sha256: undefined,
      hashedBytes: 0,
      endBytes: 0,
    };
  }

  #makeFolder(path: string, entry: TarEntry): void {
    if (this.#folders.has(path)) {
      if (this.#folders.get(path) !== undefined) throw duplicate(path);
    } else {
      this.#make(path, (place) => {
        mkdirSync(place, 0o700);
      });
    }
    const attributes = attributesOf(path, entry, timeOf(entry));
    this.#folders.set(path, attributes);
    this.#options.onItem({ kind: 'd', ...attributes });
  }

  #makeSymlink(path: string, entry: TarEntry): void {
    if (entry.linkName === '') {
      throw new ArchiveError(
        'ARCHIVE_ENTRY_NAME',
        `the archive has a symlink without a target: ${displayName(path)}`,
        { entry: displayName(path) },
      );
    }
    const place = this.#place(path);
    this.#make(path, () => {
      symlinkSync(fsPath(entry.linkName), place);
    });
    this.#own(entry, (uid, gid) => {
      lchownSync(place, uid, gid);
    });
    const mtime = timeOf(entry);
    lutimesSync(place, secondsOf(mtime), secondsOf(mtime));
    this.#options.onItem({
      kind: 'l',
      ...attributesOf(path, { ...entry, mode: 0o777 }, mtime),
      target: entry.linkName,
    });
  }

  #makeLink(path: string, target: string): void {
    if (this.#leftOut.has(target)) {
      this.#leftOut.add(path);
      return;
    }
    if (this.#nodes.has(target)) {
      this.#linksToNodes.push({ path, target });
      return;
    }
    if (!this.#folders.has(parentOf(target)))
      throw badLink(path, target, 'is not in a folder of it');
    const from = this.#place(target);
    const found = lstatSync(from, { throwIfNoEntry: false });
    if (found === undefined) throw badLink(path, target, 'has not come before it');
    if (found.isDirectory()) throw badLink(path, target, 'is a folder');
    this.#make(path, (place) => {
      // On FreeBSD link(2) follows a symlink, out of the root perhaps: a second one with the same target will do.
      if (found.isSymbolicLink()) {
        symlinkSync(readlinkSync(from, { encoding: 'buffer' }), place);
        lchownSync(place, found.uid, found.gid);
        lutimesSync(place, found.mtimeMs / 1000, found.mtimeMs / 1000);
      } else linkSync(from, place);
    });
    if (found.isSymbolicLink()) {
      this.#options.onItem({
        kind: 'l',
        path,
        mode: 0o777,
        uid: found.uid,
        gid: found.gid,
        mtime: timeOfStat(lstatSync(this.#place(path), { bigint: true }).mtimeNs),
        target: readlinkSync(from, { encoding: 'buffer' }).toString('latin1'),
      });
    } else this.#options.onItem({ kind: 'h', path, target });
  }

  #wantsDevice(path: string, entry: TarEntry): boolean {
    if (this.#options.allowDevices) return true;
    if (!path.startsWith('dev/')) {
      throw new ArchiveError(
        'ARCHIVE_ENTRY_TYPE',
        `the archive has a device node: ${displayName(path)} is a ${entry.type}`,
        {
          entry: displayName(path),
          remedies: ['allow device nodes in images with: --insecure-options=devices'],
        },
      );
    }
    this.#leftOut.add(path);
    this.#warn('device nodes below dev/ are left out: every app gets its own /dev');
    return false;
  }

  async #finishSpecials(apply: ApplySpecialFiles): Promise<void> {
    const nodes = [...this.#nodes].map(([path, entry]) => specialNode(path, entry));
    const lost = await apply(this.#options.root, { nodes, xattrs: this.#xattrs });
    for (const { path, entry, node } of [...this.#nodes].map(([path, entry], index) => ({
      path,
      entry,
      node: nodes[index],
    }))) {
      const place = this.#place(path);
      const time = timeOf(entry);
      lchownSync(place, entry.uid, entry.gid);
      chmodSync(place, entry.mode);
      lutimesSync(place, secondsOf(time), secondsOf(time));
      if (node !== undefined) {
        const { kind, major, minor } = node;
        this.#options.onItem({ kind, ...attributesOf(path, entry, time), major, minor });
      }
    }
    for (const { path, target } of this.#linksToNodes) {
      this.#make(path, (place) => {
        linkSync(this.#place(target), place);
      });
      this.#options.onItem({ kind: 'h', path, target });
    }
    const lostKeys = new Set(lost.map(({ path, name }) => `${name}\0${path}`));
    for (const { name, reason } of lost) {
      this.#warn(`the extended attribute ${displayName(name)} is not kept: ${reason}`);
    }
    for (const xattr of this.#xattrs) {
      if (!lostKeys.has(`${xattr.name}\0${xattr.path}`)) this.#options.onXattr(xattr);
    }
  }

  #folderAttributes(): [string, Attributes][] {
    const implied = { mode: 0o755, uid: 0, gid: 0, mtime: { seconds: 0, microseconds: 0 } };
    return [...this.#folders].map(([path, told]) => {
      if (told !== undefined) return [path, told];
      const attributes = { path, ...implied };
      this.#options.onItem({ kind: 'd', ...attributes });
      return [path, attributes];
    });
  }

  // Common parts

  #keepXattr(xattr: SpecialXattr): void {
    this.#xattrBytes += xattr.path.length + xattr.name.length + xattr.value.length;
    if (this.#xattrBytes > MAX_XATTR_BYTES) {
      throw new ArchiveError(
        'ARCHIVE_TOO_LARGE',
        `the archive has more than ${String(MAX_XATTR_BYTES)} bytes of extended attributes`,
        { entry: displayName(xattr.path) },
      );
    }
    this.#xattrs.push(xattr);
  }

  #ensureParent(path: string): void {
    const parent = parentOf(path);
    if (this.#folders.has(parent)) return;
    if (this.#nodes.has(parent) || this.#leftOut.has(parent)) throw notAFolder(parent);
    this.#ensureParent(parent);
    const place = this.#place(parent);
    try {
      mkdirSync(place, 0o700);
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST') throw nameFault(error, parent);
      if (!lstatSync(place).isSymbolicLink()) throw notAFolder(parent);
      throw new ArchiveError(
        'ARCHIVE_SYMLINK_PARENT',
        `the archive would write through a symlink: ${displayName(path)}, where ${displayName(parent)} is one`,
        { entry: displayName(path) },
      );
    }
    this.#folders.set(parent, undefined);
  }

  #make<T>(path: string, make: (place: string | Buffer) => T): T {
    try {
      return make(this.#place(path));
    } catch (error) {
      if (errnoOf(error) === 'EEXIST') throw duplicate(path);
      throw nameFault(error, path);
    }
  }

  #place(path: string): string | Buffer {
    return fsPath(path === '' ? this.#root : `${this.#root}/${path}`);
  }

  #own(entry: TarEntry, chown: (uid: number, gid: number) => void): void {
    if (entry.uid !== this.#made.uid || entry.gid !== this.#made.gid) chown(entry.uid, entry.gid);
  }

  #warn(message: string): void {
    if (this.#warnings.size < 1000) this.#warnings.add(message);
  }

  // Digests

  #hashPiece(file: OpenFile, bytes: Buffer, offset: number): void {
    if (offset === 0 && bytes.length === file.entry.sizeBytes) {
      file.sha256 = hash('sha256', bytes);
      return;
    }
    file.hash ??= createHash('sha256');
    hashZeros(file, file.hash, offset);
    file.hash.update(bytes);
    file.hashedBytes = offset + bytes.length;
  }

  #sha256(file: OpenFile): string {
    if (file.sha256 !== undefined) return file.sha256;
    if (file.entry.sizeBytes === 0) return EMPTY_SHA256;
    const digest = file.hash ?? createHash('sha256');
    hashZeros(file, digest, file.entry.sizeBytes);
    return digest.digest('hex');
  }
}

/** Up to `toBytes`, which is behind a hole. */
function hashZeros(file: OpenFile, digest: Hash, toBytes: number): void {
  while (file.hashedBytes < toBytes) {
    const length = Math.min(HOLE_BYTES, toBytes - file.hashedBytes);
    digest.update(ZEROS.subarray(0, length));
    file.hashedBytes += length;
  }
}

/** Writes at its place; long runs of zeros are left out, and become holes. */
function writePiece(file: OpenFile, bytes: Buffer, offset: number): void {
  let from = 0;
  let at = 0;
  while (bytes.length - at >= HOLE_BYTES) {
    if (bytes.compare(ZEROS, 0, HOLE_BYTES, at, at + HOLE_BYTES) === 0) {
      writeAll(file, bytes, from, at, offset);
      from = at + HOLE_BYTES;
    }
    at += HOLE_BYTES;
  }
  writeAll(file, bytes, from, bytes.length, offset);
}

function writeAll(file: OpenFile, bytes: Buffer, from: number, to: number, offset: number): void {
  let at = from;
  while (at < to) at += writeSync(file.fd, bytes, at, to - at, offset + at);
  if (to > from) file.endBytes = offset + to;
}

/** What a new file gets from this process and this file system: owner, group (its folder's on FreeBSD), and the umask's effect. */
function probe(root: string): {
  readonly uid: number;
  readonly gid: number;
  readonly umask: number;
} {
  const place = `${root}/.jetpack-probe`;
  const fd = openSync(place, CREATE, 0o777);
  try {
    const { uid, gid, mode } = fstatSync(fd);
    return { uid, gid, umask: 0o777 & ~mode };
  } finally {
    closeSync(fd);
    unlinkSync(place);
  }
}

function attributesOf(path: string, entry: TarEntry, mtime: TreeTime): Attributes {
  return { path, mode: entry.mode, uid: entry.uid, gid: entry.gid, mtime };
}

function timeOf(entry: TarEntry): TreeTime {
  return { seconds: entry.mtimeS, microseconds: Math.floor(entry.mtimeNs / 1000) };
}

export function timeOfStat(mtimeNs: bigint): TreeTime {
  const microseconds = mtimeNs >= 0n ? mtimeNs / 1000n : -((-mtimeNs + 999n) / 1000n);
  const seconds =
    microseconds >= 0n ? microseconds / 1_000_000n : -((-microseconds + 999_999n) / 1_000_000n);
  return { seconds: Number(seconds), microseconds: Number(microseconds - seconds * 1_000_000n) };
}

/**
 * For utimes(2): half a microsecond more, since the way from a double to nanoseconds rounds down. As text where it is negative:
 * Node takes a negative number for "now", but not the same number as text.
 */
function secondsOf({ seconds, microseconds }: TreeTime): number | string {
  const time = microseconds === 0 ? seconds : seconds + (microseconds + 0.5) / 1e6;
  return time < 0 ? String(time) : time;
}

function specialNode(path: string, entry: TarEntry): SpecialNode {
  const kind = entry.type === 'fifo' ? 'p' : entry.type === 'character-device' ? 'c' : 'b';
  const { mode, deviceMajor: major, deviceMinor: minor } = entry;
  return { path, kind, mode, major, minor };
}

function parentOf(path: string): string {
  const slash = path.lastIndexOf('/');
  return slash < 0 ? '' : path.slice(0, slash);
}

function nameFault(error: unknown, path: string): unknown {
  if (errnoOf(error) !== 'ENAMETOOLONG') return error;
  return new ArchiveError(
    'ARCHIVE_NAME_TOO_LONG',
    `the archive has a name that is too long for the file system: ${displayName(path)}`,
    { entry: displayName(path), cause: error },
  );
}

function duplicate(path: string): ArchiveError {
  return new ArchiveError('ARCHIVE_DUPLICATE', `the archive has ${displayName(path)} twice`, {
    entry: displayName(path),
  });
}

function notAFolder(path: string): ArchiveError {
  return new ArchiveError(
    'ARCHIVE_DUPLICATE',
    `the archive has ${displayName(path)} as a folder and as something else`,
    { entry: displayName(path) },
  );
}

function badLink(path: string, target: string, why: string): ArchiveError {
  return new ArchiveError(
    'ARCHIVE_HARD_LINK',
    `the archive has a hard link ${displayName(path)} to ${displayName(target)}, which ${why}`,
    { entry: displayName(path) },
  );
}
