/** Images that share layers: what is stored once, what goes with which of them, and what is found broken. On real ZFS. */
import {
  existsSync,
  linkSync,
  mkdirSync,
  openSync,
  closeSync,
  readdirSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { randomUUID } from 'node:crypto';
import path from 'node:path';

import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';

import type { Digest } from '../../src/formats/oci/model.ts';
import { takeLease } from '../../src/host/lease.ts';
import { createBlobWriter, findBlob } from '../../src/image/blobs.ts';
import { collectImages } from '../../src/image/collect.ts';
import { destroyImage } from '../../src/image/destroy.ts';
import { listImages } from '../../src/image/list.ts';
import { FILES, type ImageMeta, sealOf } from '../../src/image/store.ts';
import { verifyImage } from '../../src/image/verify.ts';
import type { DatasetName } from '../../src/zfs/zfs.ts';
import { testPool } from '../support/environment.ts';
import { createStore, type TestStore } from '../support/image-store.ts';
import { importMemory, memorySource, type MemoryImage } from '../support/memory-oci.ts';
import { stateOf, type StoreState } from '../support/store-state.ts';
import type { TarMember } from '../support/tar.ts';

const pool = testPool();
const MIB = 1024 * 1024;

/** Bytes that no compression makes smaller. */
function noise(seed: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  let state = seed;
  for (let at = 0; at < length; at += 4) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes.writeUInt32LE(state, at);
  }
  return bytes;
}

function layer(...names: readonly string[]): { readonly members: readonly TarMember[] } {
  return { members: names.map((name) => ({ name, data: `content of ${name}` })) };
}

const base = layer('base');
const middle = { members: [{ name: 'middle', data: noise(1, 2 * MIB) }] };
const big = { members: [{ name: 'big', data: noise(2, 3 * MIB) }] };

const one: MemoryImage = { name: 'example.com/one', layers: [base, middle, big] };
const two: MemoryImage = { name: 'example.com/two', layers: [base, middle, layer('two')] };
const three: MemoryImage = {
  name: 'example.com/three',
  layers: [base, middle, layer('two'), layer('three')],
};

describe.skipIf(pool === undefined)('images that share layers', () => {
  let store: TestStore;
  let empty: StoreState;

  beforeAll(async () => {
    store = await createStore(pool ?? '');
    empty = await stateOf(store);
  });

  afterEach(async () => {
    for (const image of listImages(store).images) await destroy(image);
    expect(await collect()).toEqual({ removed: [], mended: [], kept: [] });
    expect(await stateOf(store)).toEqual(empty);
  });

  afterAll(async () => {
    await store.remove();
  });

  async function bringIn(image: MemoryImage): Promise<ImageMeta> {
    return (await importMemory(store.ports, image)).meta;
  }

  function destroy(image: ImageMeta): Promise<void> {
    return destroyImage({ ...store.ports, usedBy: () => Promise.resolve([]) }, image);
  }

  const collect = (dryRun = false) => collectImages(store.ports, { dryRun });

  async function expectWhole(image: ImageMeta): Promise<void> {
    expect(await verifyImage(store.ports, image)).toMatchObject({ ok: true, differences: [] });
  }

  async function trash(): Promise<readonly DatasetName[]> {
    const rows = await store.zfs.list(store.layout.dataset.trash, {
      types: ['filesystem', 'snapshot'],
    });
    return rows.map(({ name }) => name).filter((name) => name !== store.layout.dataset.trash);
  }

  async function usedBytes(dataset: DatasetName): Promise<number> {
    const [row] = await store.zfs.list(dataset, { depth: 0 });
    return row?.usedBytes ?? 0;
  }

  const blobs = () => readdirSync(store.layout.dir.blobs).sort();

  test('are removed in any order, and what is freed is freed at once', async () => {
    const first = await bringIn(one);
    const second = await bringIn(two);
    const third = await bringIn(three);
    expect([first, second, third].map(({ oci }) => oci?.sharedLayers)).toEqual([0, 2, 3]);
    await destroy(first);
    const [dataset, ...snapshots] = await trash();
    if (dataset === undefined) throw new Error('the trash is empty');
    // Of the layers only what the second is a clone of stays; and the head has nothing of its own any more.
    const chain = second.oci?.layers[1]?.chainId.replace(':', '-') ?? '';
    expect(snapshots).toEqual([`${dataset}@${chain}`]);
    expect(await usedBytes(dataset)).toBeLessThan(2.9 * MIB);
    await expectWhole(second);
    await expectWhole(third);
    await destroy(second);
    expect((await trash()).filter((name) => !name.includes('@'))).toHaveLength(2);
    await expectWhole(third);
    // The last clone takes all of them along.
    await destroy(third);
    expect(await trash()).toEqual([]);
    expect(blobs()).toEqual([]);
  });

  test('are built on what waits in the trash, too', async () => {
    const first = await bringIn(one);
    await bringIn(two);
    await destroy(first);
    const source = memorySource(one);
    const again = await importMemory(store.ports, one, source);
    expect(again.meta).toMatchObject({ id: first.id, oci: { sharedLayers: 2 } });
    expect(source.opened).toHaveLength(1);
    await expectWhole(again.meta);
  });

  test('stay where pods are clones of them, and say which', async () => {
    const image = await bringIn(one);
    const clone = `${store.layout.dataset.pods}/app` as DatasetName;
    await store.zfs.clone(sealOf(store.layout.dataset.image(image.id)), clone, {
      properties: { mountpoint: 'none' },
    });
    await expect(destroy(image)).rejects.toMatchObject({ code: 'IMAGE_IN_USE' });
    await expectWhole(image);
    await store.zfs.destroy(clone);
  });

  test('have their blobs and listings once, and lose them with the last', async () => {
    const first = await bringIn(one);
    const second = await bringIn({ ...one, label: 'another' });
    expect(second.id).not.toBe(first.id);
    const layerBlob = findBlob(store, first.oci?.layers[2]?.digest as Digest);
    expect(layerBlob === undefined ? 0 : statSync(layerBlob.file).nlink).toBe(3);
    expect(statSync(store.layout.dir.blobs).mode & 0o777).toBe(0o700);
    expect(layerBlob === undefined ? 0 : statSync(layerBlob.file).mode & 0o777).toBe(0o400);
    await destroy(first);
    expect(blobs().filter((name) => name.startsWith('tree-'))).toHaveLength(3);
    await expectWhole(second);
  });

  test('come at the same time', async () => {
    const images = await Promise.all([one, two, one].map(bringIn));
    expect(images[2]?.id).toBe(images[0]?.id);
    expect(listImages(store).images).toHaveLength(2);
    for (const image of images) await expectWhole(image);
  });

  test('keep what came uncompressed compressed, under the digest of what came', async () => {
    const image = await bringIn({
      name: 'example.com/plain',
      layers: [{ ...layer('a'), compression: 'none' }],
    });
    const { digest, diffId } = image.oci?.layers[0] ?? {};
    expect(digest).toBe(diffId);
    expect(findBlob(store, digest as Digest)).toMatchObject({ form: 'zstd', digest });
    await expectWhole(image);
  });

  test('have a flipped byte found in a layer, and a lost snapshot; a new import brings the layer again', async () => {
    const first = await bringIn(one);
    const second = await bringIn(two);
    const shared = first.oci?.layers[1]?.digest as Digest;
    const { file } = findBlob(store, shared) ?? { file: '' };
    const { mtime, atime, size } = statSync(file);
    const fd = openSync(file, 'r+');
    writeSync(fd, Buffer.from([0xff, 0x00, 0xff]), 0, 3, Math.floor(size / 2));
    closeSync(fd);
    utimesSync(file, atime, mtime);
    const blob = { path: `"blobs/${path.basename(file)}"`, kind: 'changed' };
    const checked = new Map();
    expect(await verifyImage(store.ports, first, { checked })).toMatchObject({
      ok: false,
      differences: [blob],
    });
    expect(await verifyImage(store.ports, second, { checked })).toMatchObject({
      ok: false,
      differences: [blob],
    });
    // Nobody gets the damaged one any more.
    expect(findBlob(store, shared)).toBeUndefined();
    await destroy(second);
    const source = memorySource(two);
    const { meta } = await importMemory(store.ports, two, source);
    expect(source.opened).toContain(shared);
    await expectWhole(meta);
    const lost = `${store.layout.dataset.image(first.id)}@${first.oci?.layers[2]?.chainId.replace(':', '-') ?? ''}`;
    await store.zfs.destroy(lost as DatasetName);
    const report = await verifyImage(store.ports, first);
    expect(report.differences.map(({ path: place }) => place)).toEqual([
      blob.path,
      JSON.stringify(lost),
    ]);
  });

  test('leave nothing unneeded behind gc, which says what it would do before', async () => {
    const image = await bringIn(one);
    const { layout } = store;
    const whole = await stateOf(store);
    const dead = randomUUID();
    const alive = randomUUID();
    const lease = await takeLease(layout.dir.lease(alive));
    const at = (name: string) => path.join(layout.dir.blobs, name);
    const unneeded = `sha256-${'1'.repeat(64)}`;
    const onlyDead = `sha256-${'2'.repeat(64)}`;
    for (const name of [unneeded, onlyDead, `.${dead}.${unneeded}`, `.${alive}.${unneeded}`])
      writeFileSync(at(name), 'x');
    const aside = path.join(layout.dir.images, `.${dead}`, FILES.blobs);
    await collectImages(store.ports);
    expect(existsSync(at(unneeded))).toBe(false);
    for (const name of [unneeded, onlyDead, `.${dead}.${unneeded}`]) writeFileSync(at(name), 'x');
    mkdirSync(aside, { recursive: true });
    linkSync(at(onlyDead), path.join(aside, onlyDead));
    const fetched = path.join(layout.dir.fetched, 'example.com', 'linux');
    mkdirSync(path.dirname(fetched));
    writeFileSync(fetched, '{');
    const chains = readdirSync(layout.dir.chains);
    rmSync(layout.dir.chains, { recursive: true });
    mkdirSync(path.join(layout.dir.chains, 'ab'), { recursive: true });
    writeFileSync(path.join(layout.dir.chains, 'ab', image.id.replace(/.$/, 'x')), '');
    const would = await collect(true);
    expect(existsSync(at(unneeded))).toBe(true);
    const done = await collect();
    expect(would).toEqual(done);
    expect(done.removed.map(({ what }) => what).sort()).toEqual(
      [
        path.dirname(aside),
        at(`.${dead}.${unneeded}`),
        at(unneeded),
        at(onlyDead),
        fetched,
        path.join(layout.dir.chains, 'ab', image.id.replace(/.$/, 'x')),
      ].sort(),
    );
    expect(done.kept).toEqual([
      { what: at(`.${alive}.${unneeded}`), why: 'somebody is at work on it' },
    ]);
    expect(done.mended).toHaveLength(1);
    expect(readdirSync(layout.dir.chains)).toEqual(chains);
    rmSync(at(`.${alive}.${unneeded}`));
    lease.release();
    expect(await stateOf(store)).toEqual(whole);
    await expectWhole(image);
  });

  test('go on with a download that a dead process has left', async () => {
    const source = memorySource(one);
    const { layers } = await source.resolve({ os: 'linux', architecture: 'amd64' });
    const wanted = layers[2];
    if (wanted === undefined) throw new Error('no layer');
    const { chunks } = await source.openBlob(wanted);
    const dead = randomUUID();
    const lease = await takeLease(store.layout.dir.lease(dead));
    const writer = await createBlobWriter(store, { uuid: dead, digest: wanted.digest });
    for await (const chunk of chunks) {
      await writer.write(chunk);
      if (writer.bytesSoFar > MIB) break;
    }
    const left = writer.bytesSoFar;
    await writer.abandon({ leave: true });
    lease.release();
    const { meta, receivedBytes } = await importMemory(store.ports, one);
    const all = layers.reduce((sum, { size }) => sum + size, 0);
    expect(receivedBytes).toBe(all - left);
    await expectWhole(meta);
  });
});
