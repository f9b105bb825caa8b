/**
 * Archives that are changed at random, thousands of them, always the same ones: whatever comes out, it is a tree in its folder or an error of ours.
 * Headers get their sums right again, so that what is behind the sums is reached.
 */
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { gzipSync } from 'node:zlib';

import { expect, test } from 'vitest';

import { JetpackError } from '../../../src/errors.ts';
import type { ApplySpecialFiles } from '../../../src/image/tree/special-files.ts';
import { foldTreeListings } from '../../../src/image/tree/tree-fold.ts';
import { addLayer, standIns } from '../../support/layers.ts';
import { aci, longMember, member, tar, type TarMember } from '../../support/tar.ts';
import { unpack } from '../../support/unpack.ts';

const ROUNDS = 500;
const BLOCK = 512;
const LIMITS = { entries: 200, treeBytes: 1 << 20, tarBytes: 1 << 22, headerBytes: 1 << 16 };

/** Numbers from 0 to below `limit`, the same ones in every run (xorshift). */
function createRandom(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % limit;
  };
}

const common: readonly TarMember[] = [
  { name: 'bin/', mode: 0o755 },
  { name: 'bin/tool', data: 'x'.repeat(1500), mode: 0o4755, uid: 7, gid: 8 },
  { name: 'bin/link', type: '2', link: '../lib' },
  { name: 'bin/hard', type: '1', link: 'bin/tool' },
  {
    name: 'lib/a',
    data: 'a',
    pax: { mtime: '1.5', 'SCHILY.xattr.user.a': 'v', path: 'lib/long/a' },
  },
  { name: 'fifo', type: '6' },
  { name: 'dev/null', type: '3', device: [1, 3] },
  {
    name: 'sparse',
    data: 'abc',
    pax: {
      'GNU.sparse.major': '0',
      'GNU.sparse.minor': '1',
      'GNU.sparse.size': '5000',
      'GNU.sparse.map': '0,1,4000,2',
    },
  },
  { name: 'last', data: 'z'.repeat(600), uid: 3_000_000, mtime: 2 ** 40 },
];
const below = common.map((one) => ({
  ...one,
  name: `rootfs/${one.name}`,
  ...(one.type === '1' ? { link: `rootfs/${one.link ?? ''}` } : {}),
  ...(one.name === 'lib/a' ? { pax: { path: 'rootfs/lib/long/a', mtime: '-1.5' } } : {}),
}));
const whiteouts: readonly TarMember[] = [
  { name: 'bin/.wh.tool' },
  { name: 'd/.wh..wh..opq' },
  { name: '.wh.lib' },
  { name: 'd/sub/new', data: 'new' },
  { name: 'bin/', mode: 0o700 },
];
const longNames = Buffer.concat([
  longMember('L', 'd/'.repeat(60)),
  member({ name: 'x', type: '5', magic: 'gnu' }),
  longMember('K', 'e/'.repeat(80)),
  member({ name: 'y', type: '2', link: 'z', magic: 'gnu' }),
]);

const layers: readonly Buffer[] = [
  tar(common),
  tar([...whiteouts, ...common.slice(4)]),
  Buffer.concat([longNames, tar(whiteouts)]),
  tar([...common.map((one) => ({ ...one, magic: 'v7' as const })), ...whiteouts]),
];
const acis: readonly Buffer[] = [aci(below), aci(below.slice(3).reverse())];

function changed(
  seed: Buffer,
  others: readonly Buffer[],
  random: (limit: number) => number,
): Buffer {
  let bytes: Buffer = Buffer.from(seed);
  for (let count = 1 + random(4); count > 0; count--) {
    const blocks = Math.floor(bytes.length / BLOCK);
    if (blocks < 2) break;
    const at = random(blocks) * BLOCK;
    switch (random(7)) {
      case 0:
        bytes[random(bytes.length)] = random(256);
        break;
      case 1:
      case 2:
        changeHeader(bytes, at, random);
        break;
      case 3: {
        const block = Buffer.from(bytes.subarray(at, at + BLOCK));
        block.copy(bytes, random(blocks) * BLOCK);
        break;
      }
      case 4:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + BLOCK)]);
        break;
      case 5: {
        const other = others[random(others.length)] ?? seed;
        const from = random(Math.floor(other.length / BLOCK)) * BLOCK;
        bytes = Buffer.concat([bytes.subarray(0, at), other.subarray(from)]);
        break;
      }
      default:
        if (random(4) === 0) bytes = bytes.subarray(0, random(bytes.length));
    }
  }
  return bytes;
}

const VALUES = [
  '..',
  '../\0',
  '/',
  'bin/link',
  '\xff',
  '0777777777777',
  '\x80\0\0\0\xff\xff\xff\xff',
  'rootfs/../',
  '.wh.',
  '1',
  '2',
  '5',
  'L',
  'x',
  'g',
  'S',
];
/** Where the fields of a header begin: name, mode, owners, size, time, type, link, magic, device numbers, prefix. */
const FIELDS = [0, 100, 108, 116, 124, 136, 156, 157, 257, 329, 337, 345];

/** A block that is no header gets the sum of one. */
function changeHeader(bytes: Buffer, at: number, random: (limit: number) => number): void {
  const field = at + (FIELDS[random(FIELDS.length)] ?? 0);
  if (random(2) === 0) bytes.write(VALUES[random(VALUES.length)] ?? '', field, 'latin1');
  else bytes[field + random(8)] = random(256);
  let sum = 8 * 0x20;
  for (let index = 0; index < BLOCK; index++) {
    if (index < 148 || index > 155) sum += bytes[at + index] ?? 0;
  }
  bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, at + 148, 'latin1');
}

/** The code, or `no error`; anything else is a defect, told with the round that shows it. */
async function codeOf(round: number, work: () => Promise<unknown>): Promise<string> {
  try {
    await work();
    return 'no error';
  } catch (error) {
    if (error instanceof JetpackError) return error.code;
    throw new Error(`round ${String(round)}`, { cause: error });
  }
}

test('no change of an archive writes outside, crashes, or takes all memory', async () => {
  const random = createRandom(0x6a657470);
  const apply: ApplySpecialFiles = (root, files) => {
    standIns(root, files);
    return Promise.resolve([]);
  };
  const codes = new Map<string, number>();
  const outer = mkdtempSync('/tmp/jetpack-fuzz-');
  try {
    const victim = path.join(outer, 'victim');
    writeFileSync(victim, 'untouched');
    const all = [...layers, ...acis];
    const before = process.memoryUsage().rss;
    for (let round = 0; round < ROUNDS; round++) {
      const isAci = random(3) === 0;
      const seeds = isAci ? acis : layers;
      const mutant = changed(seeds[random(seeds.length)] ?? Buffer.alloc(0), all, random);
      const bytes = random(8) === 0 ? gzipSync(mutant, { level: 1 }) : mutant;
      const root = path.join(outer, 'root');
      const code = await codeOf(round, async () => {
        if (isAci) {
          await unpack(outer, bytes, { limits: LIMITS, pieceBytes: 700, apply });
          return;
        }
        mkdirSync(root);
        const lower = await addLayer(root, layers[0] ?? Buffer.alloc(0), {
          isLowest: true,
          onApply: standIns,
        });
        const upper = await addLayer(root, bytes, {
          limits: LIMITS,
          hasOtherDigest: true,
          onApply: standIns,
          pieceBytes: 700,
        });
        // Nodes are not made here, so the tree is another; but the listing must be one over the lower one's.
        expect(foldTreeListings([lower.listing, upper.listing])).toBeDefined();
      });
      codes.set(code, (codes.get(code) ?? 0) + 1);
      expect([round, ...readdirSync(outer).sort()]).toEqual([round, 'root', 'victim']);
      rmSync(root, { recursive: true });
    }
    expect(readFileSync(victim, 'utf8')).toBe('untouched');
    expect(lstatSync(victim).nlink).toBe(1);
    expect(process.memoryUsage().rss - before).toBeLessThan(300 << 20);
  } finally {
    rmSync(outer, { recursive: true, force: true });
  }
  // The changes are worth something only if they get past the first checks.
  expect(codes.get('no error')).toBeGreaterThan(ROUNDS / 20);
  for (const code of [
    'ARCHIVE_CORRUPT',
    'ARCHIVE_DUPLICATE',
    'ARCHIVE_ENTRY_TYPE',
    'ARCHIVE_ESCAPE',
    'ARCHIVE_HARD_LINK',
    'ARCHIVE_TRUNCATED',
    'ARCHIVE_WHITEOUT',
  ])
    expect([code, codes.get(code) ?? 0]).toEqual([code, expect.toSatisfy((count) => count > 0)]);
}, 120_000);
