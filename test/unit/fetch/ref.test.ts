/** What the texts that people name images by mean. */
import fc from 'fast-check';
import { expect, test } from 'vitest';

import { JetpackError } from '../../../src/errors.ts';
import { isSameName } from '../../../src/fetch/image-name.ts';
import { isFileReference, renderFileReference } from '../../../src/fetch/files/open-source.ts';
import { parseReference } from '../../../src/fetch/ref.ts';

test.each([
  ['oci:/srv/images', { kind: 'oci-layout', dir: '/srv/images', ref: undefined }],
  ['oci:images:3.20', { kind: 'oci-layout', dir: 'images', ref: '3.20' }],
  ['oci:images:docker.io/a:1', { kind: 'oci-layout', dir: 'images', ref: 'docker.io/a:1' }],
  ['oci-archive:a.txz', { kind: 'oci-archive', file: 'a.txz', ref: undefined }],
  ['oci-archive:a.tar:', { kind: 'oci-archive', file: 'a.tar', ref: undefined }],
  ['docker-archive:a.tar:alpine:3', { kind: 'docker-archive', file: 'a.tar', ref: 'alpine:3' }],
  ['docker-archive:a.tar:@1', { kind: 'docker-archive', file: 'a.tar', ref: '@1' }],
  ['https://example.com/a.aci', { kind: 'url', url: 'https://example.com/a.aci' }],
  ['file:///srv/a.aci', { kind: 'file', file: '/srv/a.aci' }],
  ['./a.aci', { kind: 'file', file: './a.aci' }],
  ['/a.aci', { kind: 'file', file: '/a.aci' }],
  ['../a', { kind: 'file', file: '../a' }],
  ['sha512-0af', { kind: 'id', id: 'sha512-0af' }],
  ['example.com/app:1.0,arch=amd64', { kind: 'name', text: 'example.com/app:1.0,arch=amd64' }],
  ['a.aci', { kind: 'name', text: 'a.aci' }],
])('%s', (text, expected) => {
  expect(parseReference(text)).toEqual(expected);
});

test('docker:// leads to a registry', () => {
  expect(parseReference('docker://alpine:3.20')).toEqual({
    kind: 'docker',
    ref: { registry: 'docker.io', repository: 'library/alpine', tag: '3.20', digest: undefined },
  });
});

test.each([
  '',
  'oci:',
  'oci::ref',
  'docker-archive:',
  'docker://',
  'ftp://x/y',
  'file://host/x',
  'a\0b',
])('%j is refused', (text) => {
  expect(() => parseReference(text)).toThrow(JetpackError);
});

test('what lies in files is written as it was read', () => {
  const part = fc.stringMatching(/^[a-z/.@:]{1,12}$/);
  const kind = fc.constantFrom('oci', 'oci-archive', 'docker-archive');
  fc.assert(
    fc.property(kind, fc.stringMatching(/^[a-z/.@]{1,12}$/), part, (name, place, ref) => {
      const text = `${name}:${place}:${ref}`;
      const reference = parseReference(text);
      expect(isFileReference(reference) && renderFileReference(reference)).toBe(text);
    }),
  );
});

test.each([
  ['alpine:3', 'docker.io/library/alpine:3', true],
  ['alpine', 'alpine:latest', true],
  ['3.20', '3.20', true],
  ['alpine:3', 'alpine:4', false],
  ['not a name', 'not a name', true],
  ['not a name', 'NOT', false],
])('%s and %s: %s', (one, other, same) => {
  expect(isSameName(one, other)).toBe(same);
  expect(isSameName(other, one)).toBe(same);
});
