/** What a pathWhitelist lets through of an archive, and what it leaves of a tree. */
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';

import { describe, expect, test } from 'vitest';

import { childExec } from '../../../src/exec/child.ts';
import { AciSink } from '../../../src/formats/aci/sink.ts';
import { readArchive } from '../../../src/formats/tar/archive.ts';
import { DEFAULT_LIMITS } from '../../../src/image/limits.ts';
import { foldTreeListings } from '../../../src/image/tree/tree-fold.ts';
import { TreeWriter } from '../../../src/image/tree/tree-writer.ts';
import {
  createWhitelist,
  FilteredTree,
  findLeftOutTargets,
  keepOnly,
} from '../../../src/image/tree/whitelist.ts';
import { namesBelow } from '../../support/layers.ts';
import { aci, inPieces, type TarMember } from '../../support/tar.ts';
import { archiveErrorOf, withFolder } from '../../support/unpack.ts';

const ports = { exec: childExec, tools: { xz: '/usr/bin/xz', bzip2: '/usr/bin/bzip2' } };
const reading = { limits: DEFAULT_LIMITS };

async function render(
  root: string,
  members: readonly TarMember[],
  paths: readonly string[],
): Promise<readonly string[]> {
  const archive = aci(members);
  const open = () => ({ chunks: inPieces(archive, 1000) });
  const whitelist = createWhitelist(paths);
  const targets = await findLeftOutTargets(open(), ports, whitelist, reading);
  const writer = new TreeWriter({
    root,
    isOver: true,
    mayRepeatFolders: false,
    allowDevices: false,
    treeBytes: 1e9,
    folders: 1000,
    onItem: () => undefined,
    onXattr: () => undefined,
    onRemoval: () => undefined,
  });
  try {
    const sink = new AciSink(new FilteredTree(writer, whitelist, targets), DEFAULT_LIMITS);
    await readArchive(open(), sink, ports, reading);
    await writer.finish(() => Promise.resolve([]));
    return [...namesBelow(root)].sort();
  } finally {
    writer.abandon();
  }
}

const tree: readonly TarMember[] = [
  { name: 'rootfs/etc/', mode: 0o750 },
  { name: 'rootfs/etc/passwd', data: 'root' },
  { name: 'rootfs/etc/shadow', data: 'secret' },
  { name: 'rootfs/bin/', mode: 0o711 },
  { name: 'rootfs/bin/tool', data: 'tool', mode: 0o755 },
  { name: 'rootfs/bin/also', type: '1', link: 'rootfs/bin/tool' },
  { name: 'rootfs/bin/third', type: '1', link: 'rootfs/bin/also' },
  { name: 'rootfs/lib', type: '2', link: 'usr/lib' },
];

describe('a whitelist', () => {
  test('lets its paths through, and the folders on the way as the image has them', async () => {
    await withFolder(async (root) => {
      expect(await render(root, tree, ['/etc/passwd', '/lib'])).toEqual([
        'etc',
        'etc/passwd',
        'lib',
      ]);
      expect(lstatSync(path.join(root, 'etc')).mode & 0o777).toBe(0o750);
    });
  });

  test('has a folder without what is in it', async () => {
    await withFolder(async (root) => {
      expect(await render(root, tree, ['/etc/', '/bin'])).toEqual(['bin', 'etc']);
    });
  });

  test('of no path lets nothing through but the root', async () => {
    await withFolder(async (root) => {
      expect(await render(root, tree, [])).toEqual([]);
    });
  });

  test.each([
    [['/bin/also'], ['bin', 'bin/also']],
    [['/bin/third'], ['bin', 'bin/third']],
    [
      ['/bin/also', '/bin/third'],
      ['bin', 'bin/also', 'bin/third'],
    ],
    [
      ['/bin/tool', '/bin/third'],
      ['bin', 'bin/third', 'bin/tool'],
    ],
  ])('lets hard links through without their first name: %j', async (paths, expected) => {
    await withFolder(async (root) => {
      expect(await render(root, tree, paths)).toEqual(expected);
      const files = expected.slice(1).map((name) => path.join(root, name));
      for (const file of files) {
        expect(readFileSync(file, 'utf8')).toBe('tool');
        expect(lstatSync(file).nlink).toBe(files.length);
        expect(lstatSync(file).mode & 0o777).toBe(0o755);
      }
    });
  });

  test('leaves alone what others have at a path that it does not have', async () => {
    await withFolder(async (root) => {
      mkdirSync(path.join(root, 'etc'));
      writeFileSync(path.join(root, 'etc/shadow'), 'of another image');
      symlinkSync('etc', path.join(root, 'bin'));
      expect(await render(root, tree, ['/bin/tool'])).toEqual([
        'bin',
        'bin/tool',
        'etc',
        'etc/shadow',
      ]);
      expect(readFileSync(path.join(root, 'etc/shadow'), 'utf8')).toBe('of another image');
    });
  });

  test('does not make an attack of a harmless archive, nor the other way round', async () => {
    const escape = [
      { name: 'rootfs/a', type: '2', link: '..' },
      { name: 'rootfs/a/b', data: 'x' },
    ];
    await withFolder(async (root) => {
      expect(await archiveErrorOf(render(root, escape, ['/a', '/a/b']))).toBe(
        'ARCHIVE_SYMLINK_PARENT',
      );
    });
    await withFolder(async (root) => {
      expect(await render(root, escape, ['/a/b'])).toEqual(['a', 'a/b']);
    });
    const toFolder = [{ name: 'rootfs/d/' }, { name: 'rootfs/h', type: '1', link: 'rootfs/d' }];
    await withFolder(async (root) => {
      expect(await archiveErrorOf(render(root, toFolder, ['/h']))).toBe('ARCHIVE_HARD_LINK');
    });
  });
});

test('a tree keeps only what a whitelist has, and tells what it loses', async () => {
  await withFolder((outer) => {
    const root = path.join(outer, 'root');
    mkdirSync(path.join(root, 'etc/deep/er'), { recursive: true });
    writeFileSync(path.join(root, 'etc/passwd'), 'root');
    writeFileSync(path.join(root, 'etc/deep/er/x'), 'x');
    writeFileSync(path.join(outer, 'beside'), 'x');
    symlinkSync('..', path.join(root, 'up'));
    chmodSync(path.join(root, 'etc'), 0o750);
    for (const name of ['etc', '.']) utimesSync(path.join(root, name), 50, 50);
    const removed = keepOnly(root, createWhitelist(['/etc/passwd']), path.join(outer, 'listing'));
    expect(removed).toBe(2);
    expect(namesBelow(outer)).toEqual(
      ['root', 'beside', 'listing', 'root/etc', 'root/etc/passwd'].sort(),
    );
    for (const name of ['etc', '.']) expect(lstatSync(path.join(root, name)).mtimeMs).toBe(50_000);
    const zeros = '0'.repeat(64);
    const before = [
      `f 0644 0 0 1 0 sha256:${zeros} etc/passwd`,
      `f 0644 0 0 1 0 sha256:${zeros} etc/deep/er/x`,
      'l 0777 0 0 1 - .. up',
      ...['etc/deep/er', 'etc/deep', 'etc', '.'].map((name) => `d 0755 0 0 1 - - ${name}`),
    ];
    const whole = `jetpack-tree 1\n${before.join('\n')}\nend ${String(before.length)}\n`;
    const folded = foldTreeListings([whole, readFileSync(path.join(outer, 'listing'), 'latin1')]);
    expect([...(folded?.items.keys() ?? [])]).toEqual(['', 'etc', 'etc/passwd']);
    return Promise.resolve();
  });
});
