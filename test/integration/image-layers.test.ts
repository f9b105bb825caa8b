/** Layers and ACIs over each other on real ZFS with the real shim: what a folder in /tmp and a fake cannot show. */
import { execFileSync } from 'node:child_process';
import { lstatSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { hash } from 'node:crypto';
import path from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';

import { JetpackError } from '../../src/errors.ts';
import { childExec } from '../../src/exec/child.ts';
import { type Digest, parseDigest } from '../../src/formats/oci/model.ts';
import { compareTree, compareXattrs } from '../../src/image/tree/tree-compare.ts';
import { foldTreeListings } from '../../src/image/tree/tree-fold.ts';
import type { TreeListing } from '../../src/image/tree/tree-listing.ts';
import { renderOver, unpackAci } from '../../src/image/tree/unpack-aci.ts';
import {
  type LayerRequest,
  type LayerSummary,
  unpackLayer,
} from '../../src/image/tree/unpack-layer.ts';
import { createWhitelist, keepOnly } from '../../src/image/tree/whitelist.ts';
import { dumpXattrs } from '../../src/image/tree/shim-special-files.ts';
import { bzip2Compress, xzCompress } from '../support/compress.ts';
import { testPool } from '../support/environment.ts';
import { SHIM } from '../support/image-store.ts';
import { namesBelow } from '../support/layers.ts';
import { createPlayground, type Playground, realZfs, toolPath } from '../support/real-zfs.ts';
import { aci, inPieces, tar, type TarMember } from '../support/tar.ts';

const pool = testPool();
const ports = {
  exec: childExec,
  tools: { xz: toolPath('xz'), bzip2: toolPath('bzip2'), shim: SHIM },
};
/** cap_net_raw+ep, as the kernel keeps it. */
const CAPABILITY = Buffer.from('0100000200200000000000000000000000000000', 'hex').toString(
  'latin1',
);

function digestOf(bytes: Buffer, algorithm: 'sha256' | 'sha512' = 'sha256'): Digest {
  const digest = parseDigest(`${algorithm}:${hash(algorithm, bytes)}`);
  if (digest === undefined) throw new Error('no digest');
  return digest;
}

describe.skipIf(pool === undefined)('a tree over another one', () => {
  let playground: Playground;
  let work: string;
  let root: string;
  let listings: string[];
  let count = 0;

  beforeAll(async () => {
    work = await mkdtemp('/tmp/jetpack-layers-');
    playground = await createPlayground(realZfs(), pool ?? '');
  });

  afterAll(async () => {
    await playground.remove();
    await rm(work, { recursive: true });
  });

  beforeEach(() => {
    count += 1;
    root = path.join(playground.dir, String(count));
    mkdirSync(root);
    listings = [];
  });

  function nextListing(): string {
    const file = path.join(work, `${String(count)}-${String(listings.length)}`);
    listings.push(file);
    return file;
  }

  function add(bytes: Buffer, more: Partial<LayerRequest> = {}): Promise<LayerSummary> {
    return unpackLayer(ports, {
      root,
      chunks: inPieces(bytes, 65536),
      diffId: digestOf(bytes),
      isLowest: listings.length === 0,
      listingFile: nextListing(),
      ...more,
    });
  }

  /** The tree is what its listings say, extended attributes included. */
  async function check(): Promise<TreeListing> {
    const folded = foldTreeListings(listings.map((file) => readFileSync(file, 'latin1')));
    expect(folded).toBeDefined();
    if (folded === undefined) throw new Error('no listing');
    expect([...compareTree(root, folded)]).toEqual([]);
    expect(compareXattrs(await dumpXattrs(ports, root), folded.xattrs)).toEqual([]);
    return folded;
  }

  function xattrsOf(listing: TreeListing): readonly string[] {
    return listing.xattrs.map(({ path: name, name: key }) => `${name} ${key}`).sort();
  }

  test('keeps extended attributes, capabilities, nodes, large ids and holes, and loses what is replaced', async () => {
    const lower: readonly TarMember[] = [
      { name: './', mode: 0o755, pax: { 'SCHILY.xattr.user.root': 'r' } },
      {
        name: 'd/',
        mode: 0o700,
        pax: { 'SCHILY.xattr.user.a': 'a', 'SCHILY.xattr.trusted.b': 'b' },
      },
      { name: 'kept/', pax: { 'SCHILY.xattr.user.k': 'k' } },
      {
        name: 'kept/ping',
        mode: 0o755,
        data: 'x',
        pax: { 'SCHILY.xattr.security.capability': CAPABILITY },
      },
      { name: 'ping-2', type: '1', link: 'kept/ping' },
      { name: 'far', data: 'x', uid: 2_000_000_000, gid: 70_000 },
      { name: 'fifo', type: '6', mode: 0o622 },
      { name: 'fifo-2', type: '1', link: 'fifo' },
      {
        name: 'sparse',
        data: 'end',
        pax: {
          'GNU.sparse.major': '0',
          'GNU.sparse.minor': '1',
          'GNU.sparse.size': '1000003',
          'GNU.sparse.map': '1000000,3',
        },
      },
    ];
    const summary = await add(tar(lower));
    expect(summary).toMatchObject({ compression: 'none', entries: lower.length, warnings: [] });
    expect(xattrsOf(await check())).toEqual([
      ' user.root',
      'd trusted.b',
      'd user.a',
      'kept user.k',
      'kept/ping security.capability',
      'ping-2 security.capability',
    ]);
    await add(
      tar([
        { name: './', mode: 0o755 },
        { name: 'd/', mode: 0o711, pax: { 'SCHILY.xattr.user.c': 'c' } },
        { name: 'kept/new', data: 'x' },
        { name: 'kept/ping', data: 'another', mode: 0o755 },
        { name: 'fifo', data: 'a file now' },
        { name: 'link-to-fifo', type: '1', link: 'fifo-2' },
      ]),
    );
    const listing = await check();
    expect(xattrsOf(listing)).toEqual(['d user.c', 'kept user.k', 'ping-2 security.capability']);
    expect(lstatSync(path.join(root, 'fifo-2')).isFIFO()).toBe(true);
    expect(lstatSync(path.join(root, 'far')).uid).toBe(2_000_000_000);
    expect(lstatSync(path.join(root, 'sparse')).blocks).toBeLessThan(1000);
    await add(
      tar([{ name: '.wh.kept' }, { name: 'kept/only', data: 'x' }, { name: '.wh.fifo-2' }]),
    );
    expect(xattrsOf(await check())).toEqual(['d user.c', 'ping-2 security.capability']);
  });

  test('makes device nodes on request, over files too', async () => {
    await add(
      tar([
        { name: 'dev/null', data: 'x' },
        { name: 'disk', data: 'y' },
      ]),
    );
    const nodes = [
      { name: 'dev/null', type: '3', device: [1, 3], mode: 0o666 },
      { name: 'disk', type: '4', device: [8, 1], mode: 0o600 },
    ] as const;
    await add(tar(nodes), { allowDevices: true });
    expect(lstatSync(path.join(root, 'dev/null')).isCharacterDevice()).toBe(true);
    await check();
  });

  test.each([
    ['none', (bytes: Buffer) => bytes],
    ['gzip', (bytes: Buffer) => gzipSync(bytes)],
    ['zstd', (bytes: Buffer) => zstdCompressSync(bytes)],
    ['xz', xzCompress],
    ['bzip2', bzip2Compress],
  ])('takes a layer with compression %s, by its digests', async (compression, compress) => {
    const plain = tar([{ name: 'a', data: 'x'.repeat(5000) }]);
    const blob = compress(plain);
    const more = {
      diffId: digestOf(plain, 'sha512'),
      digest: digestOf(blob),
      totalBytes: blob.length,
    };
    const progress: number[] = [];
    const summary = await add(blob, {
      ...more,
      onProgress: ({ readBytes }) => progress.push(readBytes),
    });
    expect(summary).toEqual({
      compression,
      blobBytes: blob.length,
      tarBytes: plain.length,
      treeBytes: 5000,
      entries: 1,
      warnings: [],
    });
    expect(progress.at(-1)).toBe(blob.length);
    await check();
  });

  test('refuses a layer with another digest', async () => {
    const plain = tar([{ name: 'a', data: 'x' }]);
    const other = digestOf(Buffer.from('other'));
    await expect(add(plain, { diffId: other })).rejects.toMatchObject({ code: 'ARCHIVE_DIGEST' });
    await expect(add(plain, { digest: other })).rejects.toMatchObject({ code: 'ARCHIVE_DIGEST' });
    await expect(add(gzipSync(plain), { diffId: digestOf(gzipSync(plain)) })).rejects.toMatchObject(
      {
        code: 'ARCHIVE_DIGEST',
      },
    );
    await expect(add(plain.subarray(0, 512))).rejects.toMatchObject({ code: 'ARCHIVE_TRUNCATED' });
  });

  test('ends when it is told to', async () => {
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(add(tar([{ name: 'a' }]), { signal })).rejects.toThrow('enough');
  });

  test('renders ACIs over each other, each with its whitelist', async () => {
    const archive = (members: readonly TarMember[]) => ({ chunks: inPieces(aci(members), 4096) });
    const base = await unpackAci(ports, {
      root,
      archive: archive([
        { name: 'rootfs/etc/', mode: 0o750, pax: { 'SCHILY.xattr.user.a': 'a' } },
        { name: 'rootfs/etc/base', data: 'base' },
        { name: 'rootfs/lib', type: '2', link: 'usr/lib' },
        { name: 'rootfs/usr/lib/libc', data: 'libc' },
      ]),
      listingFile: nextListing(),
    });
    expect(base).toMatchObject({ entries: 6, treeBytes: 8 });
    await renderOver(ports, {
      root,
      open: () =>
        archive([
          { name: 'rootfs/etc/base', data: 'not wanted' },
          { name: 'rootfs/lib/', mode: 0o711 },
          { name: 'rootfs/lib/plugin', data: 'plugin' },
          { name: 'rootfs/lib/first', data: 'linked' },
          { name: 'rootfs/lib/second', type: '1', link: 'rootfs/lib/first' },
        ]),
      whitelist: createWhitelist(['/lib/plugin', '/lib/second']),
      listingFile: nextListing(),
    });
    expect(namesBelow(root).filter((name) => name.startsWith('lib'))).toEqual([
      'lib',
      'lib/plugin',
      'lib/second',
    ]);
    expect(readFileSync(path.join(root, 'etc/base'), 'utf8')).toBe('base');
    expect(readFileSync(path.join(root, 'lib/second'), 'utf8')).toBe('linked');
    expect(namesBelow(path.join(root, 'usr/lib'))).toEqual(['libc']);
    await check();
    keepOnly(root, createWhitelist(['/lib/plugin', '/etc']), nextListing());
    expect([...namesBelow(root)].sort()).toEqual(['etc', 'lib', 'lib/plugin']);
    expect(xattrsOf(await check())).toEqual(['etc user.a']);
  });

  test('is the tree that tar makes of the same archives', async () => {
    const source = path.join(work, `source-${String(count)}`);
    mkdirSync(path.join(source, 'a/b'), { recursive: true });
    writeFileSync(path.join(source, 'a/b/c'), 'c');
    const pack = (...args: readonly string[]) =>
      execFileSync('/usr/bin/tar', ['-C', source, '--xattrs', '-cf', '-', ...args]);
    await add(pack('.'));
    writeFileSync(path.join(source, 'a/b/d'), 'd'.repeat(100_000));
    execFileSync('/usr/bin/chmod', ['4755', path.join(source, 'a/b/c')]);
    await add(pack('./a/b/c', './a/b/d'));
    await check();
    const sums = (dir: string): string =>
      execFileSync('/bin/sh', ['-c', 'find . -type f -exec stat -c "%a %s %n" {} + | sort'], {
        cwd: dir,
        encoding: 'utf8',
      });
    expect(sums(root)).toBe(sums(source));
  });
});

test('errors of layers are errors of ours', async () => {
  const dir = await mkdtemp('/tmp/jetpack-layers-');
  try {
    const work = unpackLayer(ports, {
      root: dir,
      chunks: inPieces(Buffer.from('no archive at all'), 10),
      diffId: digestOf(Buffer.from('x')),
      isLowest: true,
      listingFile: `${dir}-listing`,
    });
    const error: unknown = await work.catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(JetpackError);
    expect(error).toMatchObject({ code: 'ARCHIVE_UNKNOWN_FORMAT' });
  } finally {
    await rm(dir, { recursive: true });
    await rm(`${dir}-listing`, { force: true });
  }
});
