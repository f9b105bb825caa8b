import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import {
  parseGet,
  parseHolds,
  parseList,
  parseListByGet,
  parseUsage,
  UnexpectedOutput,
} from '../../../src/zfs/parse.ts';

describe('zfs list', () => {
  it('gives rows with exact numbers', () => {
    const stdout =
      'tank/a\tfilesystem\t-\t24576\t24576\t1795332513\t/mnt/a\tyes\n' +
      'tank/a/c\tfilesystem\ttank/i@seal\t0\t24576\t1795332515\tlegacy\tno\n' +
      'tank/a@s\tsnapshot\t-\t0\t24576\t1795332515\t-\t-\n';
    expect(parseList(stdout)).toEqual([
      {
        name: 'tank/a',
        type: 'filesystem',
        origin: undefined,
        usedBytes: 24576,
        referencedBytes: 24576,
        createdAtS: 1795332513,
        mountpoint: '/mnt/a',
        mounted: true,
      },
      {
        name: 'tank/a/c',
        type: 'filesystem',
        origin: 'tank/i@seal',
        usedBytes: 0,
        referencedBytes: 24576,
        createdAtS: 1795332515,
        mountpoint: 'legacy',
        mounted: false,
      },
      {
        name: 'tank/a@s',
        type: 'snapshot',
        origin: undefined,
        usedBytes: 0,
        referencedBytes: 24576,
        createdAtS: 1795332515,
        mountpoint: undefined,
        mounted: false,
      },
    ]);
    expect(parseList('')).toEqual([]);
  });

  it('gives the same rows from zfs get, where zfs list has no exact numbers', () => {
    const lines = (name: string, values: Readonly<Record<string, string>>) =>
      Object.entries(values)
        .map(([property, value]) => `${name}\t${property}\t${value}\n`)
        .join('');
    const stdout =
      lines('p/a', {
        type: 'filesystem',
        origin: '-',
        used: '1',
        referenced: '2',
        creation: '3',
        mountpoint: 'none',
        mounted: 'no',
      }) +
      lines('p/a@s', {
        type: 'snapshot',
        used: '0',
        referenced: '2',
        creation: '4',
        mountpoint: '-',
        mounted: '-',
      });
    expect(parseListByGet(stdout)).toMatchObject([
      {
        name: 'p/a',
        usedBytes: 1,
        referencedBytes: 2,
        createdAtS: 3,
        mountpoint: 'none',
        mounted: false,
        origin: undefined,
      },
      { name: 'p/a@s', type: 'snapshot', mountpoint: undefined, origin: undefined },
    ]);
  });

  it('either reads a text or says that it does not understand it', () => {
    const cell = fc.string().map((text) => text.replaceAll(/[\t\n]/g, ' '));
    const table = fc
      .array(fc.array(cell, { maxLength: 9 }).map((cells) => cells.join('\t')))
      .map((rows) => rows.join('\n'));
    fc.assert(
      fc.property(table, (text) => {
        for (const parse of [parseList, parseListByGet, parseGet, parseHolds]) {
          try {
            parse(text);
          } catch (error) {
            expect(error).toBeInstanceOf(UnexpectedOutput);
          }
        }
      }),
    );
  });

  it('gives back every row that it is given', () => {
    const row = fc.record({
      name: fc.stringMatching(/^[a-z]{1,8}(\/[a-z]{1,8}){0,3}$/),
      used: fc.nat(),
      origin: fc.option(fc.stringMatching(/^[a-z]+@[a-z]+$/), { nil: undefined }),
      mounted: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(row), (rows) => {
        const stdout = rows
          .map(
            (r) =>
              `${r.name}\tfilesystem\t${r.origin ?? '-'}\t${String(r.used)}\t0\t7\tnone\t${r.mounted ? 'yes' : 'no'}\n`,
          )
          .join('');
        expect(parseList(stdout)).toEqual(
          rows.map((r) => ({
            name: r.name,
            type: 'filesystem',
            origin: r.origin,
            usedBytes: r.used,
            referencedBytes: 0,
            createdAtS: 7,
            mountpoint: 'none',
            mounted: r.mounted,
          })),
        );
      }),
    );
  });
});

describe('zfs get', () => {
  it('leaves out what is not set, and keeps a dash that somebody set', () => {
    expect(
      parseGet('quota\t0\tdefault\nio.jetpack:a\t-\t-\nio.jetpack:b\t-\tlocal\norigin\t-\t-\n'),
    ).toEqual({
      quota: '0',
      'io.jetpack:b': '-',
    });
  });
});

describe('zfs holds', () => {
  it('gives the tags', () => {
    expect(parseHolds('a@h\tt2\tSun Nov 22 07:28 2026\na@h\tt\tSun Nov 22 07:28 2026\n')).toEqual([
      't2',
      't',
    ]);
  });
});

describe('the usage text of zfs', () => {
  const openzfs = parseUsage(
    "missing command\nusage: zfs command args ...\nwhere 'command' is one of the following:\n\n" +
      '\tcreate [-Pnpuv] [-o property=value] ... <filesystem>\n' +
      '\trename [-f] <filesystem|volume|snapshot> <filesystem|volume|snapshot>\n' +
      '\trename -u [-f] <filesystem> <filesystem>\n' +
      '\tlist [-Hp] [-j [--json-int]] [-r|-d max] [-o property[,...]] [-s property]...\n' +
      '\tdiff [-FHth] <snapshot> [snapshot|filesystem]\n\tprogram [-jn] [-t <instruction limit>]\n',
  );
  const fuse = parseUsage(
    '\tcreate [-p] [-o property=value] ... <filesystem>\n\trename -p <filesystem|volume> <filesystem|volume>\n' +
      '\tlist [-rH][-d max] [-o property[,...]] [-t type[,...]] [-s property] ...\n',
  );

  it('tells the commands and their options of OpenZFS', () => {
    expect(openzfs.has('diff') && openzfs.has('program')).toBe(true);
    expect(openzfs.takes('create', 'u') && openzfs.takes('rename', 'u')).toBe(true);
    expect(openzfs.takes('list', 'p') && openzfs.takes('list', 'j')).toBe(true);
    expect(openzfs.takes('diff', 'u')).toBe(false);
  });

  it('tells what zfs-fuse lacks', () => {
    expect(fuse.has('diff') || fuse.has('program')).toBe(false);
    expect(
      fuse.takes('list', 'p') ||
        fuse.takes('list', 'j') ||
        fuse.takes('create', 'u') ||
        fuse.takes('rename', 'u'),
    ).toBe(false);
    expect(fuse.takes('list', 'H') && fuse.takes('create', 'p')).toBe(true);
  });
});
