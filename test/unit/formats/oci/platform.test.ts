/** Which image of an index is for a host. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { FetchError } from '../../../../src/errors.ts';
import {
  choosePlatform,
  matchPlatform,
  noPlatform,
  normalisePlatform,
  parsePlatform,
  renderPlatform,
} from '../../../../src/formats/oci/platform.ts';
import { MEDIA_TYPES, type OciIndexEntry, parseIndex } from '../../../../src/schema/oci.ts';

const digestOf = (n: number) => `sha256:${String(n).padStart(64, '0')}`;

function entries(...platforms: readonly (string | undefined)[]): readonly OciIndexEntry[] {
  const manifests = platforms.map((text, n) => {
    const [os, architecture, variant] = text?.split('/') ?? [];
    return {
      mediaType: MEDIA_TYPES.ociManifest,
      digest: digestOf(n),
      size: 1,
      ...(text === undefined ? {} : { platform: { os, architecture, variant } }),
    };
  });
  return parseIndex({ schemaVersion: 2, manifests: JSON.parse(JSON.stringify(manifests)) })
    .manifests;
}

function chosen(arch: string, ...platforms: readonly (string | undefined)[]): string | undefined {
  const list = entries(...platforms);
  const { entry } = choosePlatform(list, parsePlatform('linux', arch));
  return entry === undefined ? undefined : platforms[list.indexOf(entry)];
}

describe('the choice', () => {
  test.each([
    ['amd64', 'linux/amd64', ['linux/arm64', 'linux/amd64', 'windows/amd64']],
    ['x86_64', 'linux/amd64', ['linux/386', 'linux/amd64']],
    ['amd64', undefined, ['linux/arm64', 'windows/amd64', 'linux/386']],
    // The variant that was asked for, else the best that still runs.
    ['arm/v7', 'linux/arm/v7', ['linux/arm/v5', 'linux/arm/v6', 'linux/arm/v7', 'linux/arm/v8']],
    ['arm/v8', 'linux/arm/v7', ['linux/arm/v5', 'linux/arm/v7', 'linux/arm/v6']],
    ['arm/v6', 'linux/arm/v5', ['linux/arm/v7', 'linux/arm/v5']],
    ['arm/v5', undefined, ['linux/arm/v7', 'linux/arm/v6']],
    ['arm', 'linux/arm', ['linux/arm/v6', 'linux/arm']],
    ['armv6l', 'linux/arm/v6', ['linux/arm', 'linux/arm/v6']],
    ['arm64', 'linux/arm64/v8', ['linux/arm/v7', 'linux/arm64/v8']],
    ['aarch64', 'linux/arm64', ['linux/arm64', 'linux/arm64/v8']],
    ['arm64/v9', 'linux/arm64/v8', ['linux/arm64/v8']],
    ['arm64', undefined, ['linux/arm64/v9']],
    ['amd64', 'linux/amd64', ['linux/amd64/v2', 'linux/amd64/v3', 'linux/amd64']],
    ['amd64/v3', 'linux/amd64/v3', ['linux/amd64', 'linux/amd64/v3', 'linux/amd64/v4']],
    ['amd64/v3', 'linux/amd64/v2', ['linux/amd64', 'linux/amd64/v2', 'linux/amd64/v4']],
    ['amd64', undefined, ['linux/amd64/v2']],
    // Others have variants that say nothing about each other.
    ['mips/softfloat', 'linux/mips/softfloat', ['linux/mips/hardfloat', 'linux/mips/softfloat']],
    ['mips', undefined, ['linux/mips/softfloat']],
    ['__proto__', undefined, ['linux/amd64', 'linux/constructor']],
  ])('for %s is %s', (arch, expected, platforms) => {
    expect(chosen(arch, ...platforms)).toBe(expected);
  });

  test('passes over attestations, and keeps those without a platform for last', () => {
    const list = entries('unknown/unknown', undefined, 'linux/arm64');
    const { entry, unsaid, offered } = choosePlatform(list, parsePlatform('linux', 'amd64'));
    expect(entry).toBeUndefined();
    expect(unsaid).toEqual([list[1]]);
    expect(offered).toEqual(['linux/arm64']);
  });

  test('is the first of several as good', () => {
    const list = entries('linux/amd64', 'linux/amd64');
    expect(choosePlatform(list, parsePlatform('linux', 'amd64')).entry).toBe(list[0]);
  });

  test('that cannot be made says what there is', () => {
    const error = noPlatform('docker://x', parsePlatform('linux', 'arm'), [
      'linux/amd64',
      'linux/386',
    ]);
    expect(error).toBeInstanceOf(FetchError);
    expect(error.code).toBe('FETCH_NO_PLATFORM');
    expect(error.message).toBe(
      'docker://x has no image for linux/arm/v7: there is linux/amd64, linux/386',
    );
    expect(error.remedies[0]).toContain('--arch');
  });
});

const platform = fc.record({
  os: fc.constantFrom('linux', 'freebsd', 'windows'),
  architecture: fc.oneof(fc.constantFrom('amd64', 'arm', 'arm64', '386', 'x86_64'), fc.string()),
  variant: fc.option(fc.oneof(fc.constantFrom('v1', 'v2', 'v6', 'v7', 'v8', '8'), fc.string()), {
    nil: undefined,
  }),
});

test('normalising twice is normalising once, and everything fits itself best', () => {
  fc.assert(
    fc.property(platform, platform, ({ variant, ...rest }, other) => {
      const one = { ...rest, ...(variant === undefined ? {} : { variant }) };
      const two = { os: other.os, architecture: other.architecture };
      const normal = normalisePlatform(one);
      expect(normalisePlatform(normal)).toEqual(normal);
      const best = matchPlatform(one, normal) ?? -1;
      expect(best).toBeGreaterThanOrEqual(matchPlatform(one, two) ?? -1);
      expect(renderPlatform(normal)).toContain('/');
    }),
  );
});
