/**
 * The layout of an ACI (spec/aci.md, "Image Layout"): `manifest`, a regular file, and `rootfs`, a folder, in any order, and
 * nothing beside them.
 */
import { ArchiveError } from '../../errors.ts';
import type { TarEntry, TarSink } from '../tar/entry.ts';
import { displayName, type NameLimits, normaliseName } from '../tar/names.ts';

/** Takes what is below `rootfs`. `path` is normalised byte text below it, empty for `rootfs` itself; a hard link's target too. */
export interface TreeSink {
  begin(path: string, entry: TarEntry, linkTarget: string): void;
  data(bytes: Buffer, offset: number): void;
  end(): void;
}

export interface AciLimits extends NameLimits {
  readonly manifestBytes: number;
  readonly entries: number;
}

type Target = 'manifest' | 'tree' | 'nothing';

export class AciSink implements TarSink {
  readonly #tree: TreeSink;
  readonly #limits: AciLimits;
  readonly #onManifest: ((bytes: Buffer) => void) | undefined;
  #target: Target = 'nothing';
  #manifest: Buffer | undefined;
  #hasRootfs = false;
  #entries = 0;

  /** `onManifest`: takes the manifest as soon as it is whole, wherever in the archive it stands. */
  constructor(tree: TreeSink, limits: AciLimits, onManifest?: (bytes: Buffer) => void) {
    this.#tree = tree;
    this.#limits = limits;
    this.#onManifest = onManifest;
  }

  get entries(): number {
    return this.#entries;
  }

  entry(entry: TarEntry): void {
    this.#entries += 1;
    if (this.#entries > this.#limits.entries) {
      throw new ArchiveError(
        'ARCHIVE_TOO_MANY_ENTRIES',
        `the archive has more than the ${String(this.#limits.entries)} entries allowed`,
      );
    }
    const name = normaliseName(entry.name, this.#limits);
    if (name === 'rootfs' || name.startsWith('rootfs/')) this.#beginTree(name, entry);
    else if (name === 'manifest') this.#beginManifest(entry);
    else if (name === '' && entry.type === 'directory') this.#target = 'nothing';
    else {
      throw layoutFault(
        `the archive has ${displayName(name)} beside "manifest" and "rootfs"`,
        displayName(name),
      );
    }
  }

  data(bytes: Buffer, offset: number): void {
    if (this.#target === 'tree') this.#tree.data(bytes, offset);
    else if (this.#target === 'manifest') this.#manifest?.set(bytes, offset);
  }

  endEntry(): void {
    if (this.#target === 'tree') this.#tree.end();
    else if (this.#target === 'manifest' && this.#manifest !== undefined) {
      this.#onManifest?.(this.#manifest);
    }
  }

  /** The manifest's bytes, once all is read. Throws ARCHIVE_LAYOUT unless both parts were there. */
  finish(): Buffer {
    if (this.#manifest === undefined) throw layoutFault('the archive has no manifest');
    if (!this.#hasRootfs) throw layoutFault('the archive has no rootfs');
    return this.#manifest;
  }

  #beginTree(name: string, entry: TarEntry): void {
    if (name === 'rootfs' && entry.type !== 'directory') {
      throw layoutFault(`"rootfs" in the archive is no folder but a ${entry.type}`, 'rootfs');
    }
    this.#hasRootfs = true;
    this.#target = 'tree';
    this.#tree.begin(name.slice('rootfs/'.length), entry, this.#linkTarget(name, entry));
  }

  #linkTarget(name: string, entry: TarEntry): string {
    if (entry.type !== 'link') return '';
    const target = normaliseName(entry.linkName, this.#limits);
    if (target.startsWith('rootfs/')) return target.slice('rootfs/'.length);
    throw new ArchiveError(
      'ARCHIVE_HARD_LINK',
      `${displayName(name)} is a hard link to ${displayName(entry.linkName)}, outside of rootfs`,
      { entry: displayName(name) },
    );
  }

  #beginManifest(entry: TarEntry): void {
    if (entry.type !== 'file') {
      throw layoutFault(`"manifest" in the archive is no file but a ${entry.type}`, 'manifest');
    }
    if (this.#manifest !== undefined) {
      throw new ArchiveError('ARCHIVE_DUPLICATE', 'the archive has two manifests', {
        entry: 'manifest',
      });
    }
    if (entry.sizeBytes > this.#limits.manifestBytes) {
      throw new ArchiveError(
        'ARCHIVE_MANIFEST_TOO_LARGE',
        `the manifest has ${String(entry.sizeBytes)} bytes, more than the ${String(this.#limits.manifestBytes)} allowed`,
        { entry: 'manifest' },
      );
    }
    this.#manifest = Buffer.alloc(entry.sizeBytes);
    this.#target = 'manifest';
  }
}

function layoutFault(message: string, entry?: string): ArchiveError {
  return new ArchiveError('ARCHIVE_LAYOUT', message, {
    remedies: [
      'an ACI has the file "manifest" and the folder "rootfs" at its top, and nothing else',
    ],
    ...(entry === undefined ? {} : { entry }),
  });
}
