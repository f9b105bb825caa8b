/** Operations on the store, with ZFS replayed and everything else real. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, test } from 'vitest';

import { createLayout, type Layout } from '../../../src/host/layout.ts';
import { takeLease } from '../../../src/host/lease.ts';
import { collectImages } from '../../../src/image/collect.ts';
import { planRendering } from '../../../src/image/dependencies.ts';
import { destroyImage } from '../../../src/image/destroy.ts';
import { findImage } from '../../../src/image/find.ts';
import { addToIndex } from '../../../src/image/index-of-names.ts';
import { listImages } from '../../../src/image/list.ts';
import { asideDir, type ImageMeta } from '../../../src/image/store.ts';
import { ImageId, AcIdentifier } from '../../../src/schema/appc.ts';
import { createZfs } from '../../../src/zfs/cli.ts';
import type { DatasetName } from '../../../src/zfs/zfs.ts';
import { type Exchange, replay } from '../../support/fake-exec.ts';
import { withFolder } from '../../support/unpack.ts';
import * as z from 'zod/mini';

const clock = { now: () => new Date('2030-01-01T00:00:00Z') };

function idOf(number: number): ImageMeta['id'] {
  return z.parse(ImageId, `sha512-${number.toString(16).padStart(128, '0')}`);
}

function metaOf(number: number, fields: Partial<ImageMeta> = {}): ImageMeta {
  return {
    version: 1,
    id: idOf(number),
    name: z.parse(AcIdentifier, `example.com/app-${String(number)}`),
    labels: [],
    importedAt: new Date(1_700_000_000_000 + number * 1000).toISOString(),
    source: 'x.aci',
    archive: {
      digest: `sha512-${'0'.repeat(128)}`,
      sizeBytes: 1,
      compression: 'none',
      tarBytes: 1,
    },
    treeBytes: 1,
    entries: 1,
    manifestDigest: `sha512-${'0'.repeat(128)}`,
    warnings: [],
    ...fields,
  };
}

async function withStore(
  images: readonly ImageMeta[],
  use: (layout: Layout) => Promise<void> | void,
): Promise<void> {
  await withFolder(async (dir) => {
    const layout = createLayout('tank/jetpack' as DatasetName, dir);
    for (const folder of [
      layout.dir.images,
      layout.dir.imageNames,
      layout.dir.leases,
      layout.dir.locks,
      path.join(dir, 'build'),
    ]) {
      mkdirSync(folder, { recursive: true });
    }
    for (const meta of images) {
      mkdirSync(layout.dir.image(meta.id));
      writeFileSync(path.join(layout.dir.image(meta.id), 'meta.json'), JSON.stringify(meta));
      addToIndex(layout, meta);
    }
    await use(layout);
  });
}

function zfsOf(transcript: readonly Exchange[]) {
  const fake = replay(transcript);
  return {
    zfs: createZfs({ run: fake.run, zfs: ['/sbin/zfs'], zpool: ['/sbin/zpool'] }),
    finish: fake.finish,
  };
}

describe('listing', () => {
  test('200 images takes a fraction of a second, newest first', async () => {
    const images = Array.from({ length: 200 }, (_, number) => metaOf(number));
    await withStore(images, (layout) => {
      const started = performance.now();
      const listing = listImages({ layout });
      expect(performance.now() - started).toBeLessThan(500);
      expect(listing.images).toHaveLength(200);
      expect(listing.images[0]?.id).toBe(idOf(199));
    });
  });

  test('tells of damaged images and lists the others', async () => {
    await withStore([metaOf(1), metaOf(2), metaOf(3)], (layout) => {
      writeFileSync(path.join(layout.dir.image(idOf(2)), 'meta.json'), '{"version": 1');
      writeFileSync(path.join(layout.dir.image(idOf(3)), 'meta.json'), JSON.stringify(metaOf(4)));
      const { images, damaged } = listImages({ layout });
      expect(images.map(({ id }) => id)).toEqual([idOf(1)]);
      expect(damaged.map(({ code }) => code)).toEqual(['IMAGE_DAMAGED', 'IMAGE_DAMAGED']);
    });
  });
});

describe('finding', () => {
  test('by name does not look at all images', async () => {
    await withStore([metaOf(1)], (layout) => {
      for (let number = 100; number < 200; number++) {
        mkdirSync(layout.dir.image(idOf(number)));
        writeFileSync(path.join(layout.dir.image(idOf(number)), 'meta.json'), 'broken');
      }
      expect(findImage({ layout }, 'example.com/app-1')?.id).toBe(idOf(1));
      expect(findImage({ layout }, idOf(1))?.id).toBe(idOf(1));
    });
  });

  test('takes a stale entry of the index for nothing', async () => {
    await withStore([metaOf(1)], (layout) => {
      rmSync(layout.dir.image(idOf(1)), { recursive: true });
      expect(findImage({ layout }, 'example.com/app-1')).toBeUndefined();
    });
  });

  test('prefers a name to the beginning of an id', async () => {
    const named = metaOf(7, { name: z.parse(AcIdentifier, '00') });
    await withStore([metaOf(1), named], (layout) => {
      expect(findImage({ layout }, '00')?.id).toBe(named.id);
      expect(() => findImage({ layout }, 'sha512-00')).toThrow('may be any of 2 images');
    });
  });
});

describe('dependencies', () => {
  test('are rendered depth first, as often as they are named, the image last', async () => {
    const images = [
      metaOf(1),
      metaOf(2, { dependencies: [idOf(1)] }),
      metaOf(3, { dependencies: [idOf(1)] }),
      metaOf(4, { dependencies: [idOf(2), idOf(3)] }),
    ];
    await withStore(images, (layout) => {
      const steps = planRendering({ layout }, metaOf(4, { dependencies: [idOf(2), idOf(3)] }));
      expect(steps.map(({ image }) => image.id)).toEqual([1, 2, 1, 3, 4].map(idOf));
      expect(steps[2]?.filteredBy).toEqual([1, 3, 4].map(idOf));
    });
  });

  test('cannot be more trees than allowed, however few images they are of', async () => {
    const tower = Array.from({ length: 40 }, (_, level) =>
      metaOf(level, level === 0 ? {} : { dependencies: [idOf(level - 1), idOf(level - 1)] }),
    );
    await withStore(tower, (layout) => {
      const top = metaOf(99, { dependencies: [idOf(39)] });
      expect(() => planRendering({ layout }, top)).toThrow('more than 1000 images');
    });
  });

  test('cannot go deeper than allowed', async () => {
    const chain = Array.from({ length: 80 }, (_, level) =>
      metaOf(level, level === 0 ? {} : { dependencies: [idOf(level - 1)] }),
    );
    await withStore(chain, (layout) => {
      const top = metaOf(99, { dependencies: [idOf(79)] });
      expect(() => planRendering({ layout }, top)).toThrow('deeper than 64 images');
    });
  });
});

describe('removing', () => {
  test('puts the image back when pods are clones of it', async () => {
    await withStore([metaOf(1)], async (layout) => {
      const dataset = layout.dataset.image(idOf(1));
      const { zfs, finish } = zfsOf([
        {
          command: `zfs destroy -r ${dataset}`,
          status: 1,
          stderr: `cannot destroy '${dataset}': filesystem has dependent clones\nuse '-R' to destroy the following datasets:\ntank/jetpack/pods/p/a\n`,
        },
        {
          command:
            'zfs list -Hp -r -t filesystem -o name,type,origin,used,referenced,creation,mountpoint,mounted tank/jetpack',
          stdout: [
            `${dataset}\tfilesystem\t-\t1\t1\t1700000000\tnone\tno\n`,
            `tank/jetpack/pods/p/a\tfilesystem\t${dataset}@seal\t1\t1\t1700000000\tnone\tno\n`,
          ].join(''),
        },
      ]);
      const work = destroyImage({ zfs, layout, usedBy: () => Promise.resolve([]) }, metaOf(1));
      await expect(work).rejects.toThrow('is in use by tank/jetpack/pods/p/a');
      finish();
      expect(findImage({ layout }, 'example.com/app-1')?.id).toBe(idOf(1));
    });
  });
});

describe('collecting', () => {
  const rows = (dataset: string, children: readonly string[]): string =>
    [dataset, ...children.map((child) => `${dataset}/${child}`)]
      .map((name) => `${name}\tfilesystem\t-\t1\t1\t1700000000\tnone\tno\n`)
      .join('');

  const listing = (dataset: string, children: readonly string[]): Exchange => ({
    command: `zfs list -Hp -d 1 -t filesystem -o name,type,origin,used,referenced,creation,mountpoint,mounted ${dataset}`,
    stdout: rows(dataset, children),
  });

  test('leaves what has a lease, and takes the rest', async () => {
    await withStore([metaOf(1)], async (layout) => {
      const lease = await takeLease(layout.dir.lease('alive'));
      for (const uuid of ['alive', 'dead']) mkdirSync(asideDir(layout, uuid));
      const { zfs, finish } = zfsOf([
        listing('tank/jetpack/build', ['alive', 'dead']),
        { command: 'zfs destroy -r tank/jetpack/build/dead' },
        listing('tank/jetpack/images', [idOf(1), idOf(2)]),
        { command: `zfs destroy -r tank/jetpack/images/${idOf(2)}` },
        listing('tank/jetpack/trash', []),
      ]);
      const report = await collectImages({ zfs, layout, clock });
      finish();
      expect(report.removed.map(({ what }) => what)).toEqual([
        'tank/jetpack/build/dead',
        asideDir(layout, 'dead'),
        `tank/jetpack/images/${idOf(2)}`,
      ]);
      expect(report.kept.map(({ what }) => what)).toEqual([
        'tank/jetpack/build/alive',
        asideDir(layout, 'alive'),
      ]);
      lease.release();
    });
  });

  test('goes on where something cannot be removed, and says why', async () => {
    await withStore([], async (layout) => {
      const { zfs, finish } = zfsOf([
        listing('tank/jetpack/build', []),
        listing('tank/jetpack/images', [idOf(1), idOf(2)]),
        {
          command: `zfs destroy -r tank/jetpack/images/${idOf(1)}`,
          status: 1,
          stderr: `cannot destroy 'tank/jetpack/images/${idOf(1)}': dataset is held by somebody\n`,
        },
        { command: `zfs destroy -r tank/jetpack/images/${idOf(2)}` },
        listing('tank/jetpack/trash', []),
      ]);
      const report = await collectImages({ zfs, layout, clock });
      finish();
      expect(report.removed.map(({ what }) => what)).toEqual([`tank/jetpack/images/${idOf(2)}`]);
      expect(report.kept.map(({ what }) => what)).toEqual([`tank/jetpack/images/${idOf(1)}`]);
    });
  });

  test('only says what it would do, when asked', async () => {
    await withStore([], async (layout) => {
      mkdirSync(asideDir(layout, 'dead'));
      const { zfs } = zfsOf([
        listing('tank/jetpack/build', ['dead']),
        listing('tank/jetpack/images', []),
        listing('tank/jetpack/trash', []),
      ]);
      const report = await collectImages({ zfs, layout, clock }, { dryRun: true });
      expect(report.removed.map(({ what }) => what)).toEqual([
        'tank/jetpack/build/dead',
        asideDir(layout, 'dead'),
      ]);
      const again = zfsOf([
        listing('tank/jetpack/build', ['dead']),
        listing('tank/jetpack/images', []),
        listing('tank/jetpack/trash', []),
      ]);
      expect(await collectImages({ zfs: again.zfs, layout, clock }, { dryRun: true })).toEqual(
        report,
      );
    });
  });
});
