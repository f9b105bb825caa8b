/** A whole Debian goes in, comes out the same, and takes no longer than with tar. */
import { execFileSync } from 'node:child_process';
import { createReadStream } from 'node:fs';
import os from 'node:os';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { destroyImage } from '../../src/image/destroy.ts';
import { importImage } from '../../src/image/import.ts';
import { listImages } from '../../src/image/list.ts';
import { verifyImage } from '../../src/image/verify.ts';
import { debianAci } from '../support/debian-rootfs.ts';
import { testPool } from '../support/environment.ts';
import { createStore, type TestStore } from '../support/image-store.ts';

const pool = testPool();

describe.skipIf(pool === undefined)('a Debian image', () => {
  let store: TestStore;
  let file: string;

  beforeAll(async () => {
    file = debianAci();
    store = await createStore(pool ?? '');
  });

  afterAll(async () => {
    await store.remove();
  });

  async function timeOf(work: () => Promise<unknown>): Promise<number> {
    const started = performance.now();
    await work();
    return performance.now() - started;
  }

  function bringIn() {
    return importImage(store.ports, {
      archive: { chunks: createReadStream(file, { highWaterMark: 262_144 }) },
      source: file,
      trust: { verdict: { kind: 'unsigned' }, policy: { allowUnsigned: true } },
      expectedName: 'debian',
    });
  }

  test('is what it was', async () => {
    const { meta } = await bringIn();
    expect(meta.warnings).toEqual([
      'device nodes below dev/ are left out: every app gets its own /dev',
    ]);
    const report = await verifyImage(store.ports, meta);
    expect(report).toMatchObject({ ok: true, differences: [] });
    expect(report.entries).toBeGreaterThan(5000);
    await destroyImage({ ...store.ports, usedBy: () => Promise.resolve([]) }, meta);
  });

  // In User-Mode Linux a system call costs what ten do elsewhere: its times tell nothing.
  const budgets = os.release().includes('uml') ? [] : [1.3];
  test.each(budgets)('is imported in at most %f times what tar needs', async (budget) => {
    const ratios: number[] = [];
    for (let round = 0; round < 3; round++) {
      const withTar = await timeOf(async () => {
        const name = store.layout.dataset.scratch('tar');
        await store.zfs.create(name);
        const dir = store.layout.dir.scratch('tar');
        execFileSync('tar', ['-C', dir, '--numeric-owner', '-xpzf', file]);
      });
      await store.zfs.destroy(store.layout.dataset.scratch('tar'), { recursive: true });
      ratios.push((await timeOf(bringIn)) / withTar);
      for (const image of listImages(store).images) {
        await destroyImage({ ...store.ports, usedBy: () => Promise.resolve([]) }, image);
      }
    }
    const [best = Infinity] = ratios.sort((a, b) => a - b);
    expect(best).toBeLessThan(budget);
  });
});
