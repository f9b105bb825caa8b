/**
 * The pathWhitelist of ACIs (spec/aci.md): the complete set of what may be in a rendered tree.
 *
 * A folder in the list is that folder alone, and nothing of what is in it. The folders on the way to a path of the list are kept, with the
 * attributes that the images give them, whether they are in the list or not: the path could not be there without them. (The appc
 * library keeps every folder of the image whose list it is, and none of those on the way in its dependencies, where they
 * come into being again with attributes of the renderer's choice.)
 */
import { type AciLimits, AciSink, type TreeSink } from '../../formats/aci/sink.ts';
import {
  type ArchiveSource,
  readArchive,
  type ReadArchiveOptions,
} from '../../formats/tar/archive.ts';
import type { DecompressPorts } from '../../formats/tar/decompress.ts';
import type { TarEntry } from '../../formats/tar/entry.ts';
import { byteTextOf } from '../../formats/tar/names.ts';
import { openListing } from './listing-file.ts';
import { LowerTree } from './lower-tree.ts';
import { renderTreeRemoval } from './tree-listing.ts';

export interface Whitelist {
  /** `path` is normalised byte text, empty for the root. */
  allows(path: string, isFolder: boolean): boolean;
}

/** From absolute paths as a manifest has them. With no path, nothing but the root is allowed: an absent list is no Whitelist at all. */
export function createWhitelist(paths: Iterable<string>): Whitelist {
  const listed = new Set<string>();
  const folders = new Set<string>(['']);
  for (const path of paths) {
    const parts = byteTextOf(path)
      .split('/')
      .filter((part) => part !== '' && part !== '.');
    listed.add(parts.join('/'));
    for (let length = parts.length - 1; length > 0; length--) {
      const folder = parts.slice(0, length).join('/');
      if (folders.has(folder)) break;
      folders.add(folder);
    }
  }
  return { allows: (path, isFolder) => listed.has(path) || (isFolder && folders.has(path)) };
}

/** What a whitelist does to the hard links of one archive. */
export interface LeftOutTargets {
  /** By the path of a file that is left out: the first of its hard links that is not. The file is written there. */
  readonly standIns: ReadonlyMap<string, string>;
  /** By the path of a hard link that is left out: the file that it is a name of. */
  readonly roots: ReadonlyMap<string, string>;
}

/** Reads the archive for its hard links: when the file comes, it is too late to learn that a later entry needs it. */
export async function findLeftOutTargets(
  source: ArchiveSource,
  ports: DecompressPorts,
  whitelist: Whitelist,
  options: ReadArchiveOptions & { readonly limits: AciLimits },
): Promise<LeftOutTargets> {
  const standIns = new Map<string, string>();
  const roots = new Map<string, string>();
  const collector: TreeSink = {
    begin(path, { type }, linkTarget) {
      if (type !== 'link') return;
      const root = roots.get(linkTarget) ?? linkTarget;
      if (!whitelist.allows(path, false)) roots.set(path, root);
      else if (!whitelist.allows(root, false) && !standIns.has(root)) standIns.set(root, path);
    },
    data() {
      // Only names matter.
    },
    end() {
      // Only names matter.
    },
  };
  await readArchive(source, new AciSink(collector, options.limits), ports, options);
  return { standIns, roots };
}

/** Lets through what a whitelist allows. */
export class FilteredTree implements TreeSink {
  readonly #tree: TreeSink;
  readonly #whitelist: Whitelist;
  readonly #targets: LeftOutTargets;
  /** Hard links that are there as the file. */
  readonly #placed = new Set<string>();
  #isOpen = false;

  constructor(tree: TreeSink, whitelist: Whitelist, targets: LeftOutTargets) {
    this.#tree = tree;
    this.#whitelist = whitelist;
    this.#targets = targets;
  }

  begin(path: string, entry: TarEntry, linkTarget: string): void {
    const { standIns } = this.#targets;
    const isFolder = entry.type === 'directory';
    const standIn = isFolder ? undefined : standIns.get(path);
    const place = this.#whitelist.allows(path, isFolder) ? path : standIn;
    this.#isOpen = place !== undefined;
    if (place === undefined) return;
    if (place === standIn) this.#placed.add(place);
    const target = entry.type === 'link' ? this.#target(linkTarget) : '';
    // The file itself is in the link's place already; if not, the tree refuses the link.
    if (target === place && this.#placed.has(place)) this.#isOpen = false;
    else this.#tree.begin(place, entry, target === place ? linkTarget : target);
  }

  data(bytes: Buffer, offset: number): void {
    if (this.#isOpen) this.#tree.data(bytes, offset);
  }

  end(): void {
    if (this.#isOpen) this.#tree.end();
  }

  /** Where the file is that a hard link is a name of. */
  #target(linkTarget: string): string {
    const { standIns, roots } = this.#targets;
    const root = roots.get(linkTarget) ?? linkTarget;
    return this.#whitelist.allows(root, false) ? root : (standIns.get(root) ?? root);
  }
}

/**
 * Takes everything out of a tree that a whitelist does not allow, and writes a listing of what it took (tree-listing.ts) into a
 * file that must not be there yet. Returns how many paths that were, those below them not counted.
 */
export function keepOnly(root: string, whitelist: Whitelist, listingFile: string): number {
  const tree = new LowerTree(root);
  const listing = openListing(listingFile);
  let removed = 0;
  try {
    const waiting = [''];
    for (let folder = waiting.pop(); folder !== undefined; folder = waiting.pop()) {
      const stats = tree.find(folder);
      if (stats === undefined) continue;
      const before = removed;
      for (const name of tree.names(folder)) {
        const path = folder === '' ? name : `${folder}/${name}`;
        const isFolder = tree.find(path)?.isDirectory() === true;
        if (whitelist.allows(path, isFolder)) {
          if (isFolder) waiting.push(path);
          continue;
        }
        tree.remove(path);
        listing.add(renderTreeRemoval(path));
        removed += 1;
      }
      if (removed > before) tree.restoreTime(tree.attributes(folder, stats));
    }
    listing.finish();
  } finally {
    listing.close();
  }
  return removed;
}
