/** As image-killed.test.ts, for what images have in common: dependencies, layers, and datasets that go into the trash. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { collectImages } from '../../src/image/collect.ts';
import { destroyImage } from '../../src/image/destroy.ts';
import { importImage } from '../../src/image/import.ts';
import { listImages } from '../../src/image/list.ts';
import type { ImageMeta } from '../../src/image/store.ts';
import { verifyImage } from '../../src/image/verify.ts';
import { testPool } from '../support/environment.ts';
import { createStore, type TestStore } from '../support/image-store.ts';
import { importMemory } from '../support/memory-oci.ts';
import { stateOf } from '../support/store-state.ts';
import { aci, inPieces, MANIFEST } from '../support/tar.ts';

const pool = testPool();
const CHILD = path.join(import.meta.dirname, '../support/dying-child.ts');
/** Every so many points: the steps between them are the same as in image-killed.test.ts. */
const STRIDE = 3;

const layer = (name: string) => ({ members: [{ name, data: name }] });

describe.skipIf(pool === undefined)('killed with SIGKILL among others', () => {
  let store: TestStore;
  let folder: string;

  beforeAll(async () => {
    store = await createStore(pool ?? '');
    folder = mkdtempSync('/tmp/jetpack-killed-');
  });

  afterAll(async () => {
    await store.remove();
    rmSync(folder, { recursive: true });
  });

  function killAt(work: string, point: number, subject: string): string | undefined {
    const { root } = store.layout.dataset;
    const argv = [CHILD, work, root, store.layout.dir.root, String(point), subject];
    const child = spawnSync(process.execPath, argv, { encoding: 'utf8' });
    if (child.signal === 'SIGKILL') return child.stderr.trim();
    expect(child.stderr).toBe('');
    return undefined;
  }

  /** In an hour from now: the age at which leases may go is a minute. */
  function collect() {
    const clock = { now: () => new Date(Date.now() + 3_600_000) };
    return collectImages({ ...store.ports, clock });
  }

  function destroy(image: ImageMeta): Promise<void> {
    return destroyImage({ ...store.ports, usedBy: () => Promise.resolve([]) }, image);
  }

  test('an import leaves the images that it is rendered on as they were', async () => {
    const archiveOf = (name: string, dependencies: readonly string[]): Buffer =>
      aci([{ name: `rootfs/${name}`, data: name }], {
        ...MANIFEST,
        name: `example.com/${name}`,
        dependencies: dependencies.map((each) => ({ imageName: `example.com/${each}` })),
      });
    for (const name of ['base', 'other']) {
      await importImage(store.ports, {
        archive: { chunks: inPieces(archiveOf(name, []), 100_000) },
        source: 'test',
        trust: { verdict: { kind: 'unsigned' }, policy: { allowUnsigned: true } },
      });
    }
    const file = path.join(folder, 'top.aci');
    writeFileSync(file, archiveOf('top', ['base', 'other']));
    const before = await stateOf(store);
    const points: string[] = [];
    for (let point = 1; ; point += STRIDE) {
      const killed = killAt('import', point, file);
      if (killed === undefined) break;
      points.push(killed);
      expect(listImages(store)).toMatchObject({ images: { length: 2 }, damaged: [] });
      expect((await collect()).kept).toEqual([]);
      expect([killed, await stateOf(store)]).toEqual([killed, before]);
    }
    expect(points.length).toBeGreaterThan(5);
    const { images } = listImages(store);
    expect(images).toHaveLength(3);
    for (const image of images)
      expect(await verifyImage(store.ports, image)).toMatchObject({ ok: true });
    for (const image of images) await destroy(image);
  });

  test('a removal leaves the images whole that share its layers, and no more than they need', async () => {
    const empty = await stateOf(store);
    for (let point = 1; ; point += 2 * STRIDE) {
      const first = await importMemory(store.ports, {
        name: 'example.com/one',
        layers: [layer('a'), layer('b'), layer('c')],
      });
      const { meta: second } = await importMemory(store.ports, {
        name: 'example.com/two',
        layers: [layer('a'), layer('b'), layer('d')],
      });
      expect(second.oci?.sharedLayers).toBe(2);
      const killed = killAt('destroy', point, first.meta.id);
      expect(listImages(store).images.map(({ id }) => id)).toEqual([second.id]);
      const { kept } = await collect();
      const rows = await store.zfs.list(store.layout.dataset.trash, {
        types: ['filesystem', 'snapshot'],
      });
      const chain = second.oci?.layers[1]?.chainId.replace(':', '-') ?? '';
      const [trashed, snapshot, ...more] = rows.slice(1).map(({ name }) => name);
      expect(more).toEqual([]);
      expect(snapshot).toBe(`${trashed ?? ''}@${chain}`);
      expect(kept).toEqual([
        { what: trashed, why: `${store.layout.dataset.image(second.id)} shares data with it` },
      ]);
      expect(await verifyImage(store.ports, second)).toMatchObject({ ok: true });
      await destroy(second);
      expect(await stateOf(store)).toEqual(empty);
      if (killed === undefined) break;
    }
  });

  test('works in a store from before there were blobs', async () => {
    const { layout } = store;
    for (const dir of [layout.dir.blobs, layout.dir.chains, layout.dir.fetched])
      rmSync(dir, { recursive: true });
    expect(await collect()).toEqual({ removed: [], mended: [], kept: [] });
    const { meta } = await importMemory(store.ports, {
      name: 'example.com/one',
      layers: [layer('a')],
    });
    expect(await verifyImage(store.ports, meta)).toMatchObject({ ok: true });
    await destroy(meta);
  });
});
