/** What a layer does to the tree of the layers below it, case by case. */
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';

import { describe, expect, test } from 'vitest';

import { ArchiveError } from '../../../src/errors.ts';
import { foldTreeListings } from '../../../src/image/tree/tree-fold.ts';
import { renderTreeEnd, TREE_HEADER } from '../../../src/image/tree/tree-listing.ts';
import { addLayer, type AddLayerOptions, namesBelow } from '../../support/layers.ts';
import { member, tar, type TarMember } from '../../support/tar.ts';
import { LAYER_ATTACKS } from '../../support/hostile-members.ts';
import { archiveErrorOf, withFolder } from '../../support/unpack.ts';

/** A lower tree, made by hand; its folders and files are from second 50. */
function makeLower(outer: string): string {
  const root = path.join(outer, 'root');
  mkdirSync(path.join(root, 'd/sub'), { recursive: true });
  writeFileSync(path.join(root, 'd/one'), 'one');
  writeFileSync(path.join(root, 'd/sub/two'), 'two');
  writeFileSync(path.join(root, 'f'), 'lower');
  linkSync(path.join(root, 'f'), path.join(root, 'also-f'));
  symlinkSync('d', path.join(root, 's'));
  symlinkSync('../outside', path.join(root, 'out'));
  for (const name of ['d/sub/two', 'd/one', 'f', 'd/sub', 'd', '.'])
    utimesSync(path.join(root, name), 50, 50);
  chmodSync(path.join(root, 'd'), 0o751);
  return root;
}

/** Adds the layer, and looks that nothing beside the root has changed, whatever happens. */
async function over<T>(
  members: readonly TarMember[],
  look: (root: string, listing: string) => T,
  options: AddLayerOptions = {},
): Promise<T> {
  return withFolder(async (outer) => {
    mkdirSync(path.join(outer, 'outside'));
    writeFileSync(path.join(outer, 'outside/secret'), 'secret');
    const before = lstatSync(path.join(outer, 'outside/secret'));
    const root = makeLower(outer);
    try {
      const { listing } = await addLayer(root, tar(members), options);
      return look(root, listing);
    } finally {
      expect(namesBelow(outer).filter((name) => !name.startsWith('root'))).toEqual([
        'outside',
        'outside/secret',
      ]);
      const after = lstatSync(path.join(outer, 'outside/secret'));
      expect([after.mtimeMs, after.nlink, after.mode]).toEqual([before.mtimeMs, 1, before.mode]);
    }
  });
}

function read(root: string, name: string): string {
  return readFileSync(path.join(root, name), 'utf8');
}

function isFolder(root: string, name: string): boolean {
  return lstatSync(path.join(root, name)).isDirectory();
}

/** Of a listing, without the frame and the times. */
function changes(listing: string): readonly string[] {
  return listing
    .split('\n')
    .slice(1, -2)
    .map((line) => {
      const words = line.split(' ');
      return `${words[0] ?? ''} ${words.at(-1) ?? ''}`;
    });
}

describe('a layer over others', () => {
  test('replaces a file, and leaves its other names what they were', async () => {
    await over([{ name: 'f', data: 'upper' }], (root) => {
      expect([read(root, 'f'), read(root, 'also-f')]).toEqual(['upper', 'lower']);
    });
  });

  test('gives a folder its attributes, and keeps what is in it', async () => {
    await over([{ name: 'd/', mode: 0o700, mtime: 70, uid: 3 }], (root) => {
      const stats = lstatSync(path.join(root, 'd'));
      expect([stats.mode & 0o7777, stats.uid, stats.mtimeMs]).toEqual([0o700, 3, 70_000]);
      expect(read(root, 'd/sub/two')).toBe('two');
    });
  });

  test('keeps the attributes and times of folders that it only goes through', async () => {
    await over([{ name: 'd/sub/new', data: 'x' }], (root, listing) => {
      for (const name of ['.', 'd', 'd/sub'])
        expect(lstatSync(path.join(root, name)).mtimeMs).toBe(50_000);
      expect(lstatSync(path.join(root, 'd')).mode & 0o7777).toBe(0o751);
      expect(changes(listing)).toEqual(['f d/sub/new']);
    });
  });

  test('replaces a folder by a file, and a file by a folder', async () => {
    await over([{ name: 'd', data: 'file now' }, { name: 'f/' }], (root) => {
      expect(read(root, 'd')).toBe('file now');
      expect(readdirSync(path.join(root, 'f'))).toEqual([]);
      expect(read(root, 'also-f')).toBe('lower');
    });
  });

  test.each([['s'], ['out'], ['f']])(
    'makes a folder of %s, which is none below, where it is a parent',
    async (name) => {
      await over([{ name: `${name}/new`, data: 'x' }], (root) => {
        expect(isFolder(root, name)).toBe(true);
        expect(readdirSync(path.join(root, name))).toEqual(['new']);
        expect(readdirSync(path.join(root, 'd')).sort()).toEqual(['one', 'sub']);
      });
    },
  );

  test('replaces a symlink by a folder, and does not follow it', async () => {
    await over([{ name: 'out/', mode: 0o700 }], (root) => {
      expect(isFolder(root, 'out')).toBe(true);
    });
  });

  test('replaces a symlink by a symlink and by a hard link', async () => {
    await over(
      [
        { name: 's', type: '2', link: 'f' },
        { name: 'out', type: '1', link: 'f' },
      ],
      (root) => {
        expect(readlinkSync(path.join(root, 's'))).toBe('f');
        expect(lstatSync(path.join(root, 'out')).ino).toBe(lstatSync(path.join(root, 'f')).ino);
      },
    );
  });

  test('has hard links to files of the layers below', async () => {
    await over([{ name: 'h', type: '1', link: './d/sub/two' }], (root, listing) => {
      expect(lstatSync(path.join(root, 'h')).ino).toBe(lstatSync(path.join(root, 'd/sub/two')).ino);
      expect(changes(listing)).toEqual(['h h']);
      expect(lstatSync(path.join(root, 'd')).mtimeMs).toBe(50_000);
    });
  });

  test('may have a folder twice: the last one counts', async () => {
    const twice = [
      { name: 'n/', mode: 0o700, pax: { 'SCHILY.xattr.user.a': '1' } },
      { name: 'n/x', data: 'x' },
      { name: 'n/', mode: 0o755, pax: { 'SCHILY.xattr.user.b': '2' } },
    ];
    await over(twice, (root, listing) => {
      expect(lstatSync(path.join(root, 'n')).mode & 0o777).toBe(0o755);
      expect(listing).not.toContain('user.a');
      expect(listing).toContain('x user.b');
    });
  });

  test('takes the extended attributes of a folder that comes again, and of no other', async () => {
    await over([{ name: 'd/' }, { name: 'd/sub/new' }], (root, listing) => {
      expect(changes(listing)).toEqual(['f d/sub/new', 'd d']);
    });
    await withFolder(async (outer) => {
      const root = makeLower(outer);
      const { specials } = await addLayer(root, tar([{ name: 'd/' }, { name: 'd/sub/new' }]));
      expect(specials.stripped).toEqual(['d']);
    });
  });

  test('is nothing when it has nothing', async () => {
    for (const bytes of [
      Buffer.alloc(0),
      Buffer.alloc(512),
      Buffer.alloc(1024),
      Buffer.alloc(10240),
    ]) {
      await withFolder(async (outer) => {
        const root = makeLower(outer);
        const { listing } = await addLayer(root, bytes);
        expect(changes(listing)).toEqual([]);
      });
    }
  });

  test('needs no end mark, if its digest says that it is whole', async () => {
    const bytes = member({ name: 'new', data: 'x' });
    await withFolder(async (outer) => {
      const root = makeLower(outer);
      await addLayer(root, bytes);
      expect(read(root, 'new')).toBe('x');
    });
    await withFolder(async (outer) => {
      const work = addLayer(makeLower(outer), bytes, { hasOtherDigest: true });
      expect(await archiveErrorOf(work)).toBe('ARCHIVE_TRUNCATED');
    });
    await withFolder(async (outer) => {
      const work = addLayer(makeLower(outer), bytes.subarray(0, -1));
      expect(await archiveErrorOf(work)).toBe('ARCHIVE_TRUNCATED');
    });
  });

  test('leaves out devices below dev/, and what was there before', async () => {
    await withFolder(async (outer) => {
      const root = makeLower(outer);
      mkdirSync(path.join(root, 'dev'));
      writeFileSync(path.join(root, 'dev/null'), 'no device');
      const bytes = tar([{ name: 'dev/null', type: '3', device: [1, 3] }]);
      const { warnings, listing } = await addLayer(root, bytes);
      expect(existsSync(path.join(root, 'dev/null'))).toBe(false);
      expect(changes(listing)).toEqual(['- dev/null']);
      expect(warnings).toHaveLength(1);
    });
  });
});

describe('a whiteout', () => {
  test('takes a file, a folder with all that is in it, and a symlink but not its target', async () => {
    await over([{ name: '.wh.f' }, { name: '.wh.d' }, { name: '.wh.out' }], (root, listing) => {
      expect(readdirSync(root).sort()).toEqual(['also-f', 's']);
      expect(changes(listing)).toEqual(['- f', '- d', '- out']);
      expect(lstatSync(root).mtimeMs).toBe(50_000);
    });
  });

  test('of something in a folder leaves its time alone', async () => {
    await over([{ name: 'd/.wh.one' }], (root) => {
      expect(existsSync(path.join(root, 'd/one'))).toBe(false);
      expect(lstatSync(path.join(root, 'd')).mtimeMs).toBe(50_000);
    });
  });

  test('of something that is not there is none', async () => {
    const members = [{ name: '.wh.x' }, { name: 'no/where/.wh.x' }, { name: 'f/.wh.x' }];
    await over(members, (root, listing) => {
      expect(changes(listing)).toEqual([]);
      expect(read(root, 'f')).toBe('lower');
    });
  });

  test.each([['before'], ['after']])(
    '%s what the same layer brings concerns only what is below',
    async (order) => {
      const own = [
        { name: 'd/new', data: 'new' },
        { name: 'f', data: 'mine' },
      ];
      const whiteouts = [{ name: '.wh.d' }, { name: '.wh.f' }];
      const members = order === 'before' ? [...whiteouts, ...own] : [...own, ...whiteouts];
      await over(members, (root) => {
        expect(readdirSync(path.join(root, 'd'))).toEqual(['new']);
        expect(read(root, 'f')).toBe('mine');
        // A new folder: what the old one was is gone.
        expect(lstatSync(path.join(root, 'd')).mode & 0o7777).toBe(0o755);
      });
    },
  );

  test.each([['before'], ['after']])(
    'of all that is in a folder, %s what is new',
    async (order) => {
      const own = [{ name: 'd/sub/new', data: 'new' }];
      const opaque = [{ name: 'd/.wh..wh..opq' }];
      const members = order === 'before' ? [...opaque, ...own] : [...own, ...opaque];
      await over(members, (root) => {
        expect(namesBelow(path.join(root, 'd'))).toEqual(['sub', 'sub/new']);
        expect(lstatSync(path.join(root, 'd')).mode & 0o7777).toBe(0o751);
      });
    },
  );

  test('of all that is in the root', async () => {
    await over([{ name: './.wh..wh..opq' }, { name: 'new' }], (root) => {
      expect(readdirSync(root)).toEqual(['new']);
    });
  });

  test('names of AUFS itself mean nothing', async () => {
    const members = [
      { name: '.wh..wh.aufs' },
      { name: '.wh..wh.plnk/' },
      { name: '.wh..wh.plnk/123.456', data: 'x' },
      { name: '.wh..wh.orph/', mode: 0o700 },
    ];
    await over(members, (root, listing) => {
      expect(changes(listing)).toEqual([]);
      expect(existsSync(path.join(root, 'f'))).toBe(true);
    });
  });

  test('in the lowest layer concerns nothing', async () => {
    await withFolder(async (outer) => {
      const root = path.join(outer, 'root');
      mkdirSync(root);
      const members = [{ name: 'a', data: 'x' }, { name: '.wh.a' }, { name: '.wh..wh..opq' }];
      await addLayer(root, tar(members), { isLowest: true });
      expect(readdirSync(root)).toEqual(['a']);
    });
  });

  test.each([['before'], ['after']])(
    'below what the layer puts in the place of a folder, %s it, is none',
    async (order) => {
      const link = [{ name: 'd', type: '2', link: '../outside' }];
      const whiteouts = [
        { name: 'd/.wh.one' },
        { name: 'd/.wh.secret' },
        { name: 'd/sub/.wh.two' },
      ];
      await over(order === 'before' ? [...whiteouts, ...link] : [...link, ...whiteouts], (root) => {
        expect(readlinkSync(path.join(root, 'd'))).toBe('../outside');
      });
    },
  );

  test('a name with .wh. in its middle is a name', async () => {
    await over([{ name: 'a.wh.b', data: 'x' }], (root) => {
      expect(read(root, 'a.wh.b')).toBe('x');
    });
  });
});

describe('a layer is refused when it has', () => {
  test.each(LAYER_ATTACKS)('%s', async (_, members, code) => {
    expect(await archiveErrorOf(over(members, () => undefined))).toBe(code);
  });

  test.each(LAYER_ATTACKS)('as the lowest one: %s', async (title, members) => {
    // What needs a lower tree to be an attack is harmless without one.
    await withFolder(async (outer) => {
      const root = path.join(outer, 'root');
      mkdirSync(root);
      const code = await archiveErrorOf(addLayer(root, tar(members), { isLowest: true }));
      expect([title, code]).toEqual([title, expect.stringMatching(/^(no error|ARCHIVE_.*)$/)]);
      expect(readdirSync(outer)).toEqual(['root']);
    });
  });

  test('more entries than allowed', async () => {
    const members = Array.from({ length: 50 }, (_, index) => ({ name: `.wh.${String(index)}` }));
    const work = over(members, () => undefined, { limits: { entries: 40 } });
    expect(await archiveErrorOf(work)).toBe('ARCHIVE_TOO_MANY_ENTRIES');
  });

  test('more folders than allowed, in the names of few entries', async () => {
    const members = [{ name: 'a/'.repeat(30) }, { name: `b/${'c/'.repeat(30)}d` }];
    const work = over(members, () => undefined, { limits: { entries: 40 } });
    expect(await archiveErrorOf(work)).toBe('ARCHIVE_TOO_MANY_ENTRIES');
  });

  test('more bytes than allowed', async () => {
    const members = [
      { name: 'a', data: 'x'.repeat(600) },
      { name: 'b', data: 'x'.repeat(600) },
    ];
    const work = over(members, () => undefined, { limits: { treeBytes: 1000 } });
    expect(await archiveErrorOf(work)).toBe('ARCHIVE_TOO_LARGE');
  });
});

describe('a chain of layers', () => {
  test('writes nothing through what a layer before has put in the place of a folder', async () => {
    await over([{ name: 'd', type: '2', link: '../outside' }], async (root) => {
      await addLayer(root, tar([{ name: 'd/new', data: 'x' }]));
      expect(isFolder(root, 'd')).toBe(true);
      expect(readdirSync(path.join(root, 'd'))).toEqual(['new']);
    });
  });

  test('is contained when its names look alike', async () => {
    const names = [
      'File',
      'file',
      'caf\xc3\xa9',
      'cafe\xcc\x81',
      'a\u00a0b',
      'a b',
      'n\nl',
      'f.',
      'f ',
    ];
    await over(
      names.map((name) => ({ name, data: name })),
      (root) => {
        const there = readdirSync(root, { encoding: 'latin1' });
        for (const name of names) expect(there).toContain(name);
      },
    );
  });

  test('keeps setuid programs out of the reach of others until the end', async () => {
    await withFolder(async (outer) => {
      const root = makeLower(outer);
      chmodSync(root, 0o755);
      let during = 0;
      const bytes = tar([
        { name: 'su', mode: 0o4755, data: 'x', pax: { 'SCHILY.xattr.user.a': '1' } },
      ]);
      await addLayer(root, bytes, {
        onApply: () => {
          during = lstatSync(root).mode & 0o7777;
        },
      });
      expect(during).toBe(0o700);
      expect(lstatSync(root).mode & 0o7777).toBe(0o755);
      expect(lstatSync(path.join(root, 'su')).mode & 0o7777).toBe(0o4755);
    });
  });

  test('of many whiteouts takes time for each of them only', async () => {
    await withFolder(async (outer) => {
      const root = path.join(outer, 'root');
      mkdirSync(root);
      const count = 3000;
      const files = Array.from({ length: count }, (_, index) => ({ name: `d/${String(index)}` }));
      const lower = await addLayer(root, tar(files), { isLowest: true });
      const gone = files.map(({ name }) => ({ name: name.replace('/', '/.wh.') }));
      const opaque = Array.from({ length: count }, () => ({ name: 'd/.wh..wh..opq' }));
      const start = performance.now();
      const upper = await addLayer(root, tar([{ name: 'd/new' }, ...gone, ...opaque]));
      expect(performance.now() - start).toBeLessThan(20_000);
      expect(readdirSync(path.join(root, 'd'))).toEqual(['new']);
      const folded = foldTreeListings([lower.listing, upper.listing]);
      expect([...(folded?.items.keys() ?? [])].sort()).toEqual(['', 'd', 'd/new']);
    });
  });

  test('may be compressed in several members', async () => {
    await withFolder(async (outer) => {
      const root = makeLower(outer);
      const bytes = tar([{ name: 'new', data: 'x'.repeat(5000) }]);
      const members = [bytes.subarray(0, 700), bytes.subarray(700, 701), bytes.subarray(701)];
      const zipped = Buffer.concat(members.map((piece) => gzipSync(piece)));
      await addLayer(root, zipped, { hasOtherDigest: true, pieceBytes: 100 });
      expect(read(root, 'new')).toHaveLength(5000);
    });
  });
});

describe('listings of layers', () => {
  const listing = (...lines: readonly string[]): string =>
    TREE_HEADER + lines.map((line) => `${line}\n`).join('') + renderTreeEnd(lines.length);
  const folder = (name: string): string => `d 0755 0 0 1 - - ${name}`;
  const file = (name: string): string => `f 0644 0 0 1 0 sha256:${'0'.repeat(64)} ${name}`;

  test('a name of a file that is replaced leaves its attributes to the next one', () => {
    const lower = listing(
      file('a'),
      'h - - - - - a b',
      'h - - - - - a c',
      folder('.'),
      'x user.t eA== a',
    );
    const folded = foldTreeListings([lower, listing('l 0777 0 0 2 - x a')]);
    expect(folded?.items.get('a')).toMatchObject({ kind: 'l' });
    expect(folded?.items.get('b')).toMatchObject({ kind: 'f', path: 'b' });
    expect(folded?.items.get('c')).toEqual({ kind: 'h', path: 'c', target: 'b' });
    expect(folded?.xattrs).toEqual([
      { path: 'b', name: 'user.t', value: 'x' },
      { path: 'c', name: 'user.t', value: 'x' },
    ]);
  });

  test('a folder that comes again has no extended attributes but its new ones', () => {
    const lower = listing(folder('d'), folder('.'), 'x user.a eA== d', 'x user.b eA== d');
    const folded = foldTreeListings([lower, listing(folder('d'), 'x user.b eQ== d')]);
    expect(folded?.xattrs).toEqual([{ path: 'd', name: 'user.b', value: 'y' }]);
  });

  test('what is no listing over the ones before is none', () => {
    const lower = listing(file('a'), folder('.'));
    expect(foldTreeListings([lower])?.items.size).toBe(2);
    expect(foldTreeListings([lower, listing('- b')])).toBeUndefined();
    expect(foldTreeListings([lower, listing('- .')])).toBeUndefined();
    expect(foldTreeListings([lower, listing('h - - - - - b c')])).toBeUndefined();
    expect(foldTreeListings([lower, listing('x user.a eA== b')])).toBeUndefined();
    expect(foldTreeListings([lower, listing(file('a/b'))])).toBeUndefined();
    expect(foldTreeListings([lower, listing(file('b/c'))])).toBeUndefined();
    expect(foldTreeListings([lower, lower.slice(0, -3)])).toBeUndefined();
    expect(foldTreeListings([])).toBeUndefined();
  });
});

test('an error tells the layer from the files in it', async () => {
  const error: unknown = await over([{ name: 'd/.wh...' }], () => undefined).catch(
    (caught: unknown) => caught,
  );
  expect(error).toBeInstanceOf(ArchiveError);
  expect(error).toMatchObject({ entry: '"d/.wh..."' });
});
