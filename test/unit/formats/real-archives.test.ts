/** Archives as GNU tar and bsdtar write them, in all their dialects, come out as the same tree. */
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  ftruncateSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';

import { describe, expect, test } from 'vitest';

import { parseTreeListing } from '../../../src/image/tree/tree-listing.ts';
import { compareTree } from '../../../src/image/tree/tree-compare.ts';
import { MANIFEST } from '../../support/tar.ts';
import { unpack, type Unpacked, withFolder } from '../../support/unpack.ts';

const LONG = `rootfs/${'d'.repeat(90)}/${'e'.repeat(90)}`;
const BLOCK = 4096;

/** A tree with what dialects differ in. Names stay short and plain where `isOld`: v7 has nothing for others. */
function makeTree(dir: string, isOld: boolean): void {
  writeFileSync(path.join(dir, 'manifest'), JSON.stringify(MANIFEST));
  const rootfs = path.join(dir, 'rootfs');
  mkdirSync(path.join(rootfs, 'bin'), { recursive: true });
  writeFileSync(path.join(rootfs, 'bin/tool'), 'tool', { mode: 0o755 });
  // In its own folder: which of two names an archive has as the file depends on the order of a folder.
  mkdirSync(path.join(rootfs, 'sbin'));
  linkSync(path.join(rootfs, 'bin/tool'), path.join(rootfs, 'sbin/tool-2'));
  symlinkSync('tool', path.join(rootfs, 'bin/tool-3'));
  writeFileSync(path.join(rootfs, 'empty'), '');
  mkdirSync(path.join(rootfs, 'tmp'));
  execFileSync('chmod', ['1777', path.join(rootfs, 'tmp')]);
  execFileSync('chmod', ['4755', path.join(rootfs, 'bin/tool')]);
  execFileSync('chown', ['12:34', path.join(rootfs, 'empty')]);
  utimesSync(path.join(rootfs, 'empty'), 1_500_000_000, 1_500_000_000);
  if (isOld) return;
  mkdirSync(path.join(dir, LONG), { recursive: true });
  writeFileSync(path.join(dir, LONG, 'f'.repeat(120)), 'long');
  symlinkSync('x'.repeat(300), path.join(dir, LONG, 'link'));
  writeFileSync(path.join(rootfs, 'äöü'), 'utf8');
  execFileSync('chown', ['3000000:3000000', path.join(rootfs, 'äöü')]);
}

/** Pieces of data with holes between, more of them than one header has place for. */
function makeSparse(dir: string, pieces: number): void {
  const fd = openSync(path.join(dir, 'rootfs/sparse'), 'w');
  for (let piece = 0; piece < pieces; piece++) {
    writeSync(fd, Buffer.alloc(BLOCK, piece + 1), 0, BLOCK, piece * 64 * 1024);
  }
  ftruncateSync(fd, pieces * 64 * 1024 + 12345);
  closeSync(fd);
}

function pack(dir: string, program: string, options: readonly string[]): Buffer {
  const first = ['manifest', 'rootfs/bin'];
  const rest = readdirSync(path.join(dir, 'rootfs')).filter((name) => name !== 'bin');
  const names = [...first, ...rest.map((name) => `rootfs/${name}`)];
  return execFileSync(program, ['-C', dir, ...options, '-cf', '-', ...names], {
    maxBuffer: 1 << 30,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** The listing of what came out fits both the source and the copy. */
function expectSameTree(dir: string, unpacked: Unpacked): void {
  const listing = parseTreeListing(unpacked.listing);
  expect(listing).toBeDefined();
  if (listing === undefined) return;
  expect([...compareTree(unpacked.root, listing)]).toEqual([]);
  const inSource = [...compareTree(path.join(dir, 'rootfs'), listing)];
  // Whole seconds only, in most dialects.
  expect(inSource.filter(({ detail }) => !detail.includes('modified'))).toEqual([]);
}

async function roundTrip(
  program: string,
  options: readonly string[],
  make: (dir: string) => void,
): Promise<Unpacked & { readonly rootStats: ReturnType<typeof lstatSync> }> {
  return withFolder(async (outer) => {
    const dir = path.join(outer, 'source');
    mkdirSync(dir);
    make(dir);
    const unpacked = await unpack(outer, pack(dir, program, options), { pieceBytes: 10_000 });
    expectSameTree(dir, unpacked);
    expect(unpacked.manifest).toBe(readFileSync(path.join(dir, 'manifest'), 'utf8'));
    return { ...unpacked, rootStats: lstatSync(unpacked.root) };
  });
}

describe('GNU tar', () => {
  test.each(['v7', 'oldgnu', 'gnu', 'ustar', 'posix'])('--format=%s', async (format) => {
    const isOld = format === 'v7' || format === 'ustar';
    await roundTrip('tar', [`--format=${format}`, '--numeric-owner'], (dir) => {
      makeTree(dir, isOld);
    });
  });

  test.each([
    ['oldgnu', []],
    ['gnu', []],
    ['posix', ['--sparse-version=0.0']],
    ['posix', ['--sparse-version=0.1']],
    ['posix', ['--sparse-version=1.0']],
  ] as const)('--sparse --format=%s %j', async (format, more) => {
    for (const pieces of [0, 1, 4, 5, 100]) {
      await roundTrip('tar', ['--sparse', `--format=${format}`, ...more], (dir) => {
        makeTree(dir, false);
        makeSparse(dir, pieces);
      });
    }
  });

  test('times before 1970 and below the second', async () => {
    const { listing } = await roundTrip('tar', ['--format=posix'], (dir) => {
      makeTree(dir, false);
      execFileSync('touch', ['-d', '1965-01-01 00:00:00.25 UTC', path.join(dir, 'rootfs/empty')]);
      execFileSync('touch', [
        '-h',
        '-d',
        '2020-01-01 00:00:00.123456789 UTC',
        path.join(dir, 'rootfs/bin/tool-3'),
      ]);
    });
    expect(listing).toContain(' -157766400.250000 ');
    expect(listing).toContain(' 1577836800.123456 ');
  });

  test('times before 1970 in base 256', async () => {
    const { listing } = await roundTrip('tar', ['--format=gnu'], (dir) => {
      makeTree(dir, false);
      execFileSync('touch', ['-d', '1965-01-01 00:00:00 UTC', path.join(dir, 'rootfs/empty')]);
    });
    expect(listing).toContain(' -157766400 ');
  });

  test('extended attributes with any bytes, capabilities among them', async () => {
    const capability = '0x0100000200200000000000000000000000000000';
    const { specials } = await roundTrip(
      'tar',
      ['--format=posix', '--xattrs', '--xattrs-include=*'],
      (dir) => {
        makeTree(dir, false);
        execFileSync('setfattr', [
          '-n',
          'security.capability',
          '-v',
          capability,
          path.join(dir, 'rootfs/bin/tool'),
        ]);
        execFileSync('setfattr', [
          '-n',
          'trusted.mine',
          '-v',
          '0xff0a00c3',
          path.join(dir, 'rootfs/tmp'),
        ]);
      },
    );
    expect(
      specials.xattrs.map(({ path: file, name, value }) => [
        file,
        name,
        Buffer.from(value, 'latin1').toString('hex'),
      ]),
    ).toEqual(
      expect.arrayContaining([
        ['bin/tool', 'security.capability', capability.slice(2)],
        ['tmp', 'trusted.mine', 'ff0a00c3'],
      ]),
    );
  });

  test('FIFOs and device nodes', async () => {
    await withFolder(async (outer) => {
      const dir = path.join(outer, 'source');
      mkdirSync(dir);
      makeTree(dir, false);
      mkdirSync(path.join(dir, 'rootfs/dev'));
      execFileSync('mknod', [path.join(dir, 'rootfs/dev/null'), 'c', '1', '3']);
      execFileSync('mkfifo', [path.join(dir, 'rootfs/run')]);
      const apply = (
        root: string,
        files: {
          readonly nodes: readonly {
            readonly path: string;
            readonly kind: string;
            readonly major: number;
            readonly minor: number;
          }[];
        },
      ) => {
        for (const { path: file, kind, major, minor } of files.nodes) {
          const numbers = kind === 'p' ? [] : [String(major), String(minor)];
          execFileSync('mknod', [path.join(root, file), kind, ...numbers]);
        }
        return Promise.resolve([]);
      };
      const archive = pack(dir, 'tar', []);
      expectSameTree(dir, await unpack(outer, archive, { allowDevices: true, apply }));
    });
  });
});

describe('bsdtar', () => {
  test.each(['v7', 'ustar', 'pax', 'gnutar'])('--format=%s', async (format) => {
    const isOld = format === 'v7' || format === 'ustar';
    await roundTrip('bsdtar', [`--format=${format}`, '--numeric-owner'], (dir) => {
      makeTree(dir, isOld);
    });
  });

  test('extended attributes in both of its spellings, and sparse files', async () => {
    const { specials } = await roundTrip(
      'bsdtar',
      ['--format=pax', '--xattrs', '--read-sparse'],
      (dir) => {
        makeTree(dir, false);
        makeSparse(dir, 5);
        execFileSync('setfattr', [
          '-n',
          'user.a',
          '-v',
          '0x00ff',
          path.join(dir, 'rootfs/bin/tool'),
        ]);
      },
    );
    expect(specials.xattrs).toContainEqual({ path: 'bin/tool', name: 'user.a', value: '\0\xff' });
  });
});

test('holes stay holes, and long runs of zeros become some', async () => {
  await withFolder(async (outer) => {
    const dir = path.join(outer, 'source');
    mkdirSync(dir);
    makeTree(dir, false);
    writeFileSync(
      path.join(dir, 'rootfs/zeros'),
      Buffer.concat([Buffer.from('x'), Buffer.alloc(4 << 20)]),
    );
    const { root } = await unpack(outer, pack(dir, 'tar', []));
    expect(lstatSync(path.join(root, 'zeros')).size).toBe((4 << 20) + 1);
    expect(lstatSync(path.join(root, 'zeros')).blocks * 512).toBeLessThan(512 * 1024);
  });
});
