import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import {
  cloneArgv,
  createArgv,
  destroyArgv,
  listArgv,
  listByGetArgv,
  MAX_PROPERTY_BYTES,
  setArgv,
  unmountArgv,
} from '../../../src/zfs/argv.ts';
import { parseDatasetName, type DatasetName } from '../../../src/zfs/zfs.ts';

const name = 'tank/a' as DatasetName;
const seal = 'tank/i@seal' as DatasetName;

describe('zfs command lines', () => {
  it('set every property in the call that creates', () => {
    expect(
      createArgv(name, { properties: { mountpoint: '/m n', 'io.jetpack:x': 'y' }, parents: true }),
    ).toEqual(['create', '-p', '-o', 'mountpoint=/m n', '-o', 'io.jetpack:x=y', 'tank/a']);
    expect(cloneArgv(seal, name, { properties: { readonly: 'on' } })).toEqual([
      'clone',
      '-o',
      'readonly=on',
      'tank/i@seal',
      'tank/a',
    ]);
    expect(setArgv(name, { a: '1', b: '2' })).toEqual(['set', 'a=1', 'b=2', 'tank/a']);
  });

  it('use the flags that both implementations know', () => {
    expect(destroyArgv(name, { recursive: true })).toEqual(['destroy', '-r', 'tank/a']);
    expect(destroyArgv(name, {})).toEqual(['destroy', 'tank/a']);
    expect(unmountArgv(name, { force: true })).toEqual(['unmount', '-f', 'tank/a']);
    expect(listArgv(name, { depth: 1, types: ['snapshot'] })).toEqual([
      'list',
      '-Hp',
      '-d',
      '1',
      '-t',
      'snapshot',
      '-o',
      'name,type,origin,used,referenced,creation,mountpoint,mounted',
      'tank/a',
    ]);
    expect(listByGetArgv(name)).toEqual([
      'get',
      '-Hp',
      '-r',
      '-o',
      'name,property,value',
      'type,origin,used,referenced,creation,mountpoint,mounted',
      'tank/a',
    ]);
  });

  it('refuse property values that would break the output or abort the tool', () => {
    for (const value of ['a\tb', 'a\nb', 'a\0b', 'x'.repeat(MAX_PROPERTY_BYTES + 1)]) {
      expect(() => createArgv(name, { properties: { 'io.jetpack:x': value } })).toThrow(
        /io\.jetpack:x of tank\/a/,
      );
    }
  });
});

describe('dataset names', () => {
  it('take what ZFS takes and no options, spaces or empty parts', () => {
    for (const good of ['tank', 'tank/a/b', 'tank/a@s', 't/sha512-0f:x.y_z-1', 'a/_b']) {
      expect(parseDatasetName(good)).toBe(good);
    }
    for (const bad of [
      '',
      '-r',
      '/a',
      'a/',
      'a//b',
      'a@b@c',
      'a@b/c',
      'a b',
      'a/../b%',
      'a\n',
      'a#b',
      'x'.repeat(256),
    ]) {
      expect(parseDatasetName(bad)).toBeUndefined();
    }
  });

  it('never start with a dash, whatever the text', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const parsed = parseDatasetName(text);
        expect(parsed === undefined || /^[\w][\w.:@/-]*$/.test(parsed)).toBe(true);
      }),
    );
  });
});
