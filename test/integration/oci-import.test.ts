/** OCI images in the store: snapshots for layers, clones of what shares them, and nothing left of what has failed or was killed. */
import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { gzipSync, zstdCompressSync } from 'node:zlib';

import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';

import { parseDigest, type Digest } from '../../src/formats/oci/model.ts';
import { chainIdsOf, chainSnapshot, readWholeChains } from '../../src/image/chains.ts';
import { collectImages } from '../../src/image/collect.ts';
import { fetchImage } from '../../src/image/fetch.ts';
import { destroyImage, findDamaged } from '../../src/image/destroy.ts';
import type { OciSource } from '../../src/fetch/source.ts';
import type { OciImportRequest } from '../../src/image/import-oci.ts';
import { listImages } from '../../src/image/list.ts';
import type { ImageMeta } from '../../src/image/store.ts';
import { verifyImage } from '../../src/image/verify.ts';
import { testPool } from '../support/environment.ts';
import { createStore, type TestStore } from '../support/image-store.ts';
import { importLayout, layoutOf, TIMING } from '../support/import-layout.ts';
import { type PlainImage, sha256, writePlainLayout } from '../support/plain-layout.ts';
import { stateOf } from '../support/store-state.ts';
import { tar } from '../support/tar.ts';

const pool = testPool();
const CHILD = path.join(import.meta.dirname, '../support/dying-child.ts');

const base = tar([
  { name: 'etc/' },
  { name: 'etc/base', data: 'base' },
  { name: 'etc/gone', data: 'gone' },
  { name: 'big', data: Buffer.alloc(300_000, 7) },
]);
const second = tar([{ name: 'etc/.wh.gone' }, { name: 'etc/second', data: 'second' }]);
const third = tar([{ name: 'etc/third', data: 'third' }]);
const other = tar([{ name: 'etc/base', data: 'replaced' }]);
const empty = tar([]);

const IMAGES: readonly PlainImage[] = [
  { tag: 'one', layers: [base, second] },
  { tag: 'two', layers: [base, second, third] },
  { tag: 'three', layers: [base, second, other] },
  { tag: 'none', layers: [] },
  { tag: 'empty', layers: [empty, base, empty] },
  {
    tag: 'plain',
    layers: [base],
    pack: (layer) => layer,
    layerType: 'application/vnd.oci.image.layer.v1.tar',
  },
  { tag: 'arm', layers: [base], config: { architecture: 'arm64' } },
  {
    tag: 'zstd',
    layers: [base, second],
    pack: (layer) => zstdCompressSync(layer),
    layerType: 'application/vnd.oci.image.layer.v1.tar+zstd',
  },
  {
    tag: 'many',
    layers: Array.from({ length: 130 }, (_, i) =>
      tar([{ name: `f${String(i)}`, data: String(i) }]),
    ),
  },
];

const digest = (text: string): Digest => {
  const parsed = parseDigest(text);
  if (parsed === undefined) throw new Error(text);
  return parsed;
};

describe.skipIf(pool === undefined)('importing OCI images', () => {
  let store: TestStore;
  let layout: string;

  beforeAll(async () => {
    store = await createStore(pool ?? '');
    layout = mkdtempSync('/tmp/jetpack-layout-');
    writePlainLayout(layout, IMAGES);
  });

  afterAll(async () => {
    await store.remove();
    rmSync(layout, { recursive: true });
  });

  afterEach(async () => {
    // Those that were cloned last go first.
    for (const image of listImages(store).images)
      await destroyImage({ ...store.ports, usedBy: () => Promise.resolve([]) }, image);
    await collect();
  });

  /** In an hour from now: the age at which leases may go is a minute. */
  async function collect(): Promise<void> {
    const clock = { now: () => new Date(Date.now() + 3_600_000) };
    await collectImages({ ...store.ports, clock });
  }

  async function bring(tag: string, more: Partial<OciImportRequest> = {}): Promise<ImageMeta> {
    const { meta } = await importLayout(store.ports, layoutOf(layout, tag), tag, more);
    return meta;
  }

  async function withTree<T>({ id }: ImageMeta, look: (dir: string) => T): Promise<T> {
    const { zfs } = store;
    const clone = store.layout.dataset.scratch('look');
    await zfs.clone(store.layout.dataset.seal(id), clone);
    try {
      await zfs.mount(clone);
      return look(store.layout.dir.scratch('look'));
    } finally {
      await zfs.destroy(clone, { recursive: true, busyTimeoutMs: 20_000 });
    }
  }

  const files = (dir: string) =>
    readdirSync(path.join(dir, 'etc'))
      .map((name) => `${name}: ${readFileSync(path.join(dir, 'etc', name), 'utf8')}`)
      .sort();

  const snapshots = async ({ id }: ImageMeta) =>
    (await store.zfs.list(store.layout.dataset.image(id), { depth: 1, types: ['snapshot'] }))
      .map(({ name }) => name.split('@')[1])
      .sort();

  const chainOf = (tag: string) => {
    const layers = IMAGES.find((image) => image.tag === tag)?.layers ?? [];
    return chainIdsOf(layers.map((layer) => digest(sha256(layer))));
  };

  test('every layer has its snapshot, and a second image is a clone at the last common one', async () => {
    const one = await bring('one');
    const two = await bring('two');
    const three = await bring('three');
    const [first = '', last = ''] = chainOf('one').map((chain) => chain.replace(':', '-'));
    expect(await snapshots(one)).toEqual(['seal', first, last].sort());
    for (const [tag, clone] of [
      ['two', two],
      ['three', three],
    ] as const) {
      expect(await snapshots(clone)).toEqual(['seal', chainOf(tag)[2]?.replace(':', '-')]);
      const dataset = store.layout.dataset.image(clone.id);
      const { origin } = await store.zfs.get(dataset, ['origin']);
      expect(origin).toBe(
        chainSnapshot(store.layout.dataset.image(one.id), digest(last.replace('-', ':'))),
      );
    }
    expect([one, two, three].map(({ oci }) => oci?.sharedLayers)).toEqual([0, 2, 2]);
    expect(await withTree(one, files)).toEqual(['base: base', 'second: second']);
    expect(await withTree(two, files)).toEqual(['base: base', 'second: second', 'third: third']);
    expect(await withTree(three, files)).toEqual(['base: replaced', 'second: second']);
    // Blobs of shared layers are the same files.
    const blob = path.join(
      store.layout.dir.blobs,
      (two.oci?.layers[0]?.digest ?? '').replace(':', '-'),
    );
    expect(statSync(blob).nlink).toBe(4);
  });

  test('the layers of an image that was removed are found by its clone', async () => {
    const one = await bring('one');
    await bring('two');
    await destroyImage({ ...store.ports, usedBy: () => Promise.resolve([]) }, one);
    await collect();
    const three = await bring('three');
    expect(three.oci?.sharedLayers).toBe(2);
    expect(await withTree(three, files)).toEqual(['base: replaced', 'second: second']);
  });

  test('a blob that was damaged in the store is told, taken out, and comes anew with the next try', async () => {
    const one = await bring('one');
    const shared = one.oci?.layers[0]?.digest ?? '';
    const file = path.join(store.layout.dir.blobs, shared.replace(':', '-'));
    const bytes = readFileSync(file);
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 0xff;
    chmodSync(file, 0o600);
    writeFileSync(file, bytes);
    // The same layer elsewhere in the chain: its snapshot cannot be shared, but its blob.
    await expect(bring('empty')).rejects.toMatchObject({
      code: 'IMAGE_DAMAGED',
      message: expect.stringContaining(shared),
      remedies: expect.arrayContaining([expect.stringContaining('again')]),
    });
    expect(existsSync(file)).toBe(false);
    expect(await withTree(await bring('empty'), files)).toEqual(['base: base', 'gone: gone']);
  });

  test('an index that names what is not there costs nothing but a look', async () => {
    const one = await bring('one');
    const dataset = store.layout.dataset.image(one.id);
    const [first, last] = chainOf('one');
    if (first === undefined || last === undefined) throw new Error('two layers');
    await store.zfs.destroy(chainSnapshot(dataset, last));
    expect((await bring('two')).oci?.sharedLayers).toBe(1);
  });

  test('the same image comes once, under a second name as a clone without a layer of its own', async () => {
    const one = await bring('one');
    const again = await importLayout(store.ports, layoutOf(layout, 'one'), 'one');
    expect(again).toMatchObject({ existing: true, receivedBytes: 0, meta: { id: one.id } });
    const named = await bring('one', {
      names: () => ({ name: 'example.com/second', version: '2', origin: undefined }),
    });
    expect(named.id).not.toBe(one.id);
    expect(named.oci?.sharedLayers).toBe(2);
    expect(await snapshots(named)).toEqual(['seal']);
    // It is found for the whole chain when the first one has gone.
    await destroyImage({ ...store.ports, usedBy: () => Promise.resolve([]) }, one);
    expect((await bring('two')).oci?.sharedLayers).toBe(2);
  });

  test('images without layers, with empty ones, and with more than other stores take', async () => {
    const none = await bring('none');
    expect(await snapshots(none)).toEqual(['seal']);
    expect(await withTree(none, (dir) => readdirSync(dir))).toEqual([]);
    expect(await verifyImage(store.ports, none)).toMatchObject({ ok: true, entries: 0 });
    const withEmpty = await bring('empty');
    expect(withEmpty.oci?.layers.map(({ entries }) => entries)).toEqual([0, 4, 0]);
    expect(await withTree(withEmpty, files)).toEqual(['base: base', 'gone: gone']);
    const many = await bring('many');
    expect(await withTree(many, (dir) => readdirSync(dir).length)).toBe(130);
    expect(await snapshots(many)).toHaveLength(131);
  });

  test('layers that are packed otherwise are the same layers', async () => {
    const plain = await bring('plain');
    const zstd = await bring('zstd');
    expect(zstd.oci?.sharedLayers).toBe(1);
    // What came uncompressed is kept compressed, under the digest of what it is.
    expect(readdirSync(store.layout.dir.blobs)).toContain(
      `${(plain.oci?.layers[0]?.digest ?? '').replace(':', '-')}.zst`,
    );
    // The blob of the shared layer is the one that was there: the manifest that came is not that of what is here.
    expect(zstd.oci?.layers[0]?.digest).toBe(plain.oci?.layers[0]?.digest);
    expect(zstd.oci?.manifestDigest).toBeUndefined();
    expect(await withTree(zstd, files)).toEqual(['base: base', 'second: second']);
  });

  test('a blob that is not what its digest says leaves nothing', async () => {
    const before = await stateOf(store);
    const copy = mkdtempSync('/tmp/jetpack-layout-');
    try {
      writePlainLayout(copy, [{ tag: 'one', layers: [base, second] }]);
      const blobs = path.join(copy, 'blobs/sha256');
      const largest = readdirSync(blobs)
        .map((name) => path.join(blobs, name))
        .sort((a, b) => statSync(b).size - statSync(a).size)[0];
      if (largest === undefined) throw new Error('a blob');
      const bytes = readFileSync(largest);
      bytes.writeUInt8((bytes.readUInt8(bytes.length - 20) + 1) % 256, bytes.length - 20);
      writeFileSync(largest, bytes);
      await expect(importLayout(store.ports, layoutOf(copy, 'one'), 'one')).rejects.toMatchObject({
        code: 'FETCH_DIGEST',
      });
    } finally {
      rmSync(copy, { recursive: true });
    }
    expect(await stateOf(store)).toEqual(before);
  });

  test.each(['one', 'plain'])(
    'a manifest that says another size of a layer is refused, also when the layer is there already (%s)',
    async (tag) => {
      const lying = (source: OciSource): OciSource => ({
        ...source,
        async resolve(wanted, options) {
          const image = await source.resolve(wanted, options);
          const layers = image.layers.map((layer) => ({ ...layer, size: layer.size + 1 }));
          return { ...image, layers };
        },
      });
      const bringLie = () =>
        importLayout(store.ports, lying(layoutOf(layout, tag)), tag, {
          names: () => ({ name: 'example.com/lie', version: undefined, origin: undefined }),
        });
      const image = await bring(tag);
      const before = await stateOf(store);
      await expect(bringLie()).rejects.toMatchObject({ code: 'FETCH_SIZE' });
      expect(await stateOf(store)).toEqual(before);
      // The blobs only, and no snapshot to clone.
      for (const chain of chainOf(tag))
        await store.zfs.destroy(chainSnapshot(store.layout.dataset.image(image.id), chain));
      await expect(bringLie()).rejects.toMatchObject({ code: 'FETCH_SIZE' });
    },
  );

  test('what a killed import has left of a document is not taken for the whole', async () => {
    const [entry] = (
      JSON.parse(readFileSync(path.join(layout, 'index.json'), 'utf8')) as {
        readonly manifests: readonly { readonly digest: string }[];
      }
    ).manifests;
    const name = (entry?.digest ?? '').replace(':', '-');
    mkdirSync(store.layout.dir.blobs, { recursive: true });
    const part = path.join(store.layout.dir.blobs, `.${randomUUID()}.${name}`);
    writeFileSync(part, '{"schema');
    const one = await bring('one');
    expect(one.oci?.manifestDigest).toBe(entry?.digest);
    expect(existsSync(part)).toBe(false);
  });

  test('an image without its metadata is told of, and can be removed', async () => {
    const one = await bring('one');
    const dir = store.layout.dir.image(one.id);
    for (const damage of [
      () => rmSync(path.join(dir, 'meta.json')),
      () => writeFileSync(path.join(dir, 'meta.json'), '{"version"'),
    ]) {
      damage();
      const before = await stateOf(store);
      await expect(bring('one')).rejects.toMatchObject({ code: 'IMAGE_DAMAGED' });
      expect(await stateOf(store)).toEqual(before);
    }
    expect(findDamaged(store, one.id.slice(0, 30))).toBeUndefined();
    const damaged = findDamaged(store, one.id);
    if (damaged === undefined) throw new Error('it is damaged');
    await destroyImage({ ...store.ports, usedBy: () => Promise.resolve([]) }, damaged);
    expect(existsSync(dir)).toBe(false);
    expect(readWholeChains(store.layout)).toEqual([]);
    const again = await bring('one');
    expect(findDamaged(store, again.id)).toBeUndefined();
  });

  test('a blob that is not the layer it is said to be does not come with one that is here', async () => {
    await bring('one');
    // The blob that the manifest names is here too, so that nothing has to come.
    await bring('three');
    const before = await stateOf(store);
    const copy = mkdtempSync('/tmp/jetpack-layout-');
    try {
      const lie = { tag: 'lie', layers: [base, second, third] };
      writePlainLayout(copy, [
        { ...lie, pack: (layer) => gzipSync(layer === base ? other : layer) },
      ]);
      await expect(importLayout(store.ports, layoutOf(copy, 'lie'), 'lie')).rejects.toMatchObject({
        code: 'ARCHIVE_DIGEST',
      });
    } finally {
      rmSync(copy, { recursive: true });
    }
    expect(await stateOf(store)).toEqual(before);
  });

  test('two imports of the same image at once are one image', async () => {
    const both = await Promise.all([
      importLayout(store.ports, layoutOf(layout, 'two'), 'two'),
      importLayout(store.ports, layoutOf(layout, 'two'), 'two'),
    ]);
    expect(new Set(both.map(({ meta }) => meta.id)).size).toBe(1);
    expect(both.filter(({ existing }) => !existing)).toHaveLength(1);
    expect(await store.zfs.list(store.layout.dataset.build, { depth: 1 })).toHaveLength(1);
    const [image] = listImages(store).images;
    if (image === undefined) throw new Error('an image');
    expect(await withTree(image, files)).toEqual(['base: base', 'second: second', 'third: third']);
  });

  test('for another processor is taken by its name, but not where a platform was asked for', async () => {
    const reference = { kind: 'oci-layout', dir: layout, ref: 'arm' } as const;
    const fetch = (asked: boolean, architecture: string) =>
      fetchImage(store.ports, {
        reference,
        key: 'oci:arm',
        policy: 'new',
        platform: { os: 'linux', architecture },
        isPlatformAsked: asked,
        openSource: () => Promise.resolve(layoutOf(layout, 'arm')),
        trust: { verdict: { kind: 'unsigned' }, policy: { allowUnsigned: true } },
        timing: TIMING,
      });
    const { meta } = await fetch(false, 'amd64');
    expect(meta.warnings.join()).toContain('linux/arm64');
    expect(await fetch(false, 'amd64')).toMatchObject({ existing: true });
    // What is written down for this reference is not what was asked for.
    await expect(fetch(true, 'amd64')).rejects.toMatchObject({ code: 'FETCH_NO_PLATFORM' });
    expect(await fetch(true, 'arm64')).toMatchObject({ existing: true, meta: { id: meta.id } });
  });

  test('an image whose base goes away in the middle takes another way', async () => {
    const one = await bring('one');
    const source = layoutOf(layout, 'two');
    const zfs: typeof store.zfs = {
      ...store.zfs,
      async clone(snapshot, name, options) {
        if (snapshot.includes(one.id))
          await destroyImage({ ...store.ports, usedBy: () => Promise.resolve([]) }, one);
        await store.zfs.clone(snapshot, name, options);
      },
    };
    const { meta } = await importLayout({ ...store.ports, zfs }, source, 'two');
    expect(meta.oci?.sharedLayers).toBe(0);
    expect(await withTree(meta, files)).toEqual(['base: base', 'second: second', 'third: third']);
  });

  test('killed at any point, it leaves a whole image or what gc takes away', async () => {
    await bring('one');
    const before = await stateOf(store);
    const points: string[] = [];
    // Every third point: they all take half a minute.
    for (let point = 2; ; point += 3) {
      const { root } = store.layout.dataset;
      const words = ['import-layout', root, store.layout.dir.root, String(point), layout];
      const child = spawnSync(process.execPath, [CHILD, ...words], { encoding: 'utf8' });
      if (child.signal !== 'SIGKILL') {
        expect(child.stderr).toBe('');
        break;
      }
      points.push(child.stderr.trim());
      expect(listImages(store).images).toHaveLength(1);
      await collect();
      expect([child.stderr, await stateOf(store)]).toEqual([child.stderr, before]);
    }
    expect(points.length).toBeGreaterThan(8);
    expect(new Set(points).size).toBeGreaterThan(2);
    expect(listImages(store).images).toHaveLength(2);
  });
});
