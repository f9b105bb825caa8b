/** The parts of the tar reader: names, extended headers, times, maps of sparse files, the first bytes. */
import { gzipSync } from 'node:zlib';

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { parseNumber } from '../../../src/formats/tar/header.ts';
import { displayName, normaliseName } from '../../../src/formats/tar/names.ts';
import { parsePax, parsePaxTime } from '../../../src/formats/tar/pax.ts';
import { sniffCompression } from '../../../src/formats/tar/sniff.ts';
import { checkPieces, parseDataPieces } from '../../../src/formats/tar/sparse.ts';
import { paxRecord, tar } from '../../support/tar.ts';

const limits = { pathBytes: 4096, componentBytes: 255 };
const anyPath = fc
  .array(fc.constantFrom('a', 'b c', '.', '..', '', '\xe9', '...', '.a', 'a.'), { maxLength: 6 })
  .map((parts) => parts.join('/'))
  .filter((text) => text !== '');

describe('names', () => {
  test('lose leading slashes, dots and what is empty', () => {
    for (const name of ['a/b', '/a/b', './a/b', '//a///b/', 'a/./b/.', '././/a//./b']) {
      expect(normaliseName(name, limits)).toBe('a/b');
    }
    for (const name of ['/', '.', './', '//.//']) expect(normaliseName(name, limits)).toBe('');
  });

  test('never lead out of the root, and have one spelling', () => {
    fc.assert(
      fc.property(anyPath, (name) => {
        const hasParent = name.split('/').includes('..');
        if (hasParent) expect(() => normaliseName(name, limits)).toThrow('leads out of it');
        else {
          const normal = normaliseName(name, limits);
          expect(normal).toBe(
            name
              .split('/')
              .filter((part) => part !== '' && part !== '.')
              .join('/'),
          );
          if (normal !== '') expect(normaliseName(`./${normal}/`, limits)).toBe(normal);
        }
      }),
    );
  });

  test('are shown as UTF-8 where they are, and without what moves a cursor or the direction of writing', () => {
    expect(displayName(Buffer.from('é').toString('latin1'))).toBe('"é"');
    expect(displayName('\xe9')).toBe('"é"');
    expect(displayName('a\x1b[2J\n')).toBe('"a\\u001b[2J\\n"');
    expect(displayName(Buffer.from('\u202e').toString('latin1'))).toBe('"\\u202e"');
    expect(displayName('x'.repeat(5000)).length).toBeLessThan(320);
  });
});

describe('extended headers', () => {
  test('give back whatever was put in, byte for byte', () => {
    const bytes = fc
      .uint8Array({ maxLength: 300 })
      .map((data) => Buffer.from(data).toString('latin1'));
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.stringMatching(/^[A-Za-z.]{1,20}$/), bytes), { maxLength: 5 }),
        (records) => {
          const block = Buffer.concat(records.map(([key, value]) => paxRecord(key, value)));
          expect(parsePax(block)).toEqual(records.map(([key, value]) => ({ key, value })));
        },
      ),
    );
  });

  test.each([
    'x',
    '5 a=b',
    '6 a=b',
    '0 a=b\n',
    '-6 a=b\n',
    '7 a=b\n',
    '6 a_b\n',
    '999999999999 a=b\n',
  ])('%j is malformed', (text) => {
    expect(() => parsePax(Buffer.from(text))).toThrow('malformed');
  });

  test.each([
    ['0', 0, 0],
    ['1.5', 1, 500_000_000],
    ['-1', -1, 0],
    ['-1.25', -2, 750_000_000],
    ['-0.000000001', -1, 999_999_999],
    ['1700000000.1234567899', 1_700_000_000, 123_456_789],
    ['12.', 12, 0],
  ])('the time %s', (text, seconds, nanoseconds) => {
    expect(parsePaxTime(text)).toEqual({ seconds, nanoseconds });
  });

  test('a time that is none', () => {
    for (const text of ['', '.5', '1e9', 'x', '1.-5', '99999999999999999999'])
      expect(parsePaxTime(text)).toBeUndefined();
  });
});

test.each([
  ['0000644\0', 0o644],
  ['   644 \0', 0o644],
  ['\0\0\0\0\0\0\0\0', 0],
  ['\x80\0\0\0\0\x01\0\0', 65536],
  ['\xff\xff\xff\xff\xff\xff\xff\xff', -1],
  ['0000648\0', undefined],
  ['0x00000\0', undefined],
  ['\xef\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff', undefined],
])('the number %j in a header is %j', (text, number) => {
  expect(parseNumber(Buffer.from(text, 'latin1'), 0, text.length)).toBe(number);
});

describe('the map of a sparse file', () => {
  test('is read once it is whole', () => {
    expect(parseDataPieces('2\n0\n10\n20\n')).toBeUndefined();
    expect(parseDataPieces('2\n0\n10\n20\n5\n')).toEqual([
      { offset: 0, length: 10 },
      { offset: 20, length: 5 },
    ]);
  });

  test('is refused when its pieces overlap, lie outside, or are longer than the data', () => {
    const piece = (offset: number, length: number) => ({ offset, length });
    expect(() => checkPieces([piece(0, 10), piece(9, 1)], 100, 11, 'x')).toThrow('overlap');
    expect(() => checkPieces([piece(95, 10)], 100, 10, 'x')).toThrow('outside');
    expect(() => checkPieces([piece(0, 600)], 1000, 10, 'x')).toThrow('not as long as its data');
    expect(() => checkPieces([piece(0, 10), piece(20, 5)], 100, 15, 'x')).not.toThrow();
  });
});

describe('what a file is', () => {
  const plain = tar([{ name: 'a' }]);

  test.each([
    ['none', plain],
    ['none', tar([{ name: 'a', magic: 'v7' }])],
    ['none', tar([{ name: 'a', magic: 'gnu' }])],
    ['gzip', gzipSync(plain)],
    ['xz', Buffer.from('fd377a585a0000', 'hex')],
    ['bzip2', Buffer.from('BZh91AY')],
    ['zstd', Buffer.from('28b52ffd00', 'hex')],
  ])('%s', (compression, bytes) => {
    expect(sniffCompression(bytes)).toBe(compression);
  });

  test('nothing that is understood', () => {
    for (const bytes of [
      Buffer.alloc(0),
      Buffer.alloc(2048),
      Buffer.from('#!/bin/sh\n'.repeat(100)),
      plain.subarray(0, 200),
    ]) {
      expect(sniffCompression(bytes)).toBeUndefined();
    }
  });
});
