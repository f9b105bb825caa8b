/** What an archive must not do to the host, each attack with the error that stops it. */
import {
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { bzip2Compress, xzCompress } from '../../support/compress.ts';
import { gzipSync, zstdCompressSync } from 'node:zlib';

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { ArchiveError } from '../../../src/errors.ts';
import { aci, END, longMember, MANIFEST, member, tar } from '../../support/tar.ts';
import { ACI_ATTACKS } from '../../support/hostile-members.ts';
import { archiveErrorOf, unpack, type UnpackOptions, withFolder } from '../../support/unpack.ts';

/** The error, having made sure that nothing was made outside of the root. */
async function errorOf(archive: Buffer, options: UnpackOptions = {}): Promise<string> {
  return withFolder(async (outer) => {
    const victim = path.join(outer, 'victim');
    writeFileSync(victim, 'untouched');
    const code = await archiveErrorOf(unpack(outer, archive, options));
    expect(readdirSync(outer).sort()).toEqual(['root', 'victim']);
    expect(readFileSync(victim, 'utf8')).toBe('untouched');
    expect(lstatSync(victim).nlink).toBe(1);
    return code;
  });
}

describe('an archive is refused when it has', () => {
  test.each(ACI_ATTACKS)('%s', async (_, members, code) => {
    expect(await errorOf(aci(members))).toBe(code);
  });

  test('a manifest that is a symlink', async () => {
    const archive = tar([
      { name: 'manifest', type: '2', link: '/etc/passwd' },
      { name: 'rootfs/' },
    ]);
    expect(await errorOf(archive)).toBe('ARCHIVE_LAYOUT');
  });

  test('no manifest', async () => {
    expect(await errorOf(tar([{ name: 'rootfs/' }]))).toBe('ARCHIVE_LAYOUT');
  });

  test('no rootfs', async () => {
    expect(await errorOf(tar([{ name: 'manifest', data: '{}' }]))).toBe('ARCHIVE_LAYOUT');
  });

  test('a manifest beyond the limit', async () => {
    const archive = tar([{ name: 'manifest', data: 'x'.repeat(101) }, { name: 'rootfs/' }]);
    expect(await errorOf(archive, { limits: { manifestBytes: 100 } })).toBe(
      'ARCHIVE_MANIFEST_TOO_LARGE',
    );
  });

  test('more entries than allowed', async () => {
    const members = Array.from({ length: 50 }, (_, index) => ({ name: `rootfs/${String(index)}` }));
    expect(await errorOf(aci(members), { limits: { entries: 40 } })).toBe(
      'ARCHIVE_TOO_MANY_ENTRIES',
    );
  });

  test('more bytes in its files than allowed', async () => {
    const members = [
      { name: 'rootfs/a', data: 'x'.repeat(600) },
      { name: 'rootfs/b', data: 'x'.repeat(600) },
    ];
    expect(await errorOf(aci(members), { limits: { treeBytes: 1000 } })).toBe('ARCHIVE_TOO_LARGE');
  });

  test('a hole of exabytes', async () => {
    const sparse = {
      'GNU.sparse.major': '0',
      'GNU.sparse.minor': '1',
      'GNU.sparse.size': String(2 ** 52),
      'GNU.sparse.map': '0,0',
    };
    expect(await errorOf(aci([{ name: 'rootfs/a', pax: sparse }]))).toBe('ARCHIVE_TOO_LARGE');
  });

  test.each([
    ['gzip', (bytes: Buffer) => gzipSync(bytes)],
    ['zstd', (bytes: Buffer) => zstdCompressSync(bytes)],
    ['xz', xzCompress],
    ['bzip2', bzip2Compress],
  ])('a %s bomb', async (_, compress) => {
    const bomb = compress(aci([{ name: 'rootfs/zeros', data: Buffer.alloc(8 * 1024 * 1024) }]));
    const limits = { ratio: 100, ratioFromBytes: 1024 * 1024 };
    expect(await errorOf(bomb, { limits })).toBe('ARCHIVE_RATIO');
    expect(await errorOf(bomb, { limits: { tarBytes: 4 * 1024 * 1024 } })).toBe(
      'ARCHIVE_TOO_LARGE',
    );
  });

  test('data behind its end mark', async () => {
    const archive = Buffer.concat([aci([]), member({ name: 'rootfs/hidden', data: 'x' }), END]);
    expect(await errorOf(archive)).toBe('ARCHIVE_TRAILING_DATA');
    expect(await errorOf(Buffer.concat([aci([]), Buffer.from('x')]))).toBe('ARCHIVE_TRAILING_DATA');
  });

  test('a block of zeros between its entries', async () => {
    const archive = Buffer.concat([
      tar([], Buffer.alloc(0)),
      aci([]).subarray(0, -1024),
      Buffer.alloc(512),
      aci([]),
    ]);
    expect(await errorOf(archive)).toBe('ARCHIVE_CORRUPT');
  });

  test('a long name that belongs to nothing', async () => {
    const archive = Buffer.concat([aci([]).subarray(0, -1024), longMember('L', 'rootfs/x'), END]);
    expect(await errorOf(archive)).toBe('ARCHIVE_CORRUPT');
  });
});

const whole = aci([
  { name: 'rootfs/a', data: 'x'.repeat(700), pax: { mtime: '1.5' } },
  { name: 'rootfs/b', type: '2', link: 'a' },
  { name: 'rootfs/c/', mode: 0o700 },
]);

describe('a truncated archive', () => {
  test('is refused at every border of a block', async () => {
    for (let length = 512; length < whole.length; length += 512) {
      const code = await errorOf(whole.subarray(0, length));
      expect([length, code]).toEqual([length, 'ARCHIVE_TRUNCATED']);
    }
  });

  test('is refused wherever it ends', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 512, max: whole.length - 1 }), async (length) => {
        expect(await errorOf(whole.subarray(0, length))).toBe('ARCHIVE_TRUNCATED');
      }),
      { numRuns: 60 },
    );
  });

  test.each([
    ['gzip', (bytes: Buffer) => gzipSync(bytes)],
    ['zstd', (bytes: Buffer) => zstdCompressSync(bytes)],
    ['xz', xzCompress],
    ['bzip2', bzip2Compress],
  ])('is refused wherever its %s data ends', async (_, compress) => {
    const bytes = compress(whole);
    for (let length = bytes.length - 1; length > 8; length -= Math.ceil(bytes.length / 12)) {
      const code = await errorOf(bytes.subarray(0, length));
      expect([length, code]).toEqual([length, 'ARCHIVE_TRUNCATED']);
    }
  });

  test.each([
    ['gzip', (bytes: Buffer) => gzipSync(bytes)],
    ['zstd', (bytes: Buffer) => zstdCompressSync(bytes)],
    ['xz', xzCompress],
    ['bzip2', bzip2Compress],
  ])('or longer than its %s data is refused', async (_, compress) => {
    const garbage = Buffer.concat([
      compress(whole),
      Buffer.from('garbage, and more of it, for a whole line'),
    ]);
    expect(await errorOf(garbage)).toBe('ARCHIVE_TRAILING_DATA');
    expect(await errorOf(garbage, { pieceBytes: 7 })).toBe('ARCHIVE_TRAILING_DATA');
  });
});

describe('a source that fails', () => {
  test.each([
    ['no', (bytes: Buffer) => bytes],
    ['gzip', (bytes: Buffer) => gzipSync(bytes)],
    ['zstd', (bytes: Buffer) => zstdCompressSync(bytes)],
    ['xz', xzCompress],
    ['bzip2', bzip2Compress],
  ])('ends the work with its own error, with %s compression', async (_, compress) => {
    const bytes = compress(whole);
    async function* failing(): AsyncGenerator<Buffer> {
      await Promise.resolve();
      yield bytes.subarray(0, bytes.length / 2);
      throw new Error('the line is cut');
    }
    await withFolder(async (outer) => {
      await expect(unpack(outer, failing())).rejects.toThrow('the line is cut');
    });
  });
});

describe('a source that has stopped to give anything', () => {
  const stalled = (bytes: Buffer, signal: AbortSignal) =>
    async function* stall(): AsyncGenerator<Buffer> {
      yield bytes;
      await new Promise((resolve) => {
        signal.addEventListener('abort', resolve);
      });
    };

  test.each([
    ['no', (bytes: Buffer) => bytes],
    ['gzip', (bytes: Buffer) => gzipSync(bytes)],
    ['zstd', (bytes: Buffer) => zstdCompressSync(bytes)],
    ['xz', xzCompress],
    ['bzip2', bzip2Compress],
  ])('does not keep the user from stopping the work, with %s compression', async (_, compress) => {
    const forever = new AbortController();
    const user = new AbortController();
    const bytes = compress(whole);
    await withFolder(async (outer) => {
      const source = stalled(bytes.subarray(0, bytes.length - 20), forever.signal)();
      const work = unpack(outer, source, { signal: user.signal });
      setTimeout(() => {
        user.abort(new Error('stopped by the user'));
      }, 50);
      await expect(work).rejects.toThrow('stopped by the user');
    });
    forever.abort();
  });

  test.each([
    ['no', (bytes: Buffer) => bytes],
    ['gzip', (bytes: Buffer) => gzipSync(bytes)],
    ['zstd', (bytes: Buffer) => zstdCompressSync(bytes)],
  ])('does not keep an error from being told, with %s compression', async (_, compress) => {
    const forever = new AbortController();
    const bytes = compress(aci([{ name: 'rootfs/../x' }]));
    await withFolder(async (outer) => {
      const work = unpack(outer, stalled(bytes, forever.signal)());
      expect(await archiveErrorOf(work)).toBe('ARCHIVE_ESCAPE');
    });
    forever.abort();
  });
});

describe('whatever bytes are changed', () => {
  test('nothing is written outside, and every failure is an error of ours', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 }),
        async (changes) => {
          const bytes = Buffer.from(whole);
          for (const [at, byte] of changes) bytes[at] = byte;
          const code = await errorOf(bytes);
          expect(code === 'no error' || code.startsWith('ARCHIVE_')).toBe(true);
        },
      ),
      { numRuns: 150 },
    );
  });
});

describe('names are bytes', () => {
  test('newlines, spaces, latin1 and UTF-8 survive as they are', async () => {
    await withFolder(async (outer) => {
      const names = [
        'new\nline',
        'sp ace',
        'caf\xe9',
        Buffer.from('café').toString('latin1'),
        '\\',
        '\x01',
      ];
      const { root } = await unpack(
        outer,
        aci(names.map((name) => ({ name: `rootfs/${name}`, data: name }))),
      );
      expect(readdirSync(root, { encoding: 'latin1' }).sort()).toEqual(names.sort());
      expect(
        existsSync(Buffer.concat([Buffer.from(`${root}/`), Buffer.from([0x63, 0x61, 0x66, 0xe9])])),
      ).toBe(true);
    });
  });

  test('so are the targets of symlinks', async () => {
    await withFolder(async (outer) => {
      const { root } = await unpack(
        outer,
        aci([{ name: 'rootfs/l', type: '2', link: '/caf\xe9' }]),
      );
      expect(readlinkSync(`${root}/l`, { encoding: 'buffer' }).toString('latin1')).toBe('/caf\xe9');
    });
  });
});

test('an error names the entry, without control characters', async () => {
  await withFolder(async (outer) => {
    const archive = aci([{ name: 'rootfs/\x1b[2J/../x' }]);
    const error: unknown = await unpack(outer, archive).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(ArchiveError);
    expect(error).toMatchObject({ entry: '"rootfs/\\u001b[2J/../x"' });
    expect(String(error)).not.toContain('\x1b');
    expect(MANIFEST.name).toBe('example.com/test');
  });
});
