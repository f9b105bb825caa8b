import { describe, expect, it } from 'vitest';

import { parseReference } from '../../../src/fetch/ref.ts';
import { isOciReference, namesOf, parseNames } from '../../../src/image/oci-names.ts';

function nameOf(text: string, refName?: string): string {
  const reference = parseReference(text);
  if (!isOciReference(reference)) throw new Error(`${text} is no reference to an OCI image`);
  const { name, version } = namesOf(reference, refName);
  return version === undefined ? name : `${name}:${version}`;
}

describe('the name of an OCI image', () => {
  it('is that of its registry and repository, and the tag is its version', () => {
    expect(nameOf('docker://alpine:3.20')).toBe('docker.io/library/alpine:3.20');
    expect(nameOf('docker://127.0.0.1:5000/Team/app'.toLowerCase())).toBe(
      '127.0.0.1~5000/team/app:latest',
    );
  });

  it('is what an archive calls it, be that a whole reference, a name with a tag, or a tag', () => {
    expect(nameOf('oci-archive:x.tar', 'docker.io/library/alpine:3.20')).toBe(
      'docker.io/library/alpine:3.20',
    );
    expect(nameOf('oci-archive:x.tar', 'app:1.0')).toBe('app:1.0');
    expect(nameOf('oci-archive:/a/b/x.tar', '1.0')).toBe('x:1.0');
    expect(nameOf('oci-archive:/a/b/x.txz', undefined)).toBe('x');
    expect(nameOf('oci:/a/layout', 'latest')).toBe('layout:latest');
  });

  it('can be given', () => {
    expect(parseNames('example.com/app:2')).toMatchObject({
      name: 'example.com/app',
      version: '2',
    });
    expect(() => parseNames('No Name')).toThrow('is no name for an image');
  });
});
