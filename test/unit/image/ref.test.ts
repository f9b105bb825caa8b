import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { ImageError } from '../../../src/errors.ts';
import { parseImageRef } from '../../../src/image/ref.ts';
import { requireTrust } from '../../../src/trust/gate.ts';

describe('a name of an image', () => {
  test.each([
    ['example.com/app', { kind: 'name', name: 'example.com/app', labels: [] }],
    [
      'example.com/app:1.0',
      { name: 'example.com/app', labels: [{ name: 'version', value: '1.0' }] },
    ],
    [
      'app:1,arch=amd64,os=linux',
      {
        labels: [
          { name: 'version', value: '1' },
          { name: 'arch', value: 'amd64' },
          { name: 'os', value: 'linux' },
        ],
      },
    ],
    ['app,version=1', { labels: [{ name: 'version', value: '1' }] }],
    ['beef', { kind: 'name', name: 'beef', hexPrefix: 'beef' }],
    ['beef:1', { kind: 'name', name: 'beef', hexPrefix: undefined }],
    ['sha512-beef', { kind: 'id', hexPrefix: 'beef' }],
    ['sha512-tool', { kind: 'name', name: 'sha512-tool' }],
  ])('%s', (text, ref) => {
    expect(parseImageRef(text)).toMatchObject(ref);
  });

  test.each([
    '',
    ':1',
    'app:',
    'App',
    'app,',
    'app,arch',
    'app,=x',
    '../x',
    '/etc',
    'docker://x',
    'a b',
    '-rf',
  ])('%j names none', (text) => {
    expect(() => parseImageRef(text)).toThrow(ImageError);
  });

  test('is parsed or refused, whatever it is', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          expect(parseImageRef(text).text).toBe(text);
        } catch (error) {
          expect(error).toBeInstanceOf(ImageError);
        }
      }),
    );
  });
});

describe('the gate', () => {
  test('lets an image in that is signed, or that the user takes unsigned', () => {
    const signed = { kind: 'signed', fingerprint: 'AB', signer: 'me' } as const;
    expect(() => requireTrust('x', signed, { allowUnsigned: false })).not.toThrow();
    expect(() => requireTrust('x', { kind: 'unsigned' }, { allowUnsigned: true })).not.toThrow();
  });

  test('refuses others, and says how to take them', () => {
    let caught: unknown;
    try {
      requireTrust('app.aci', { kind: 'unsigned' }, { allowUnsigned: false });
    } catch (error) {
      caught = error;
    }
    expect(caught).toMatchObject({ code: 'IMAGE_UNSIGNED', message: 'app.aci is not signed' });
    expect(caught instanceof ImageError && caught.remedies.join()).toContain(
      '--insecure-options=image',
    );
  });
});
