/** Layers as other programs write them make the trees that these programs make of them. */
import { execFileSync } from 'node:child_process';
import { hash, randomUUID } from 'node:crypto';
import {
  appendFileSync,
  chmodSync,
  createReadStream,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { rm } from 'node:fs/promises';
import path from 'node:path';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { childExec } from '../../src/exec/child.ts';
import { type Digest, hexOf, parseDigest } from '../../src/formats/oci/model.ts';
import { byteTextOf, fsPath } from '../../src/formats/tar/names.ts';
import { dumpXattrs } from '../../src/image/tree/shim-special-files.ts';
import { compareTree, compareXattrs } from '../../src/image/tree/tree-compare.ts';
import { foldTreeListings } from '../../src/image/tree/tree-fold.ts';
import { unpackLayer } from '../../src/image/tree/unpack-layer.ts';
import { testPool } from '../support/environment.ts';
import { SHIM } from '../support/image-store.ts';
import { namesBelow } from '../support/layers.ts';
import { makeThreeLayers, OciLayout, peer } from '../support/oci-images.ts';
import { createPlayground, type Playground, realZfs, toolPath } from '../support/real-zfs.ts';

const pool = testPool();
const ports = {
  exec: childExec,
  tools: { xz: toolPath('xz'), bzip2: toolPath('bzip2'), shim: SHIM },
};

interface Named {
  readonly digest: string;
}

function json(file: string): unknown {
  return JSON.parse(readFileSync(file, 'utf8'));
}

function digest(text: string | undefined): Digest {
  const parsed = parseDigest(text ?? '');
  if (parsed === undefined) throw new Error(`no digest: ${text ?? ''}`);
  return parsed;
}

function blobFile(layout: string, name: Digest): string {
  return path.join(layout, 'blobs/sha256', hexOf(name));
}

/** Blobs and diff ids of the image with this tag, from the lowest layer to the topmost. */
function layersOf(layout: string, tag: string): readonly { blob: Digest; diffId: Digest }[] {
  const index = json(path.join(layout, 'index.json')) as {
    manifests: (Named & { annotations?: Record<string, string> })[];
  };
  const entry = index.manifests.find(
    ({ annotations }) => annotations?.['org.opencontainers.image.ref.name'] === tag,
  );
  const manifest = json(blobFile(layout, digest(entry?.digest))) as {
    config: Named;
    layers: Named[];
  };
  const config = json(blobFile(layout, digest(manifest.config.digest))) as {
    rootfs: { diff_ids: string[] };
  };
  return manifest.layers.map((layer, at) => ({
    blob: digest(layer.digest),
    diffId: digest(config.rootfs.diff_ids[at]),
  }));
}

/** A folder in the place of a symlink to one replaces it, as image-spec's layer.md has it. */
function unpackByUmoci(layout: string, tag: string, into: string): string {
  peer('/usr/bin/umoci', ['unpack', '--image', `${layout}:${tag}`, into]);
  return path.join(into, 'rootfs');
}

/** One line for everything that counts, in the order of the names. */
async function treeOf(root: string): Promise<readonly string[]> {
  const numbers = new Map<bigint, number>();
  const lines = ['', ...namesBelow(root)].sort().map((name) => {
    const place = fsPath(`${byteTextOf(root)}/${name}`);
    const { ino, nlink, mode, uid, gid, mtimeNs, size } = lstatSync(place, {
      bigint: true,
    });
    const isFile = (mode & 0o170000n) === 0o100000n;
    const isLink = (mode & 0o170000n) === 0o120000n;
    if (isFile && nlink > 1n && !numbers.has(ino)) numbers.set(ino, numbers.size);
    const content = isFile
      ? hash('sha256', readFileSync(place))
      : isLink
        ? readlinkSync(place)
        : '';
    return [
      JSON.stringify(name),
      mode.toString(8),
      `${String(uid)}:${String(gid)}`,
      isFile ? String(size) : '-',
      String(mtimeNs / 1_000_000_000n),
      content,
      numbers.get(ino) ?? '-',
    ].join(' ');
  });
  const xattrs = await dumpXattrs(ports, root);
  return [
    ...lines,
    ...xattrs.map(({ path: name, name: key, value }) => `${name} ${key} ${JSON.stringify(value)}`),
  ];
}

describe.skipIf(pool === undefined)('layers of', () => {
  let playground: Playground;
  let work: string;
  let layout: OciLayout;
  let count = 0;

  beforeAll(async () => {
    // In small letters: buildah takes the name for one of an image.
    work = `/tmp/jetpack-peers-${randomUUID()}`;
    mkdirSync(work);
    playground = await createPlayground(realZfs(), pool ?? '');
    layout = new OciLayout(work, 'layout');
    makeThreeLayers(layout, 'three');
  });

  afterAll(async () => {
    await playground.remove();
    await rm(work, { recursive: true });
  });

  /** Unpacks all layers, and looks that the listings are right. Returns the folder. */
  async function unpackAll(dir: string, tag: string): Promise<string> {
    count += 1;
    const root = path.join(playground.dir, String(count));
    mkdirSync(root);
    const listings: string[] = [];
    for (const { blob, diffId } of layersOf(dir, tag)) {
      const listingFile = path.join(work, `listing-${String(count)}-${String(listings.length)}`);
      const chunks = createReadStream(blobFile(dir, blob));
      const isLowest = listings.length === 0;
      await unpackLayer(ports, { root, chunks, digest: blob, diffId, isLowest, listingFile });
      listings.push(listingFile);
    }
    const folded = foldTreeListings(listings.map((file) => readFileSync(file, 'latin1')));
    expect(folded).toBeDefined();
    if (folded !== undefined) {
      expect([...compareTree(root, folded)]).toEqual([]);
      expect(compareXattrs(await dumpXattrs(ports, root), folded.xattrs)).toEqual([]);
    }
    return root;
  }

  test('GNU tar', async () => {
    const root = await unpackAll(layout.dir, 'three');
    const expected = unpackByUmoci(layout.dir, 'three', path.join(work, 'bundle'));
    expect(await treeOf(root)).toEqual(await treeOf(expected));
  });

  test('umoci', async () => {
    const bundle = path.join(work, 'changed');
    const rootfs = unpackByUmoci(layout.dir, 'three', bundle);
    rmSync(path.join(rootfs, 'opaque'), { recursive: true });
    rmSync(path.join(rootfs, 'bin'), { recursive: true });
    symlinkSync('usr-lib', path.join(rootfs, 'bin'));
    rmSync(path.join(rootfs, 'lib'));
    mkdirSync(path.join(rootfs, 'lib/below'), { recursive: true });
    renameSync(path.join(rootfs, 'linked/source'), path.join(rootfs, 'linked/third'));
    linkSync(path.join(rootfs, 'etc/noted'), path.join(rootfs, 'home/noted'));
    appendFileSync(path.join(rootfs, 'home/top'), 'more');
    chmodSync(path.join(rootfs, 'tmp'), 0o700);
    peer('/usr/bin/umoci', ['repack', '--image', `${layout.dir}:repacked`, bundle]);
    const root = await unpackAll(layout.dir, 'repacked');
    const again = unpackByUmoci(layout.dir, 'repacked', path.join(work, 'again'));
    expect(await treeOf(root)).toEqual(await treeOf(again));
    expect(lstatSync(path.join(root, 'bin')).isSymbolicLink()).toBe(true);
    expect(namesBelow(root)).not.toContain('opaque');
  });

  test('bsdtar', async () => {
    const tree = path.join(work, 'bsd');
    mkdirSync(path.join(tree, 'd/e'), { recursive: true });
    writeFileSync(path.join(tree, 'd/e/f'), 'f'.repeat(3000));
    linkSync(path.join(tree, 'd/e/f'), path.join(tree, 'd/g'));
    writeFileSync(path.join(tree, 'd/.wh..wh..opq'), '');
    writeFileSync(path.join(tree, '.wh.fifo'), '');
    writeFileSync(path.join(tree, `d/${'é'.repeat(100)}`), 'long');
    layout.tag('three', 'bsd');
    for (const format of ['pax', 'ustar', 'gnutar']) {
      const file = path.join(work, `bsd-${format}.tar`);
      const names = format === 'ustar' ? ['d/e', 'd/g', '.wh.fifo'] : ['.'];
      const words = ['--format', format, '-C', tree, '-cf', file, ...names];
      execFileSync('/usr/bin/bsdtar', words, { env: { PATH: '/usr/bin:/bin', LC_ALL: 'C.UTF-8' } });
      layout.addTar('bsd', file);
    }
    const root = await unpackAll(layout.dir, 'bsd');
    expect(await treeOf(root)).toEqual(
      await treeOf(unpackByUmoci(layout.dir, 'bsd', path.join(work, 'bsd-bundle'))),
    );
  });

  test('buildah', async () => {
    const storage = ['--root', path.join(work, 'storage'), '--runroot', path.join(work, 'run')];
    const buildah = (...words: readonly string[]): string =>
      peer('/usr/bin/buildah', [...storage, '--storage-driver', 'vfs', ...words]).trim();
    const policy = path.join(work, 'buildah-policy.json');
    writeFileSync(policy, '{"default":[{"type":"insecureAcceptAnything"}]}');
    const signed = ['--signature-policy', policy];
    try {
      const name = buildah('from', ...signed, `oci:${layout.dir}:three`);
      const rootfs = buildah('mount', name);
      rmSync(path.join(rootfs, 'opaque'), { recursive: true });
      rmSync(path.join(rootfs, 'gone/file'));
      mkdirSync(path.join(rootfs, 'opaque'));
      writeFileSync(path.join(rootfs, 'opaque/new'), 'new');
      writeFileSync(path.join(rootfs, `etc/${'long'.repeat(50)}`), 'x');
      chmodSync(path.join(rootfs, 'etc'), 0o711);
      const made = path.join(work, 'buildah');
      buildah('commit', '-q', ...signed, name, `oci:${made}:made`);
      const root = await unpackAll(made, 'made');
      expect(namesBelow(path.join(root, 'opaque'))).toEqual(['new']);
      expect(namesBelow(root)).not.toContain('gone/file');
      expect(lstatSync(path.join(root, 'etc')).mode & 0o777).toBe(0o711);
      expect(await treeOf(root)).toEqual(
        await treeOf(unpackByUmoci(made, 'made', path.join(work, 'buildah-bundle'))),
      );
      buildah('umount', name);
    } finally {
      buildah('rm', '--all');
      buildah('rmi', '--all', '--force');
    }
  });
});
