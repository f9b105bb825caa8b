/** Layers of an OCI image, unpacked over each other with everything but ZFS and the shim. */
import { hash } from 'node:crypto';
import { lstatSync, readdirSync, writeFileSync } from 'node:fs';

import { childExec } from '../../src/exec/child.ts';
import { LayerSink } from '../../src/formats/oci/layer-sink.ts';
import { readTar } from '../../src/formats/tar/archive.ts';
import { byteTextOf, fsPath } from '../../src/formats/tar/names.ts';
import { DEFAULT_LIMITS, type ImportLimits } from '../../src/image/limits.ts';
import type { SpecialFiles } from '../../src/image/tree/special-files.ts';
import {
  renderTreeEnd,
  renderTreeItem,
  renderTreeRemoval,
  renderTreeXattr,
  TREE_HEADER,
} from '../../src/image/tree/tree-listing.ts';
import { TreeWriter } from '../../src/image/tree/tree-writer.ts';
import { inPieces } from './tar.ts';

export interface AddedLayer {
  readonly listing: string;
  readonly warnings: readonly string[];
  readonly specials: SpecialFiles;
}

export interface AddLayerOptions {
  readonly isLowest?: boolean;
  readonly limits?: Partial<ImportLimits>;
  readonly allowDevices?: boolean;
  readonly onApply?: (root: string, files: SpecialFiles) => void;
  readonly pieceBytes?: number;
  /** The digest that the archive should have is not the one that it has (or it is compressed). */
  readonly hasOtherDigest?: boolean;
}

/** Throws what unpacking throws. Nodes are not made, and extended attributes not set: `onApply` may do it. */
export async function addLayer(
  root: string,
  tar: Buffer,
  options: AddLayerOptions = {},
): Promise<AddedLayer> {
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const lines: string[] = [];
  let specials: SpecialFiles = { stripped: [], nodes: [], xattrs: [] };
  const writer = new TreeWriter({
    root,
    isOver: options.isLowest !== true,
    mayRepeatFolders: true,
    allowDevices: options.allowDevices ?? false,
    treeBytes: limits.treeBytes,
    folders: limits.entries,
    onItem: (item) => lines.push(renderTreeItem(item)),
    onXattr: (xattr) => lines.push(renderTreeXattr(xattr)),
    onRemoval: (gone) => lines.push(renderTreeRemoval(gone)),
  });
  try {
    const sink = new LayerSink(writer, limits);
    const ports = { exec: childExec, tools: { xz: '/usr/bin/xz', bzip2: '/usr/bin/bzip2' } };
    const source = { chunks: inPieces(tar, options.pieceBytes ?? 65536) };
    await readTar(source, sink, ports, {
      limits,
      archiveAlgorithm: undefined,
      tarAlgorithm: 'sha256',
      ...(options.hasOtherDigest === true ? {} : { tarHex: hash('sha256', tar) }),
    });
    const warnings = await writer.finish((dir, files) => {
      specials = files;
      options.onApply?.(dir, files);
      return Promise.resolve([]);
    });
    const listing = TREE_HEADER + lines.join('') + renderTreeEnd(lines.length);
    return { listing, warnings, specials };
  } finally {
    writer.abandon();
  }
}

/** Extended attributes as a file system would keep them: by inode, not by name. */
export class FakeXattrs {
  readonly #byInode = new Map<string, Map<string, string>>();

  apply(root: string, { stripped, xattrs }: SpecialFiles): void {
    for (const name of stripped) this.#byInode.delete(keyOf(root, name));
    for (const { path: name, name: key, value } of xattrs) {
      const inode = keyOf(root, name);
      const all = this.#byInode.get(inode) ?? new Map<string, string>();
      this.#byInode.set(inode, all.set(key, value));
    }
  }

  of(root: string, name: string): ReadonlyMap<string, string> {
    return this.#byInode.get(keyOf(root, name)) ?? new Map<string, string>();
  }
}

/** The number of an inode may come again; not at the same time. */
function keyOf(root: string, name: string): string {
  const place = fsPath(byteTextOf(root) + (name === '' ? '' : `/${name}`));
  const { ino, birthtimeNs } = lstatSync(place, { bigint: true });
  return `${String(ino)} ${String(birthtimeNs)}`;
}

/** Of all that is below a folder, links not followed; byte text. */
export function namesBelow(root: string): readonly string[] {
  const names: string[] = [];
  const at = (name: string): string | Buffer => fsPath(`${byteTextOf(root)}/${name}`);
  const waiting = [''];
  for (let folder = waiting.pop(); folder !== undefined; folder = waiting.pop()) {
    for (const name of readdirSync(at(folder), { encoding: 'latin1' })) {
      const path = folder === '' ? name : `${folder}/${name}`;
      names.push(path);
      if (lstatSync(at(path)).isDirectory()) waiting.push(path);
    }
  }
  return names;
}

/** Empty files in the places of nodes, which a fake of the shim cannot make. */
export function standIns(root: string, { nodes }: SpecialFiles): void {
  for (const { path } of nodes) {
    writeFileSync(fsPath(`${byteTextOf(root)}/${path}`), '', { flag: 'wx' });
  }
}
