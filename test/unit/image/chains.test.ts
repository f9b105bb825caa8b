import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { Digest } from '../../../src/formats/oci/model.ts';
import { createLayout, type Layout } from '../../../src/host/layout.ts';
import {
  addToChains,
  chainIdsOf,
  findSharedChains,
  readWholeChains,
  removeFromChains,
} from '../../../src/image/chains.ts';
import type { ImageMeta } from '../../../src/image/store.ts';
import type { ImageId } from '../../../src/schema/appc.ts';
import type { DatasetName, Properties } from '../../../src/zfs/zfs.ts';

const digest = (digit: string) => `sha256:${digit.repeat(64)}` as Digest;
const DIFFS = [digest('a'), digest('b'), digest('c')];
const CHAIN = chainIdsOf(DIFFS);

let root: string;
let layout: Layout;
beforeEach(() => {
  root = mkdtempSync(path.join(tmpdir(), 'jp-chains-'));
  layout = createLayout('pool/jetpack' as DatasetName, root);
  for (const dir of [layout.dir.images, layout.dir.chains]) mkdirSync(dir, { recursive: true });
});
afterEach(() => {
  rmSync(root, { recursive: true, force: true });
});

const at = (chainId: Digest | undefined) => `@${chainId?.replace(':', '-') ?? ''}`;

/** An image in the store, as far as the index looks. */
function put(digit: string, diffIds: readonly Digest[], sharedLayers: number): ImageMeta {
  const id = `sha512-${digit.repeat(128)}` as ImageId;
  const chain = chainIdsOf(diffIds);
  const layers = diffIds.map((diffId, i) => ({ diffId, chainId: chain[i] ?? '' }));
  const meta = { version: 1, id, oci: { configDigest: digest('0'), layers, sharedLayers } };
  mkdirSync(layout.dir.image(id));
  writeFileSync(path.join(layout.dir.image(id), 'meta.json'), JSON.stringify(meta));
  return meta as unknown as ImageMeta;
}

/** `origins`: what clones are clones of, by the digit of their image. */
async function found(chain: readonly Digest[], origins: Readonly<Record<string, string>> = {}) {
  const zfs = {
    get: (dataset: DatasetName): Promise<Properties> => {
      const origin = origins[dataset.at(-1) ?? ''];
      return Promise.resolve(origin === undefined ? {} : { origin });
    },
  };
  const all: { image: string | undefined; snapshot: string; layers: number }[] = [];
  for await (const { imageId, snapshot, layers } of findSharedChains({ zfs, layout }, chain)) {
    const shown = snapshot.replace(/^.*sha512-\d+@/, '@');
    all.push({ image: imageId.at(-1), snapshot: shown, layers });
  }
  return all;
}

describe('ids of chains', () => {
  it('are the digest of the layer itself, then of the chain below and the layer', () => {
    // printf '%s' "sha256:aaa… sha256:bbb…" | sha256sum, and once more with sha256:ccc….
    expect(CHAIN).toEqual([
      digest('a'),
      'sha256:ccd722928bd92476ba1745586fed6e45a102504185ad88cd89e01ff116fd146c',
      'sha256:c1377126441fb2f5ec2c21ae2a60255331d639e830f0ee1b40a36e52d4c40588',
    ]);
  });

  it('are none for no layers', () => {
    expect(chainIdsOf([])).toEqual([]);
  });
});

describe('the index of chains', () => {
  it('finds the longest chain first, in the snapshot of the layer', async () => {
    addToChains(layout, put('1', DIFFS, 0));
    expect(await found(CHAIN)).toEqual([
      { image: '1', snapshot: at(CHAIN[2]), layers: 3 },
      { image: '1', snapshot: at(CHAIN[1]), layers: 2 },
      { image: '1', snapshot: at(CHAIN[0]), layers: 1 },
    ]);
    const other = chainIdsOf([digest('a'), digest('b'), digest('d'), digest('e')]);
    expect((await found(other)).map(({ layers }) => layers)).toEqual([2, 1]);
    expect(await found(chainIdsOf([digest('b'), digest('a')]))).toEqual([]);
  });

  it('names a clone for its own layers only, and for all of them by its seal', async () => {
    addToChains(layout, put('2', DIFFS, 2));
    addToChains(layout, put('3', DIFFS, 3));
    expect(await found(CHAIN)).toEqual([
      { image: '2', snapshot: at(CHAIN[2]), layers: 3 },
      { image: '3', snapshot: '@seal', layers: 3 },
    ]);
  });

  it('names what a clone was cloned from, when the image of these layers is gone', async () => {
    addToChains(layout, put('2', DIFFS, 2));
    const other = chainIdsOf([digest('a'), digest('b'), digest('d')]);
    const trashed = `pool/jetpack/trash/x${at(CHAIN[1])}`;
    expect(await found(other)).toEqual([]);
    expect(await found(other, { '2': trashed })).toEqual([
      { image: '2', snapshot: trashed, layers: 2 },
    ]);
    expect(await found(other, { '2': `pool/jetpack/trash/x${at(CHAIN[0])}` })).toEqual([]);
  });

  it('does not believe entries of images that are gone, damaged or others, nor garbage', async () => {
    const gone = put('4', DIFFS, 0);
    addToChains(layout, gone);
    rmSync(layout.dir.image(gone.id), { recursive: true });
    const damaged = put('5', DIFFS, 0);
    addToChains(layout, damaged);
    writeFileSync(path.join(layout.dir.image(damaged.id), 'meta.json'), '{');
    const other = put('6', [digest('d'), digest('e'), digest('f')], 0);
    for (const folder of readdirSync(layout.dir.chains)) {
      writeFileSync(path.join(layout.dir.chains, folder, other.id), '');
      writeFileSync(path.join(layout.dir.chains, folder, 'garbage'), '');
    }
    writeFileSync(path.join(layout.dir.chains, 'garbage'), '');
    expect(await found(CHAIN)).toEqual([]);
  });

  it('forgets an image, and the folders that nobody else is in', () => {
    const one = put('7', DIFFS, 0);
    const two = put('8', DIFFS.slice(0, 1), 0);
    addToChains(layout, one);
    addToChains(layout, two);
    addToChains(layout, two);
    removeFromChains(layout, one);
    removeFromChains(layout, one);
    expect(readWholeChains(layout)).toEqual([{ folder: 'a'.repeat(64), id: two.id }]);
  });
});
