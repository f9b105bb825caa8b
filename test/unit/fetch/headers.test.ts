import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { mergeScopes } from '../../../src/fetch/registry/authorizer.ts';
import { backOffMs, parseRetryAfter } from '../../../src/fetch/registry/back-off.ts';
import { parseChallenges } from '../../../src/fetch/registry/challenge.ts';
import { cutIntoChunks } from '../../../src/fetch/registry/chunks.ts';
import { parseContentRange } from '../../../src/fetch/registry/content-range.ts';
import { renderRegistryErrors } from '../../../src/fetch/registry/failure.ts';
import { quote } from '../../../src/fetch/registry/quote.ts';

describe('parseChallenges', () => {
  it.each([
    [
      'Bearer realm="https://auth.example.com/token",service="registry",scope="repository:a/b:pull,push"',
      [
        {
          scheme: 'bearer',
          parameters: {
            realm: 'https://auth.example.com/token',
            service: 'registry',
            scope: 'repository:a/b:pull,push',
          },
        },
      ],
    ],
    ['Basic realm="a \\"b\\" c"', [{ scheme: 'basic', parameters: { realm: 'a "b" c' } }]],
    ['Basic', [{ scheme: 'basic', parameters: {} }]],
    [
      'Negotiate, Basic realm=x , Bearer Realm = "y" , service=z',
      [
        { scheme: 'negotiate', parameters: {} },
        { scheme: 'basic', parameters: { realm: 'x' } },
        { scheme: 'bearer', parameters: { realm: 'y', service: 'z' } },
      ],
    ],
    [
      'Negotiate YWJj==, Basic realm="x"',
      [
        { scheme: 'negotiate', parameters: {} },
        { scheme: 'basic', parameters: { realm: 'x' } },
      ],
    ],
    ['Bearer realm="first",realm="second"', [{ scheme: 'bearer', parameters: { realm: 'first' } }]],
    [',, ,Basic realm="",', [{ scheme: 'basic', parameters: { realm: '' } }]],
    ['Bearer realm="unfinished', [{ scheme: 'bearer', parameters: {} }]],
    ['', []],
    ['"', []],
  ])('reads %s', (header, challenges) => {
    expect(parseChallenges(header).slice(0, challenges.length)).toEqual(challenges);
  });

  it('reads what was written, in any order and spacing', () => {
    const token = fc.stringMatching(/^[A-Za-z][A-Za-z0-9_-]{0,8}$/);
    const challenge = fc.tuple(
      token,
      fc.uniqueArray(fc.tuple(token, fc.string()), {
        minLength: 1,
        maxLength: 4,
        selector: ([name]) => name.toLowerCase(),
      }),
    );
    const space = fc.constantFrom('', ' ', '\t', '  ');
    fc.assert(
      fc.property(fc.array(challenge, { maxLength: 3 }), space, space, (list, before, after) => {
        const header = list
          .map(([scheme, parameters]) => {
            const texts = parameters.map(
              ([name, value]) =>
                `${name}${before}=${after}"${value.replace(/["\\]/g, (c) => `\\${c}`)}"`,
            );
            return `${scheme} ${texts.join(`${before},${after}`)}`;
          })
          .join(`${after},${before}`);
        expect(parseChallenges(header)).toEqual(
          list.map(([scheme, parameters]) => ({
            scheme: scheme.toLowerCase(),
            parameters: Object.fromEntries(
              parameters.map(([name, value]) => [name.toLowerCase(), value]),
            ),
          })),
        );
      }),
    );
  });

  it('comes to an end, whatever it is given', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom(...Array.from('aB="\\, \t;/~')) }),
        (header) => {
          expect(Array.isArray(parseChallenges(header))).toBe(true);
        },
      ),
    );
  });
});

describe('parseContentRange', () => {
  it.each([
    ['bytes 5-9/10', { firstByte: 5, lastByte: 9, totalBytes: 10 }],
    ['Bytes 0-0/*', { firstByte: 0, lastByte: 0, totalBytes: undefined }],
    ['bytes 9-5/10', undefined],
    ['bytes 5-10/10', undefined],
    ['bytes */10', undefined],
    ['5-9/10', undefined],
    ['bytes -5/10', undefined],
    ['bytes 1e3-2e3/1e4', undefined],
    [`bytes 0-${'9'.repeat(20)}/*`, undefined],
    [undefined, undefined],
  ])('reads %s', (header, range) => {
    expect(parseContentRange(header)).toEqual(range);
  });

  it('never gives a range that lies outside of the whole', () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(), fc.nat(), (first, last, total) => {
        const range = parseContentRange(`bytes ${String(first)}-${String(last)}/${String(total)}`);
        expect(range !== undefined).toBe(first <= last && last < total);
      }),
    );
  });
});

describe('parseRetryAfter', () => {
  const now = Date.parse('2026-01-01T00:00:00Z');
  it.each([
    ['7', 7000],
    ['100000', 60_000],
    ['Thu, 01 Jan 2026 00:00:30 GMT', 30_000],
    ['Wed, 31 Dec 2025 00:00:00 GMT', 0],
    ['soon', undefined],
    ['-5 apples', undefined],
    [undefined, undefined],
  ])('reads %s', (header, waitMs) => {
    expect(parseRetryAfter(header, now, 60_000)).toBe(waitMs);
  });
});

describe('backOffMs', () => {
  it('doubles up to its end, at random between a half and the whole', () => {
    expect([1, 2, 3, 20].map((attempt) => backOffMs(attempt, 0))).toEqual([250, 500, 1000, 15_000]);
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1000 }),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (attempt, random) => {
          const wait = backOffMs(attempt, random);
          expect(wait).toBeGreaterThanOrEqual(250);
          expect(wait).toBeLessThanOrEqual(30_000);
        },
      ),
    );
  });
});

describe('renderRegistryErrors', () => {
  it('quotes what the registry says, so that no terminal obeys it', () => {
    const body = JSON.stringify({
      errors: [
        { code: 'DENIED', message: 'no \u001b[31maccess\n' },
        { code: 'odd code', message: '' },
      ],
    });
    expect(renderRegistryErrors(body)).toBe('DENIED: "no \\u001b[31maccess\\u000a", "odd code"');
  });

  it.each(['', '<html>', '{}', '{"errors":{}}', '{"errors":[1]}', 'null'])(
    'has nothing to quote in %s',
    (body) => {
      expect(renderRegistryErrors(body)).toBeUndefined();
    },
  );

  it('cuts what is long', () => {
    expect(quote('x'.repeat(1000)).length).toBeLessThan(310);
  });
});

describe('mergeScopes', () => {
  it('joins the actions on the same thing', () => {
    expect(
      mergeScopes(
        ['repository:b:pull', 'repository:a:push,pull'],
        ['repository:b:push', 'registry:catalog:*'],
      ),
    ).toEqual(['registry:catalog:*', 'repository:a:pull,push', 'repository:b:pull,push']);
  });
});

describe('cutIntoChunks', () => {
  it('gives the same bytes, in pieces of one length', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ maxLength: 20 })),
        fc.integer({ min: 1, max: 16 }),
        fc.nat({ max: 50 }),
        async (parts, size, skip) => {
          const whole = Buffer.concat(parts);
          const source = (async function* () {
            yield* await Promise.resolve(parts);
          })();
          const chunks: Uint8Array[] = [];
          for await (const chunk of cutIntoChunks(source, size, skip)) chunks.push(chunk);
          expect(Buffer.concat(chunks)).toEqual(whole.subarray(Math.min(skip, whole.length)));
          expect(chunks.slice(0, -1).every((chunk) => chunk.length === size)).toBe(true);
          expect(chunks.every((chunk) => chunk.length > 0)).toBe(true);
        },
      ),
    );
  });
});
