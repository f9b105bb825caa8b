/**
 * What a layer's tar means (image-spec layer.md, "Representing Changes"): files that are added or changed, and whiteouts, which
 * are empty files with names of their own. Whiteouts concern the layers below alone, wherever in the layer they stand.
 */
import { ArchiveError } from '../../errors.ts';
import type { TreeSink } from '../aci/sink.ts';
import type { TarEntry, TarSink } from '../tar/entry.ts';
import { displayName, type NameLimits, normaliseName } from '../tar/names.ts';

/** Paths are normalised byte text, empty for the root. */
export interface LayerTree extends TreeSink {
  /** What the layers below have at this path, and below it, is not there any more. */
  whiteout(path: string): void;
  /** What the layers below have in this folder is not there any more. */
  opaque(path: string): void;
}

export interface LayerLimits extends NameLimits {
  readonly entries: number;
}

const WHITEOUT = '.wh.';
/** Of AUFS itself: its own bookkeeping (`.wh..wh.aufs`, `.wh..wh.plnk/`, `.wh..wh.orph/`), which some layers still carry. */
const META = '.wh..wh.';
const OPAQUE = '.wh..wh..opq';

export class LayerSink implements TarSink {
  readonly #tree: LayerTree;
  readonly #limits: LayerLimits;
  #isTree = false;
  #entries = 0;

  constructor(tree: LayerTree, limits: LayerLimits) {
    this.#tree = tree;
    this.#limits = limits;
  }

  get entries(): number {
    return this.#entries;
  }

  entry(entry: TarEntry): void {
    this.#entries += 1;
    if (this.#entries > this.#limits.entries) {
      throw new ArchiveError(
        'ARCHIVE_TOO_MANY_ENTRIES',
        `the layer has more than the ${String(this.#limits.entries)} entries allowed`,
      );
    }
    const path = normaliseName(entry.name, this.#limits);
    this.#isTree = false;
    if (path.includes(WHITEOUT) && this.#isWhiteout(path)) return;
    if (path === '' && entry.type !== 'directory') {
      throw new ArchiveError(
        'ARCHIVE_LAYOUT',
        `the root of the layer is no folder but a ${entry.type}`,
        { entry: '/' },
      );
    }
    this.#isTree = true;
    this.#tree.begin(path, entry, this.#linkTarget(path, entry));
  }

  data(bytes: Buffer, offset: number): void {
    if (this.#isTree) this.#tree.data(bytes, offset);
  }

  endEntry(): void {
    if (this.#isTree) this.#tree.end();
  }

  #linkTarget(path: string, entry: TarEntry): string {
    if (entry.type !== 'link') return '';
    const target = normaliseName(entry.linkName, this.#limits);
    if (target !== '' && !target.split('/').some((part) => part.startsWith(WHITEOUT))) {
      return target;
    }
    throw new ArchiveError(
      'ARCHIVE_HARD_LINK',
      `the layer has a hard link ${displayName(path)} to ${displayName(entry.linkName)}, which is no file of it`,
      { entry: displayName(path) },
    );
  }

  /** Does what the whiteout asks for; false when the name is that of a file. */
  #isWhiteout(path: string): boolean {
    const parts = path.split('/');
    const name = parts.pop() ?? '';
    // Below a folder of AUFS: no image has a use for it.
    if (parts.some((part) => part.startsWith(META))) return true;
    const above = parts.find((part) => part.startsWith(WHITEOUT));
    if (above !== undefined) throw refused(path, 'is below a whiteout');
    if (!name.startsWith(WHITEOUT)) return false;
    const folder = parts.join('/');
    if (name === OPAQUE) this.#tree.opaque(folder);
    else if (!name.startsWith(META)) {
      const gone = name.slice(WHITEOUT.length);
      if (gone === '') throw refused(path, 'names nothing');
      if (gone === '.') throw refused(path, 'names its own folder');
      if (gone === '..') throw refused(path, 'leads out of its folder');
      this.#tree.whiteout(folder === '' ? gone : `${folder}/${gone}`);
    }
    return true;
  }
}

function refused(path: string, why: string): ArchiveError {
  return new ArchiveError(
    'ARCHIVE_WHITEOUT',
    `the layer has a whiteout that ${why}: ${displayName(path)}`,
    { entry: displayName(path) },
  );
}
