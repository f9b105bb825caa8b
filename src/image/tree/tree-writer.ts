/**
 * Unpacks entries into a folder that nobody else writes to: an empty one, or one with the tree of the layers or images below. The
 * attack that each rule stops:
 *
 * - Nothing is written through a symlink. A parent is used only if this writer made it, as a real folder, or has seen that the lower
 *   tree has a real folder there: an entry `a` that is a symlink to / and an entry `a/etc/passwd` would else be written to the host.
 *   A symlink of the lower tree makes place for the folder; one of the same archive is refused.
 * - Everything is made with O_EXCL, mkdir, symlink or link, which follow nothing and replace nothing: an entry that is there
 *   already is a duplicate, and two programs could see two different trees in one archive. What the lower tree has there is removed
 *   first, and never written to, since other names of it may stay.
 * - A hard link goes only to what is in the tree, reached by real folders: else it would give a name inside to a file of the host.
 * - The root stays 0700 until the end, and so do new folders: no user of the host gets at a setuid program while it is unpacked.
 * - Device nodes are made on request only.
 *
 * What of the lower tree is only a way to something new keeps its attributes, its time included: the same layers give the same tree
 * everywhere.
 */
import { randomUUID } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  fchmodSync,
  fchownSync,
  fstatSync,
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
} from 'node:fs';

import { ArchiveError, errnoOf, HostError } from '../../errors.ts';
import type { LayerTree } from '../../formats/oci/layer-sink.ts';
import type { TarEntry } from '../../formats/tar/entry.ts';
import { displayName, fsPath } from '../../formats/tar/names.ts';
import { LowerTree } from './lower-tree.ts';
import { PathSet } from './path-set.ts';
import type { ApplySpecialFiles, SpecialNode, SpecialXattr } from './special-files.ts';
import {
  badLink,
  badWhiteout,
  duplicate,
  nameFault,
  notAFolder,
  symlinkParent,
} from './tree-faults.ts';
import { CREATE, TreeFile } from './tree-file.ts';
import type { Attributes, TreeItem, TreeTime, TreeXattr } from './tree-listing.ts';
import { secondsOf, timeOf, timeOfStat } from './tree-time.ts';

export interface TreeWriterOptions {
  readonly root: string;
  /** There is a tree in the folder already. Else it is empty, which is checked as it goes: whatever is there is a duplicate. */
  readonly isOver: boolean;
  /** A folder may come twice, the last one counts: writers of layers do it. */
  readonly mayRepeatFolders: boolean;
  /** Make device nodes. Else those below dev/ are left out with a warning, and others refused. */
  readonly allowDevices: boolean;
  /** Bytes of all files together, their holes included. */
  readonly treeBytes: number;
  /** Folders, those included that only the names of other entries tell of: these cost an archive next to nothing. */
  readonly folders: number;
  /** Takes every item in the order in which it is made, folders at the end. Of a lower tree, only what is changed. */
  readonly onItem: (item: TreeItem) => void;
  readonly onXattr: (xattr: TreeXattr) => void;
  /** Something of the lower tree is gone, with all below it, and nothing is in its place. In order with the items. */
  readonly onRemoval: (path: string) => void;
}

interface Folder {
  /** What an entry says. */
  told: Attributes | undefined;
  /** What the lower tree says, where that still counts. */
  kept: Attributes | undefined;
  /** The folder was there already, and may have extended attributes. */
  readonly isAdopted: boolean;
  /** Something of the lower tree may be in it. */
  hasLower: boolean;
}

interface OpenFile {
  readonly path: string;
  readonly entry: TarEntry;
  readonly file: TreeFile;
}

/** `own`: something of this archive that is no folder. */
type Kind = 'folder' | 'symlink' | 'own' | 'other' | 'nothing';

/** Of all extended attributes together: they wait in memory for the end. */
const MAX_XATTR_BYTES = 64 * 1024 * 1024;

export class TreeWriter implements LayerTree {
  readonly #options: TreeWriterOptions;
  readonly #tree: LowerTree;
  readonly #made: { readonly uid: number; readonly gid: number; readonly umask: number };
  /** Folders that are made here, have a new entry, or have something new in them. */
  readonly #folders = new Map<string, Folder>();
  /** Folders of the lower tree, not among those, which something was taken out of. */
  readonly #touched = new Map<string, Attributes>();
  /** Folders of the lower tree that were seen to be real ones; forgotten whenever a folder is removed. */
  readonly #seen = new Set<string>();
  /** What this archive has that is no folder; undefined where nothing else can be in its way. */
  readonly #written: PathSet | undefined;
  readonly #nodes = new Map<string, TarEntry>();
  readonly #linksToNodes: { readonly path: string; readonly target: string }[] = [];
  readonly #leftOut = new Set<string>();
  readonly #xattrs = new Map<string, SpecialXattr[]>();
  readonly #warnings = new Set<string>();
  #open: OpenFile | undefined;
  #writtenBytes = 0;
  #declaredBytes = 0;
  #xattrBytes = 0;

  constructor(options: TreeWriterOptions) {
    const { root, isOver } = options;
    this.#options = options;
    this.#tree = new LowerTree(root);
    this.#written = isOver ? new PathSet() : undefined;
    this.#folders.set('', isOver ? this.#adopted('') : newFolder());
    this.#made = probe(root);
    if (isOver) chmodSync(root, 0o700);
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
        this.#makeWay(path);
        this.#nodes.set(path, entry);
        break;
      case 'character-device':
      case 'block-device': {
        const isWanted = this.#wantsDevice(path, entry);
        if (this.#makeWay(path) && !isWanted) this.#options.onRemoval(path);
        if (isWanted) this.#nodes.set(path, entry);
        else {
          this.#leftOut.add(path);
          return;
        }
      }
    }
    for (const { name, value } of entry.xattrs) this.#keepXattr({ path, name, value });
  }

  data(bytes: Buffer, offset: number): void {
    if (this.#open === undefined) return;
    this.#open.file.write(bytes, offset);
    this.#writtenBytes += bytes.length;
  }

  end(): void {
    const open = this.#open;
    if (open === undefined) return;
    const { path, entry, file } = open;
    const sha256 = file.finish();
    this.#own(path, entry, (uid, gid) => {
      fchownSync(file.fd, uid, gid);
    });
    // After the owner: chown(2) takes setuid and setgid away.
    if ((entry.mode & 0o7000) !== 0 || (entry.mode & this.#made.umask) !== 0)
      fchmodSync(file.fd, entry.mode);
    const mtime = timeOf(entry);
    futimesSync(file.fd, secondsOf(mtime), secondsOf(mtime));
    this.#open = undefined;
    file.close();
    const { sizeBytes } = entry;
    this.#options.onItem({ kind: 'f', ...attributesOf(path, entry, mtime), sizeBytes, sha256 });
  }

  whiteout(path: string): void {
    const parent = parentOf(path);
    const kind = this.#kindAt(parent);
    if (kind === 'symlink') throw badWhiteout(path, 'leads through a symlink');
    // Below what has taken the place of a folder, umoci names all that was in that.
    if (kind !== 'folder' || this.#isOwn(path)) return;
    const folder = this.#folders.get(path);
    if (folder !== undefined) {
      this.#empty(path, folder);
      folder.kept = undefined;
    } else if (this.#tree.find(path) !== undefined) {
      this.#touch(parent);
      this.#takeOut(path);
    }
  }

  opaque(path: string): void {
    const kind = this.#kindAt(path);
    if (kind === 'symlink' || kind === 'own' || kind === 'other') {
      throw badWhiteout(path, 'hides the content of what is no folder');
    }
    if (kind === 'nothing') return;
    const folder = this.#folders.get(path);
    if (folder !== undefined) {
      this.#empty(path, folder);
      return;
    }
    this.#touch(path);
    for (const name of this.#tree.names(path)) this.#takeOut(`${path}/${name}`);
  }

  /**
   * Nodes and extended attributes, and then the attributes of folders. To be called once, after the last entry.
   * Returns warnings, each of them once.
   */
  async finish(apply: ApplySpecialFiles): Promise<readonly string[]> {
    // Of a folder that was there and is a new one now.
    const stripped = [...this.#folders].flatMap(([path, { isAdopted, kept }]) =>
      isAdopted && kept === undefined ? [path] : [],
    );
    const hasSpecials = this.#nodes.size > 0 || this.#xattrs.size > 0 || stripped.length > 0;
    const xattrs = hasSpecials ? await this.#finishSpecials(apply, stripped) : [];
    for (const [path, folder] of this.#folders) if (path !== '') this.#settleFolder(path, folder);
    // Last of all: it keeps everybody out.
    const root = this.#folders.get('');
    if (root !== undefined) this.#settleFolder('', root);
    for (const [path, attributes] of this.#touched) {
      if (!this.#folders.has(path) && this.#kindAt(path) === 'folder')
        this.#tree.restoreTime(attributes);
    }
    // Behind the folders: a new item has no attributes but those that follow it.
    for (const xattr of xattrs) this.#options.onXattr(xattr);
    return [...this.#warnings];
  }

  /** Closes what is open. For when something has gone wrong; the folder is the caller's to remove. */
  abandon(): void {
    this.#open?.file.close();
    this.#open = undefined;
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
    const fd = this.#makeEntry(path, (place) => openSync(place, CREATE, entry.mode & 0o777));
    this.#open = { path, entry, file: new TreeFile(fd, entry.sizeBytes) };
  }

  #makeFolder(path: string, entry: TarEntry): void {
    let folder = this.#folders.get(path);
    if (folder === undefined) folder = this.#addFolder(path);
    else if (folder.told !== undefined) {
      if (!this.#options.mayRepeatFolders) throw duplicate(path);
      this.#xattrs.delete(path);
    }
    folder.told = attributesOf(path, entry, timeOf(entry));
    folder.kept = undefined;
  }

  #makeSymlink(path: string, entry: TarEntry): void {
    if (entry.linkName === '') {
      throw new ArchiveError(
        'ARCHIVE_ENTRY_NAME',
        `the archive has a symlink without a target: ${displayName(path)}`,
        { entry: displayName(path) },
      );
    }
    const place = this.#tree.place(path);
    this.#makeEntry(path, () => {
      symlinkSync(fsPath(entry.linkName), place);
    });
    this.#own(path, entry, (uid, gid) => {
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
      if (this.#makeWay(path)) this.#options.onRemoval(path);
      this.#leftOut.add(path);
      return;
    }
    if (this.#nodes.has(target)) {
      this.#linksToNodes.push({ path, target });
      return;
    }
    if (target === path || target.startsWith(`${path}/`))
      throw badLink(path, target, 'it would take the place of');
    if (this.#kindAt(parentOf(target)) !== 'folder')
      throw badLink(path, target, 'is not in a folder of it');
    const from = this.#tree.place(target);
    const found = this.#tree.find(target);
    if (found === undefined) throw badLink(path, target, 'has not come before it');
    if (found.isDirectory()) throw badLink(path, target, 'is a folder');
    this.#makeEntry(path, (place) => {
      // On FreeBSD link(2) follows a symlink, out of the root perhaps: a second one with the same target will do.
      if (found.isSymbolicLink()) {
        symlinkSync(readlinkSync(from, { encoding: 'buffer' }), place);
        lchownSync(place, Number(found.uid), Number(found.gid));
        const mtime = secondsOf(timeOfStat(found.mtimeNs));
        lutimesSync(place, mtime, mtime);
      } else linkSync(from, place);
    });
    if (found.isSymbolicLink()) {
      this.#options.onItem({
        kind: 'l',
        ...this.#tree.attributes(path, found),
        mode: 0o777,
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
    this.#warn('device nodes below dev/ are left out: every app gets its own /dev');
    return false;
  }

  /** Resolves with the extended attributes that are there now. */
  async #finishSpecials(
    apply: ApplySpecialFiles,
    stripped: readonly string[],
  ): Promise<readonly SpecialXattr[]> {
    const nodes = [...this.#nodes].map(([path, entry]) => ({
      path,
      entry,
      node: specialNode(path, entry),
    }));
    const xattrs = [...this.#xattrs.values()].flat();
    const files = { stripped, nodes: nodes.map(({ node }) => node), xattrs };
    const lost = await apply(this.#options.root, files);
    for (const { path, entry, node } of nodes) {
      const place = this.#tree.place(path);
      const time = timeOf(entry);
      this.#own(path, entry, (uid, gid) => {
        lchownSync(place, uid, gid);
      });
      chmodSync(place, entry.mode);
      lutimesSync(place, secondsOf(time), secondsOf(time));
      const { kind, major, minor } = node;
      this.#options.onItem({ kind, ...attributesOf(path, entry, time), major, minor });
    }
    for (const { path, target } of this.#linksToNodes) {
      this.#makeEntry(path, (place) => {
        linkSync(this.#tree.place(target), place);
      });
      this.#options.onItem({ kind: 'h', path, target });
    }
    for (const { name, reason } of lost) {
      this.#warn(`the extended attribute ${displayName(name)} is not kept: ${reason}`);
    }
    const lostKeys = new Set(lost.map(({ path, name }) => `${name}\0${path}`));
    return xattrs.filter(({ path, name }) => !lostKeys.has(`${name}\0${path}`));
  }

  #settleFolder(path: string, { told, kept, isAdopted }: Folder): void {
    const attributes = told ?? kept ?? { path, mode: 0o755, uid: 0, gid: 0, mtime: EPOCH };
    if (attributes !== kept) this.#options.onItem({ kind: 'd', ...attributes });
    const place = this.#tree.place(path);
    this.#own(
      path,
      attributes,
      (uid, gid) => {
        lchownSync(place, uid, gid);
      },
      !isAdopted && path !== '',
    );
    chmodSync(place, attributes.mode);
    const mtime = secondsOf(attributes.mtime);
    utimesSync(place, mtime, mtime);
  }

  // Folders

  #ensureParent(path: string): void {
    const parent = parentOf(path);
    if (this.#folders.has(parent)) return;
    if (this.#nodes.has(parent) || this.#leftOut.has(parent)) throw notAFolder(parent);
    this.#ensureParent(parent);
    try {
      this.#addFolder(parent);
    } catch (error) {
      if (!(error instanceof ArchiveError) || error.code !== 'ARCHIVE_DUPLICATE') throw error;
      const isSymlink = lstatSync(this.#tree.place(parent)).isSymbolicLink();
      throw isSymlink ? symlinkParent(path, parent) : notAFolder(parent);
    }
  }

  /** Makes the folder, or takes over the one of the lower tree. Its parent is one of `#folders`. */
  #addFolder(path: string): Folder {
    if (this.#folders.size > this.#options.folders) {
      throw new ArchiveError(
        'ARCHIVE_TOO_MANY_ENTRIES',
        `the archive has more than the ${String(this.#options.folders)} folders allowed`,
        { entry: displayName(path) },
      );
    }
    const isThere =
      this.#written !== undefined &&
      !this.#written.has(path) &&
      this.#tree.find(path)?.isDirectory() === true;
    const folder = isThere ? this.#adopted(path) : newFolder();
    if (!isThere) {
      this.#make(path, (place) => {
        mkdirSync(place, 0o700);
      });
    }
    this.#folders.set(path, folder);
    return folder;
  }

  #adopted(path: string): Folder {
    const kept = this.#touched.get(path) ?? this.#lowerAttributes(path);
    return { told: undefined, kept, isAdopted: true, hasLower: true };
  }

  #lowerAttributes(path: string): Attributes {
    const stats = this.#tree.find(path);
    if (stats === undefined) throw new Error(`${displayName(path)} has gone while it was unpacked`);
    return this.#tree.attributes(path, stats);
  }

  /** Before something is taken out of a folder of the lower tree. */
  #touch(path: string): void {
    if (this.#folders.has(path) || this.#touched.has(path)) return;
    this.#touched.set(path, this.#lowerAttributes(path));
  }

  /** What is at the end of a path without a symlink on the way; the first link that is on it is the answer. */
  #kindAt(path: string): Kind {
    if (this.#folders.has(path) || this.#seen.has(path)) return 'folder';
    const above = this.#kindAt(parentOf(path));
    if (above !== 'folder') return above === 'symlink' ? 'symlink' : 'nothing';
    if (this.#nodes.has(path)) return 'own';
    const stats = this.#tree.find(path);
    if (stats === undefined) return 'nothing';
    if (!stats.isDirectory()) {
      if (this.#isOwn(path)) return 'own';
      return stats.isSymbolicLink() ? 'symlink' : 'other';
    }
    this.#seen.add(path);
    return 'folder';
  }

  // The lower tree

  /** This archive has it, and it is no folder. */
  #isOwn(path: string): boolean {
    return this.#written === undefined || this.#written.has(path) || this.#nodes.has(path);
  }

  /** Of a folder of this archive, what the lower tree has in it. */
  #empty(path: string, folder: Folder): void {
    const waiting: [string, Folder][] = [[path, folder]];
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      const [parent, { hasLower }] = next;
      if (!hasLower) continue;
      next[1].hasLower = false;
      for (const name of this.#tree.names(parent)) {
        const child = parent === '' ? name : `${parent}/${name}`;
        if (this.#isOwn(child)) continue;
        const below = this.#folders.get(child);
        if (below === undefined) this.#takeOut(child);
        else {
          below.kept = undefined;
          waiting.push([child, below]);
        }
      }
    }
  }

  #takeOut(path: string): void {
    this.#remove(path);
    this.#options.onRemoval(path);
  }

  #remove(path: string): void {
    if (this.#tree.remove(path)) this.#seen.clear();
  }

  /** Removes what the lower tree has at a path, and says whether there was something. Throws ARCHIVE_DUPLICATE if it is of this archive. */
  #makeWay(path: string): boolean {
    if (this.#tree.find(path) === undefined) return false;
    if (this.#folders.has(path) || this.#isOwn(path)) throw duplicate(path);
    this.#remove(path);
    return true;
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
    const others = this.#xattrs.get(xattr.path);
    if (others === undefined) this.#xattrs.set(xattr.path, [xattr]);
    else others.push(xattr);
  }

  /** Anything but a folder. */
  #makeEntry<T>(path: string, make: (place: string | Buffer) => T): T {
    const made = this.#make(path, make);
    this.#written?.add(path);
    return made;
  }

  #make<T>(path: string, make: (place: string | Buffer) => T): T {
    const place = this.#tree.place(path);
    try {
      return make(place);
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST') throw nameFault(error, path);
      this.#makeWay(path);
      return make(place);
    }
  }

  /** What is new here may have its owner already. */
  #own(
    path: string,
    { uid, gid }: { readonly uid: number; readonly gid: number },
    chown: (uid: number, gid: number) => void,
    isNew = true,
  ): void {
    if (isNew && uid === this.#made.uid && gid === this.#made.gid) return;
    try {
      chown(uid, gid);
    } catch (error) {
      // zfs-fuse has no ids from 2^31 on; a user namespace has those only that it was given.
      if (errnoOf(error) !== 'EINVAL') throw error;
      throw new HostError(
        'HOST_UNSUPPORTED',
        `the file system takes no file of ${String(uid)}:${String(gid)}, the owner of ${displayName(path)}`,
        { cause: error },
      );
    }
  }

  #warn(message: string): void {
    if (this.#warnings.size < 1000) this.#warnings.add(message);
  }
}

const EPOCH: TreeTime = { seconds: 0, microseconds: 0 };

function newFolder(): Folder {
  return { told: undefined, kept: undefined, isAdopted: false, hasLower: false };
}

/** What a new file gets from this process and this file system: owner, group (its folder's on FreeBSD), and the umask's effect. */
function probe(root: string): {
  readonly uid: number;
  readonly gid: number;
  readonly umask: number;
} {
  // A name that no lower tree has.
  const place = `${root}/.jetpack-${randomUUID()}`;
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

function specialNode(path: string, entry: TarEntry): SpecialNode {
  const kind = entry.type === 'fifo' ? 'p' : entry.type === 'character-device' ? 'c' : 'b';
  const { mode, deviceMajor: major, deviceMinor: minor } = entry;
  return { path, kind, mode, major, minor };
}

function parentOf(path: string): string {
  const slash = path.lastIndexOf('/');
  return slash < 0 ? '' : path.slice(0, slash);
}
