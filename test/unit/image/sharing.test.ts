import { describe, expect, it } from 'vitest';

import { createLayout } from '../../../src/host/layout.ts';
import { drawTree, layersOf, planTree, sharedOf } from '../../../src/image/sharing.ts';
import type { ImageMeta, StoredLayer } from '../../../src/image/store.ts';
import type { ImageId } from '../../../src/schema/appc.ts';
import type { DatasetName } from '../../../src/zfs/zfs.ts';

const layout = createLayout('tank/j' as DatasetName, '/j');
const idOf = (digit: string) => `sha512-${digit.repeat(128)}` as ImageId;

function imageOf(digit: string, chains: readonly string[], sharedLayers: number): ImageMeta {
  const layers = chains.map(
    (chainId) => ({ chainId: `sha256:${chainId}`, treeBytes: 10 }) as unknown as StoredLayer,
  );
  const meta = {
    id: idOf(digit),
    name: `example.com/${digit}`,
    treeBytes: 100,
    oci: { layers, sharedLayers },
  };
  return meta as unknown as ImageMeta;
}

const row = (name: string, origin?: string, usedBytes = 7) => ({
  name: name as DatasetName,
  origin: origin as DatasetName | undefined,
  usedBytes,
});
const dataset = (digit: string) => layout.dataset.image(idOf(digit));

describe('the tree of images', () => {
  it('has every image below what it is a clone of, also when that waits in the trash', () => {
    const images = ['1', '2', '3', '4', '5', '6'].map((digit) => imageOf(digit, [], 0));
    const nodes = planTree(layout, images, [
      row('tank/j/images'),
      row('tank/j/trash'),
      row('tank/j/trash/a'),
      row('tank/j/trash/b'),
      row(dataset('1')),
      row(dataset('2'), `${dataset('1')}@sha256-x`),
      row(dataset('3'), `${dataset('2')}@sha256-y`),
      row(dataset('4'), `${dataset('1')}@seal`),
      row(dataset('5'), 'tank/j/trash/a@sha256-z'),
    ]);
    expect(
      [...drawTree(nodes)].map(
        ({ prefix, node }) => `${prefix}${node.image?.name.at(-1) ?? 'trash'}`,
      ),
    ).toEqual(['1', '├─ 2', '│  └─ 3', '└─ 4', '6', 'trash', '└─ 5']);
    expect(nodes.map(({ ownBytes }) => ownBytes)).toEqual([7, undefined, 7]);
  });

  it('is as quick for a thousand images as for few', () => {
    const images = Array.from({ length: 1000 }, (_, index) =>
      imageOf(String(index % 10), [], 0),
    ).map((image, index) => ({
      ...image,
      id: `sha512-${String(index).padStart(128, '0')}` as ImageId,
    }));
    const rows = images.map(({ id }, index) =>
      row(
        layout.dataset.image(id),
        index % 10 === 0 ? undefined : `${layout.dataset.image(images[index - 1]?.id ?? '')}@seal`,
      ),
    );
    expect([...drawTree(planTree(layout, images, rows))]).toHaveLength(1000);
  });
});

describe('what is shared', () => {
  it('are the layers below, or the tree of the first dependency', () => {
    const find = (id: ImageId) => (id === idOf('1') ? imageOf('1', [], 0) : undefined);
    expect(sharedOf(imageOf('2', ['a', 'b', 'c'], 2), find)).toEqual({ layers: 2, treeBytes: 20 });
    const { oci: _, ...aci } = imageOf('3', [], 0);
    expect(sharedOf({ ...aci, dependencies: [idOf('1'), idOf('2')] }, find)).toEqual({
      layers: 0,
      treeBytes: 100,
    });
    expect(sharedOf(aci, find)).toEqual({ layers: 0, treeBytes: 0 });
  });

  it('are layers over the same ones only', () => {
    const one = imageOf('1', ['a', 'ab'], 0);
    const two = imageOf('2', ['a', 'ab', 'abc'], 2);
    const other = imageOf('3', ['ab'], 0);
    const layers = layersOf(two, [one, two, other]);
    expect(layers.map(({ isShared }) => isShared)).toEqual([true, true, false]);
    expect(layers.map(({ alsoIn }) => alsoIn.map(({ id }) => id))).toEqual([
      [one.id],
      [one.id],
      [],
    ]);
  });
});
