import fc from 'fast-check';
import { expect, test } from 'vitest';

import {
  escapeName,
  parseTreeListing,
  renderTreeEnd,
  renderTreeItem,
  renderTreeXattr,
  TREE_HEADER,
  type TreeItem,
  unescapeName,
} from '../../../src/image/tree/tree-listing.ts';

const name = fc
  .uint8Array({ minLength: 1, maxLength: 20 })
  .map((bytes) => Buffer.from(bytes).toString('latin1'));
const attributes = {
  path: name,
  mode: fc.nat(0o7777),
  uid: fc.nat(0xfffffffe),
  gid: fc.nat(0xfffffffe),
  mtime: fc.record({ seconds: fc.integer(), microseconds: fc.nat(999_999) }),
};
const item: fc.Arbitrary<TreeItem> = fc.oneof(
  fc.record({
    kind: fc.constant('f' as const),
    ...attributes,
    sizeBytes: fc.nat(),
    sha256: fc.stringMatching(/^[0-9a-f]{64}$/),
  }),
  fc.record({ kind: fc.constant('d' as const), ...attributes }),
  fc.record({ kind: fc.constant('l' as const), ...attributes, target: name }),
  fc.record({
    kind: fc.constantFrom('p' as const, 'c' as const, 'b' as const),
    ...attributes,
    major: fc.nat(),
    minor: fc.nat(),
  }),
  fc.record({ kind: fc.constant('h' as const), path: name, target: name }),
);

test('names of any bytes are one word of visible characters, and come back', () => {
  fc.assert(
    fc.property(name, (text) => {
      expect(escapeName(text)).toMatch(/^[!-~]+$/);
      expect(unescapeName(escapeName(text))).toBe(text);
    }),
  );
  expect(unescapeName(escapeName(''))).toBe('');
  expect(escapeName('.')).not.toBe(escapeName(''));
});

test('a listing comes back as it was written', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(item, { selector: ({ path }) => path, maxLength: 8 }),
      fc.array(fc.record({ path: name, name, value: fc.oneof(name, fc.constant('')) }), {
        maxLength: 4,
      }),
      (items, xattrs) => {
        const lines = [...items.map(renderTreeItem), ...xattrs.map(renderTreeXattr)];
        const text = TREE_HEADER + lines.join('') + renderTreeEnd(lines.length);
        const listing = parseTreeListing(text);
        expect([...(listing?.items.values() ?? [])]).toEqual(items);
        expect(listing?.xattrs).toEqual(xattrs);
      },
    ),
  );
});

test('half a listing is none', () => {
  const text = `${TREE_HEADER}d 0755 0 0 0 - - .\n${renderTreeEnd(1)}`;
  expect(parseTreeListing(text)?.items.size).toBe(1);
  for (let length = 0; length < text.length; length++)
    expect(parseTreeListing(text.slice(0, length))).toBeUndefined();
  expect(parseTreeListing(text.replace('d 0755', 'q 0755'))).toBeUndefined();
});
