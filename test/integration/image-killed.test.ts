/** Work on images that is killed at any point leaves nothing that gc does not clean up, and nothing half-made is visible. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { collectImages } from '../../src/image/collect.ts';
import { findImage } from '../../src/image/find.ts';
import { importImage } from '../../src/image/import.ts';
import { listImages } from '../../src/image/list.ts';
import { verifyImage } from '../../src/image/verify.ts';
import { testPool } from '../support/environment.ts';
import { createStore, type TestStore } from '../support/image-store.ts';
import { stateOf } from '../support/store-state.ts';
import { aci, inPieces } from '../support/tar.ts';

const pool = testPool();
const CHILD = path.join(import.meta.dirname, '../support/dying-child.ts');
const archive = aci([
  { name: 'rootfs/big', data: Buffer.alloc(300_000, 7) },
  { name: 'rootfs/bin/' },
  { name: 'rootfs/bin/a', data: 'a', mode: 0o755 },
]);

describe.skipIf(pool === undefined)('killed with SIGKILL', () => {
  let store: TestStore;
  let folder: string;

  beforeAll(async () => {
    store = await createStore(pool ?? '');
    folder = mkdtempSync('/tmp/jetpack-killed-');
    writeFileSync(path.join(folder, 'a.aci'), archive);
  });

  afterAll(async () => {
    await store.remove();
    rmSync(folder, { recursive: true });
  });

  /** Undefined when the work ended before its point. */
  function killAt(work: string, point: number, subject: string): string | undefined {
    const { root } = store.layout.dataset;
    const argv = [CHILD, work, root, store.layout.dir.root, String(point), subject];
    const child = spawnSync(process.execPath, argv, { encoding: 'utf8' });
    if (child.signal === 'SIGKILL') return child.stderr.trim();
    expect(child.stderr).toBe('');
    return undefined;
  }

  /** In an hour from now: the age at which leases may go is a minute. */
  async function collect(): Promise<void> {
    const clock = { now: () => new Date(Date.now() + 3_600_000) };
    const report = await collectImages({ ...store.ports, clock });
    expect(report.kept).toEqual([]);
  }

  async function importIt(): Promise<void> {
    await importImage(store.ports, {
      archive: { chunks: inPieces(archive, 100_000) },
      source: 'test',
      trust: { verdict: { kind: 'unsigned' }, policy: { allowUnsigned: true } },
    });
  }

  test('an import leaves either the whole image or nothing', async () => {
    const before = await stateOf(store);
    const points: string[] = [];
    for (let point = 1; ; point++) {
      const killed = killAt('import', point, path.join(folder, 'a.aci'));
      if (killed === undefined) break;
      points.push(killed);
      // Nothing half-made is visible, even before the cleaning.
      expect(listImages(store)).toEqual({ images: [], damaged: [] });
      await collect();
      expect([killed, await stateOf(store)]).toEqual([killed, before]);
    }
    expect(points).toEqual(
      expect.arrayContaining([
        'killed before a piece',
        'killed after snapshot',
        'killed after rename',
      ]),
    );
    const image = findImage(store, 'example.com/test:1.0');
    expect(image).toBeDefined();
    if (image !== undefined)
      expect(await verifyImage(store.ports, image)).toMatchObject({ ok: true });
  });

  test('a verification leaves the image as it was', async () => {
    const before = await stateOf(store);
    for (let point = 1; ; point++) {
      const killed = killAt('verify', point, 'example.com/test');
      if (killed === undefined) break;
      await collect();
      expect([killed, await stateOf(store)]).toEqual([killed, before]);
    }
  });

  test('a removal leaves no image that can be seen and is not whole', async () => {
    const withImage = await stateOf(store);
    for (let point = 1; ; point++) {
      const killed = killAt('destroy', point, 'example.com/test');
      if (killed === undefined) break;
      expect(findImage(store, 'example.com/test')).toBeUndefined();
      await collect();
      expect(listImages(store).images).toEqual([]);
      await importIt();
      expect([killed, await stateOf(store)]).toEqual([killed, withImage]);
    }
    expect(listImages(store).images).toEqual([]);
  });
});
