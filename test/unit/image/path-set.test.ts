import fc from 'fast-check';
import { expect, test } from 'vitest';

import { PathSet } from '../../../src/image/tree/path-set.ts';

test('has what was added, and nothing else', () => {
  fc.assert(
    fc.property(fc.array(fc.string()), fc.array(fc.string()), (added, others) => {
      const set = new PathSet();
      for (const path of [...added, ...added]) set.add(path);
      expect(added.every((path) => set.has(path))).toBe(true);
      expect(others.filter((path) => set.has(path))).toEqual(
        others.filter((path) => added.includes(path)),
      );
    }),
  );
});

test('grows', () => {
  const set = new PathSet();
  for (let index = 0; index < 5000; index++) set.add(`a/${String(index)}`);
  for (let index = 0; index < 10_000; index++)
    expect(set.has(`a/${String(index)}`)).toBe(index < 5000);
});
