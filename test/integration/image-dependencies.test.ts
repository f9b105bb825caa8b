/** ACIs that are rendered on top of others, on real ZFS (spec/aci.md, spec/ace.md). */
import { lstatSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import path from 'node:path';

import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';

import { collectImages } from '../../src/image/collect.ts';
import type { FetchDependency } from '../../src/image/dependencies.ts';
import { destroyImage } from '../../src/image/destroy.ts';
import { importImage, type ImportRequest } from '../../src/image/import.ts';
import { listImages } from '../../src/image/list.ts';
import { FILES, type ImageMeta, sealOf } from '../../src/image/store.ts';
import { verifyImage } from '../../src/image/verify.ts';
import { testPool } from '../support/environment.ts';
import { createStore, type TestStore } from '../support/image-store.ts';
import { stateOf, type StoreState } from '../support/store-state.ts';
import { aci, inPieces, MANIFEST, tar, type TarMember } from '../support/tar.ts';

const pool = testPool();
const name = (letter: string): string => `example.com/${letter}`;

interface Dependency {
  readonly imageName: string;
  readonly imageID?: string;
  readonly labels?: readonly { readonly name: string; readonly value: string }[];
  readonly size?: number;
}

function archiveOf(
  letter: string,
  dependencies: readonly Dependency[],
  members: readonly TarMember[],
  pathWhitelist: readonly string[] = [],
): Buffer {
  return aci(members, { ...MANIFEST, name: name(letter), dependencies, pathWhitelist });
}

describe.skipIf(pool === undefined)('an image with dependencies', () => {
  let store: TestStore;
  let empty: StoreState;

  beforeAll(async () => {
    store = await createStore(pool ?? '');
    empty = await stateOf(store);
  });

  afterEach(async () => {
    // Those that need others first.
    const { images } = listImages(store);
    const needs = (one: ImageMeta, other: ImageMeta): boolean =>
      one.dependencies?.some((id) => {
        const next = images.find((image) => image.id === id);
        return id === other.id || (next !== undefined && needs(next, other));
      }) === true;
    for (const image of [...images].sort((a, b) => (needs(a, b) ? -1 : needs(b, a) ? 1 : 0))) {
      await destroy(image);
    }
    expect(await stateOf(store)).toEqual(empty);
  });

  afterAll(async () => {
    await store.remove();
  });

  async function bringIn(archive: Buffer, more: Partial<ImportRequest> = {}): Promise<ImageMeta> {
    const { meta } = await importImage(store.ports, {
      archive: { chunks: inPieces(archive, 10_000) },
      source: 'test',
      trust: { verdict: { kind: 'unsigned' }, policy: { allowUnsigned: true } },
      ...more,
    });
    return meta;
  }

  function destroy(image: ImageMeta): Promise<void> {
    return destroyImage({ ...store.ports, usedBy: () => Promise.resolve([]) }, image);
  }

  /** Every path of the tree with its content, target or `/`. */
  async function treeOf(image: ImageMeta): Promise<Record<string, string>> {
    const clone = store.layout.dataset.scratch('look');
    await store.zfs.clone(sealOf(store.layout.dataset.image(image.id)), clone);
    await store.zfs.mount(clone);
    const root = store.layout.dir.scratch('look');
    const tree: Record<string, string> = {};
    const walk = (folder: string): void => {
      for (const entry of readdirSync(path.join(root, folder)).sort()) {
        const place = path.join(folder, entry);
        const stats = lstatSync(path.join(root, place));
        if (stats.isDirectory()) {
          tree[`${place}/`] = (stats.mode & 0o7777).toString(8);
          walk(place);
        } else if (stats.isSymbolicLink())
          tree[place] = `-> ${readlinkSync(path.join(root, place))}`;
        else tree[place] = readFileSync(path.join(root, place), 'utf8');
      }
    };
    try {
      walk('');
    } finally {
      await store.zfs.destroy(clone, { busyTimeoutMs: 10_000 });
      rmSync(root, { recursive: true, force: true });
    }
    return tree;
  }

  async function expectWhole(image: ImageMeta): Promise<void> {
    const report = await verifyImage(store.ports, image);
    expect(report).toMatchObject({ ok: true, differences: [] });
  }

  test('is rendered in the order of the specification, a diamond twice', async () => {
    const file = (who: string, where: string): TarMember => ({
      name: `rootfs/${where}`,
      data: who,
    });
    const d = await bringIn(
      archiveOf('d', [], [file('d', 'd'), file('d', 'bd'), file('d', 'cd'), file('d', 'all')]),
    );
    const onD = [{ imageName: name('d') }];
    const b = await bringIn(
      archiveOf('b', onD, [file('b', 'bd'), file('b', 'bc'), file('b', 'all')]),
    );
    const c = await bringIn(
      archiveOf('c', onD, [file('c', 'cd'), file('c', 'bc'), file('c', 'all')]),
    );
    const a = await bringIn(
      archiveOf('a', [{ imageName: name('b') }, { imageName: name('c') }], [file('a', 'all')]),
    );
    expect(a.dependencies).toEqual([b.id, c.id]);
    expect(c.dependencies).toEqual([d.id]);
    // d, b, d, c, a: what b has of d's goes when d comes again.
    expect(await treeOf(a)).toEqual({ d: 'd', bd: 'd', cd: 'c', bc: 'c', all: 'a' });
    expect(await treeOf(b)).toEqual({ d: 'd', bd: 'b', cd: 'd', bc: 'b', all: 'b' });
    for (const image of [a, b, c, d]) await expectWhole(image);
    expect(a).toMatchObject({ entries: 6, treeBytes: 5 });
  });

  test('overwrites what is below: files, links and whole folders, and follows no symlink', async () => {
    await bringIn(
      archiveOf(
        'base',
        [],
        [
          { name: 'rootfs/lib/', mode: 0o755 },
          { name: 'rootfs/lib/old', data: 'old' },
          { name: 'rootfs/usr/', mode: 0o755 },
          { name: 'rootfs/usr/share', data: 'a file' },
          { name: 'rootfs/link', type: '2', link: '/usr' },
          { name: 'rootfs/folder/a', data: 'a' },
          { name: 'rootfs/kept', data: 'kept' },
          { name: 'rootfs/kept2', type: '1', link: 'rootfs/kept' },
        ],
      ),
    );
    const top = await bringIn(
      archiveOf(
        'top',
        [{ imageName: name('base'), labels: [{ name: 'version', value: '1.0' }] }],
        [
          { name: 'rootfs/lib', type: '2', link: 'usr/lib' },
          { name: 'rootfs/usr/share/', mode: 0o700 },
          { name: 'rootfs/usr/share/doc', data: 'doc' },
          { name: 'rootfs/link/inside', data: 'not in usr' },
          { name: 'rootfs/folder/b', data: 'b' },
          { name: 'rootfs/kept', data: 'another' },
        ],
      ),
    );
    expect(await treeOf(top)).toEqual({
      lib: '-> usr/lib',
      'usr/': '755',
      'usr/share/': '700',
      'usr/share/doc': 'doc',
      'link/': '755',
      'link/inside': 'not in usr',
      'folder/': '755',
      'folder/a': 'a',
      'folder/b': 'b',
      kept: 'another',
      kept2: 'kept',
    });
    await expectWhole(top);
  });

  test('has of the images below only what all the lists on the way allow', async () => {
    const files = ['one', 'two', 'three', 'etc/x'].map((each) => ({
      name: `rootfs/${each}`,
      data: each,
    }));
    await bringIn(archiveOf('first', [], files));
    await bringIn(archiveOf('low', [], files));
    await bringIn(
      archiveOf(
        'middle',
        [{ imageName: name('low') }],
        [
          { name: 'rootfs/own', data: 'own' },
          { name: 'rootfs/hidden', data: 'hidden' },
        ],
        ['/one', '/two', '/own', '/etc/x'],
      ),
    );
    const top = await bringIn(
      archiveOf(
        'top',
        [{ imageName: name('first') }, { imageName: name('middle') }],
        [
          { name: 'rootfs/mine', data: 'mine' },
          { name: 'rootfs/junk', data: 'junk' },
        ],
        ['/two', '/three', '/own', '/mine', '/hidden', '/etc'],
      ),
    );
    expect(await treeOf(top)).toEqual({
      two: 'two',
      three: 'three',
      own: 'own',
      mine: 'mine',
      'etc/': '755',
    });
    await expectWhole(top);
  });

  test('is not needed for a pathWhitelist', async () => {
    const image = await bringIn(
      archiveOf(
        'alone',
        [],
        [
          { name: 'rootfs/bin/', mode: 0o755 },
          { name: 'rootfs/bin/sh', data: 'sh' },
          { name: 'rootfs/bin/ls', type: '1', link: 'rootfs/bin/sh' },
          { name: 'rootfs/etc/', mode: 0o750 },
          { name: 'rootfs/etc/passwd', data: 'root' },
        ],
        ['/bin/ls', '/etc/'],
      ),
    );
    expect(await treeOf(image)).toEqual({ 'bin/': '755', 'bin/ls': 'sh', 'etc/': '750' });
    expect(image).toMatchObject({ entries: 4, treeBytes: 2 });
    await expectWhole(image);
  });

  test('may have its manifest behind its files', async () => {
    await bringIn(archiveOf('base', [], [{ name: 'rootfs/base', data: 'base' }]));
    const manifest = {
      ...MANIFEST,
      name: name('late'),
      dependencies: [{ imageName: name('base') }],
    };
    const image = await bringIn(
      tar([
        { name: 'rootfs/', mode: 0o755 },
        { name: 'rootfs/own', data: 'own' },
        { name: 'manifest', data: JSON.stringify(manifest) },
      ]),
    );
    expect(await treeOf(image)).toEqual({ base: 'base', own: 'own' });
  });

  test('takes the newest that has the labels, the id that is named, and the archive of the size', async () => {
    const labelled = (version: string, data: string): Buffer =>
      aci([{ name: 'rootfs/v', data }], {
        ...MANIFEST,
        name: name('lib'),
        labels: [{ name: 'version', value: version }],
      });
    const older = await bringIn(labelled('1', 'older'));
    const newer = await bringIn(labelled('2', 'newer'));
    const top = (dependency: Omit<Dependency, 'imageName'>): Buffer =>
      archiveOf('top', [{ imageName: name('lib'), ...dependency }], []);
    const one = await bringIn(top({ labels: [{ name: 'version', value: '1' }] }));
    expect(one.dependencies).toEqual([older.id]);
    const newest = await bringIn(top({}));
    expect(newest.dependencies).toEqual([newer.id]);
    const named = await bringIn(top({ imageID: older.id, size: older.archive?.sizeBytes ?? 0 }));
    expect(named.dependencies).toEqual([older.id]);
    await expect(bringIn(top({ imageID: older.id, size: 7 }))).rejects.toMatchObject({
      code: 'IMAGE_DEPENDENCY',
      message: `example.com/top depends on example.com/lib, but the archive of ${older.id} has ${String(older.archive?.sizeBytes)} bytes and not 7`,
    });
    await expect(
      bringIn(archiveOf('top', [{ imageName: name('other'), imageID: older.id }], [])),
    ).rejects.toThrow(
      `depends on example.com/other, but the image ${older.id} is example.com/lib:1`,
    );
  });

  test('is refused while dependencies are missing, with the names of all of them', async () => {
    const before = await stateOf(store);
    const id = `sha512-${'a'.repeat(128)}`;
    const work = bringIn(
      archiveOf(
        'top',
        [
          {
            imageName: name('one'),
            labels: [
              { name: 'version', value: '3' },
              { name: 'arch', value: 'amd64' },
            ],
          },
          { imageName: name('two'), imageID: id },
        ],
        [],
      ),
    );
    await expect(work).rejects.toMatchObject({
      code: 'IMAGE_DEPENDENCY',
      message: `example.com/top depends on images that are not in the store: example.com/one:3,arch=amd64; example.com/two (${id})`,
      remedies: [
        'import first: example.com/one:3,arch=amd64',
        `import first: example.com/two (${id})`,
      ],
    });
    expect(await stateOf(store)).toEqual(before);
  });

  test('fetches what is missing, size checked while it comes, and sees a circle', async () => {
    const archives = new Map([
      [
        name('one'),
        archiveOf('one', [{ imageName: name('two') }], [{ name: 'rootfs/one', data: '1' }]),
      ],
      [name('two'), archiveOf('two', [], [{ name: 'rootfs/two', data: '2' }])],
      [name('x'), archiveOf('x', [{ imageName: name('y') }], [])],
      [name('y'), archiveOf('y', [{ imageName: name('x') }], [])],
    ]);
    const asked: string[] = [];
    const fetchDependency: FetchDependency = async (wanted) => {
      asked.push(wanted.name);
      const archive = archives.get(wanted.name);
      if (archive === undefined) return false;
      await bringIn(archive, {
        expectedName: wanted.name,
        neededBy: wanted.neededBy,
        fetchDependency,
        ...(wanted.id === undefined ? {} : { expectedId: wanted.id }),
        ...(wanted.sizeBytes === undefined ? {} : { expectedBytes: wanted.sizeBytes }),
      });
      return true;
    };
    const size = archives.get(name('one'))?.length ?? 0;
    const top = (dependency: Dependency): Buffer => archiveOf('top', [dependency], []);
    const before = await stateOf(store);
    for (const [wrong, how] of [
      [size - 1, 'more'],
      [size + 1, 'fewer'],
    ] as const) {
      const work = bringIn(top({ imageName: name('one'), size: wrong }), { fetchDependency });
      await expect(work).rejects.toThrow(`has ${how} than the ${String(wrong)} bytes`);
    }
    await expect(bringIn(top({ imageName: name('nowhere') }), { fetchDependency })).rejects.toThrow(
      'not in the store: example.com/nowhere',
    );
    await expect(bringIn(top({ imageName: name('x') }), { fetchDependency })).rejects.toMatchObject(
      {
        code: 'IMAGE_DEPENDENCY',
        message:
          'images depend on each other in a circle: example.com/x:1.0,os=linux → example.com/y:1.0,os=linux → example.com/x',
      },
    );
    expect(await stateOf(store)).toEqual(before);
    asked.length = 0;
    const image = await bringIn(top({ imageName: name('one'), size }), { fetchDependency });
    expect(asked).toEqual([name('one'), name('two')]);
    expect(await treeOf(image)).toEqual({ one: '1', two: '2' });
  });

  test('keeps the images that it depends on from being removed', async () => {
    const base = await bringIn(archiveOf('base', [], [{ name: 'rootfs/base', data: 'base' }]));
    const second = await bringIn(archiveOf('second', [], [{ name: 'rootfs/2', data: '2' }]));
    const top = await bringIn(
      archiveOf('top', [{ imageName: name('base') }, { imageName: name('second') }], []),
    );
    for (const each of [base, second]) {
      await expect(destroy(each)).rejects.toMatchObject({
        code: 'IMAGE_IN_USE',
        message: `image ${each.id} (${each.name}) is in use by image ${top.id} (example.com/top)`,
      });
      await expectWhole(each);
    }
    await destroy(top);
    await destroy(base);
    await destroy(second);
  });

  test('is rendered from the archive that came again, when the store had lost it', async () => {
    const archive = archiveOf('lost', [], [{ name: 'rootfs/lost', data: 'lost' }]);
    const lost = await bringIn(archive);
    await bringIn(archiveOf('base', [], [{ name: 'rootfs/base', data: 'base' }]));
    rmSync(path.join(store.layout.dir.image(lost.id), FILES.blobs), { recursive: true });
    await collectImages(store.ports);
    const top = archiveOf('top', [{ imageName: name('base') }, { imageName: name('lost') }], []);
    await expect(bringIn(top)).rejects.toThrow('is in the store without its archive');
    await bringIn(archive);
    expect(await treeOf(await bringIn(top))).toEqual({ base: 'base', lost: 'lost' });
  });
});
