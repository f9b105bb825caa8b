import fc from 'fast-check';
import * as z from 'zod/mini';
import { describe, expect, test } from 'vitest';

import {
  AcIdentifier,
  AcName,
  amountOf,
  AppName,
  findIsolator,
  ImageId,
  isStrictIdentifier,
  isStrictName,
  parseQuantity,
  PodUuid,
  renderPath,
} from '../../../src/schema/appc.ts';

const takes = (schema: z.ZodMiniType, value: unknown): boolean =>
  z.safeParse(schema, value).success;

describe('names', () => {
  test('that the specification allows are read', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[a-z0-9]+([-._~/][a-z0-9]+)*$/), (text) => {
        expect(takes(AcIdentifier, text)).toBe(true);
        expect(isStrictIdentifier(text)).toBe(true);
      }),
    );
    fc.assert(
      fc.property(fc.stringMatching(/^[a-z0-9]+(-[a-z0-9]+)*$/), (text) => {
        expect(takes(AcName, text)).toBe(true);
        expect(isStrictName(text)).toBe(true);
      }),
    );
  });

  test('are never empty, nor have a newline, a slash at an edge or a capital', () => {
    for (const text of ['', 'a\n', '\na', '/a', 'a/', 'A', 'a b', '..', 'é']) {
      expect([text, takes(AcIdentifier, text), takes(AcName, text)]).toEqual([text, false, false]);
    }
  });

  test('that are strict are read, whatever the text', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom('a', '0', '-', '.', '/', '_', 'B', '\n') }),
        (text) => {
          if (isStrictName(text)) expect(takes(AcName, text)).toBe(true);
          if (takes(AcName, text)) expect(takes(AcIdentifier, text)).toBe(true);
        },
      ),
    );
  });

  test('of apps have at most 63 characters', () => {
    expect(takes(AppName, 'a'.repeat(63))).toBe(true);
    expect(takes(AppName, 'a'.repeat(64))).toBe(false);
  });

  test('of 50 000 characters are judged at once', () => {
    const started = performance.now();
    expect(isStrictIdentifier(`${'a'.repeat(50_000)}!`)).toBe(false);
    expect(takes(AcIdentifier, `${'a-'.repeat(25_000)}!`)).toBe(false);
    expect(performance.now() - started).toBeLessThan(200);
  });
});

test('ids have one spelling', () => {
  const hex = 'ab'.repeat(64);
  expect(takes(ImageId, `sha512-${hex}`)).toBe(true);
  expect(takes(ImageId, `sha512-${hex.toUpperCase()}`)).toBe(false);
  expect(takes(ImageId, `sha512-${hex.slice(1)}`)).toBe(false);
  expect(takes(ImageId, `sha256-${hex}`)).toBe(false);
  expect(takes(PodUuid, '0b1c0c1e-0000-4000-8000-0123456789ab')).toBe(true);
  expect(takes(PodUuid, '../../../../../../../../../../etc/passwd')).toBe(false);
});

describe('quantities', () => {
  test.each([
    ['2', 2000],
    [2, 2000],
    ['0.3', 300],
    ['300m', 300],
    ['1.5', 1500],
    ['0.0001', 1],
    ['1K', 1_000_000],
    ['1k', 1_000_000],
    ['1Ki', 1_024_000],
  ] as const)('%s is %i thousandths', (text, thousandths) => {
    const quantity = parseQuantity(text);
    expect(quantity && amountOf(quantity, 1000)).toBe(thousandths);
  });

  test.each([
    ['1M', 1e6],
    ['1G', 1e9],
    ['1T', 1e12],
    ['1P', 1e15],
    ['1Mi', 2 ** 20],
    ['1.5Gi', 1.5 * 2 ** 30],
    ['1Ti', 2 ** 40],
    ['1Pi', 2 ** 50],
    ['1Ei', 2 ** 60],
    ['1E', 1e18],
  ] as const)('%s is %i', (text, amount) => {
    const quantity = parseQuantity(text);
    expect(quantity && amountOf(quantity)).toBe(amount);
  });

  test.each([
    '',
    '-1',
    '1 G',
    'G',
    '1Gb',
    '1.',
    '.5',
    '1e3',
    '0x10',
    'NaN',
    '١',
    'Infinity',
    '1__proto__',
  ])('%j is none', (text) => {
    expect(parseQuantity(text)).toBeUndefined();
  });

  test('are exact, however many digits they have', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 10n ** 18n }), fc.nat(999), (whole, thousandths) => {
        const quantity = parseQuantity(`${String(whole)}.${String(thousandths).padStart(3, '0')}`);
        if (quantity === undefined) throw new Error('none');
        expect((quantity.numerator * 1000n) / quantity.denominator).toBe(
          whole * 1000n + BigInt(thousandths),
        );
      }),
    );
  });
});

test('isolators are found by name, with their values parsed', () => {
  const isolators = z.parse(z.array(z.looseObject({ name: AcIdentifier, value: z.unknown() })), [
    { name: 'os/linux/no-new-privileges', value: true },
    { name: 'resource/memory', value: { limit: '64Mi' } },
  ]);
  expect(findIsolator(isolators, 'os/linux/no-new-privileges')).toBe(true);
  const limit = findIsolator(isolators, 'resource/memory')?.limit;
  expect(limit && amountOf(limit)).toBe(64 * 2 ** 20);
  expect(findIsolator(isolators, 'resource/cpu')).toBeUndefined();
});

test('paths of problems read like the code that would get there', () => {
  expect(renderPath(['app', 'mountPoints', 1, 'name'])).toBe('app.mountPoints[1].name');
  expect(renderPath(['value', 'net.ipv4.ip_forward'])).toBe('value["net.ipv4.ip_forward"]');
  expect(renderPath([])).toBe('');
});
