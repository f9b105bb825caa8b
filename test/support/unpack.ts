/** Unpacks an ACI into a folder, with everything but ZFS. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import path from 'node:path';

import { ArchiveError } from '../../src/errors.ts';
import { childExec } from '../../src/exec/child.ts';
import { AciSink } from '../../src/formats/aci/sink.ts';
import { type ArchiveSummary, readArchive } from '../../src/formats/tar/archive.ts';
import { DEFAULT_LIMITS, type ImportLimits } from '../../src/image/limits.ts';
import type { ApplySpecialFiles, SpecialFiles } from '../../src/image/tree/special-files.ts';
import {
  renderTreeEnd,
  renderTreeItem,
  renderTreeXattr,
  TREE_HEADER,
} from '../../src/image/tree/tree-listing.ts';
import { TreeWriter } from '../../src/image/tree/tree-writer.ts';
import { inPieces } from './tar.ts';

export interface Unpacked {
  readonly root: string;
  readonly manifest: string;
  readonly listing: string;
  readonly warnings: readonly string[];
  readonly specials: SpecialFiles;
  readonly summary: ArchiveSummary;
}

export interface UnpackOptions {
  readonly limits?: Partial<ImportLimits>;
  readonly allowDevices?: boolean;
  readonly pieceBytes?: number;
  readonly signal?: AbortSignal;
  /** Default: nothing is made, nothing is lost. */
  readonly apply?: ApplySpecialFiles;
}

/** `outer` is a fresh folder; the tree is in `outer/root`, so what escapes is seen beside it. */
export async function unpack(
  outer: string,
  archive: Buffer | AsyncIterable<Buffer>,
  options: UnpackOptions = {},
): Promise<Unpacked> {
  const root = path.join(outer, 'root');
  mkdirSync(root);
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const lines: string[] = [];
  const xattrs: string[] = [];
  let specials: SpecialFiles = { stripped: [], nodes: [], xattrs: [] };
  const writer = new TreeWriter({
    root,
    isOver: false,
    mayRepeatFolders: false,
    allowDevices: options.allowDevices ?? false,
    treeBytes: limits.treeBytes,
    folders: limits.entries,
    onItem: (item) => lines.push(renderTreeItem(item)),
    onXattr: (xattr) => xattrs.push(renderTreeXattr(xattr)),
    onRemoval: (path) => {
      throw new Error(`${path} was removed from an empty folder`);
    },
  });
  try {
    const sink = new AciSink(writer, limits);
    const source = {
      chunks: Buffer.isBuffer(archive) ? inPieces(archive, options.pieceBytes ?? 65536) : archive,
    };
    const ports = { exec: childExec, tools: { xz: '/usr/bin/xz', bzip2: '/usr/bin/bzip2' } };
    const summary = await readArchive(source, sink, ports, {
      limits,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    const manifest = sink.finish().toString();
    const warnings = await writer.finish((dir, files) => {
      specials = files;
      return options.apply?.(dir, files) ?? Promise.resolve([]);
    });
    const all = [...lines, ...xattrs];
    const listing = TREE_HEADER + all.join('') + renderTreeEnd(all.length);
    return { root, manifest, listing, warnings, specials, summary };
  } finally {
    writer.abandon();
  }
}

/** The code of the ArchiveError that the work ends with; any other end fails the test. */
export async function archiveErrorOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    if (error instanceof ArchiveError) return error.code;
    throw error;
  }
  return 'no error';
}

/** Runs with a fresh folder, which is removed afterwards. */
export async function withFolder<T>(use: (dir: string) => Promise<T>): Promise<T> {
  const dir = mkdtempSync('/tmp/jetpack-test-');
  try {
    return await use(dir);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
