import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterAll, describe, expect, it } from 'vitest';

import { checkNetwork } from '../../../src/network/namespace.ts';
import { parseNetwork, renderNetwork } from '../../../src/network/network.ts';

describe('what --net may say', () => {
  it.each([
    [undefined, { kind: 'none' }],
    ['none', { kind: 'none' }],
    ['host', { kind: 'host' }],
    ['ns:blue', { kind: 'ns', path: '/run/netns/blue' }],
    ['ns:/proc/5//ns/net', { kind: 'ns', path: '/proc/5/ns/net' }],
    ['ns:/run/netns/blue/', { kind: 'ns', path: '/run/netns/blue' }],
  ])('%s is understood', (text, network) => {
    expect(parseNetwork(text)).toEqual(network);
  });

  it.each(['bridge', '', 'ns', 'ns:', 'ns:a/b', 'ns:..', 'ns:/', 'ns:a\0b', 'HOST'])(
    '"%s" is refused by name',
    (text) => {
      expect(() => parseNetwork(text)).toThrow(
        expect.objectContaining({ code: 'POD_NET_UNSUPPORTED' }),
      );
    },
  );

  it.each(['none', 'host', 'ns:blue', 'ns:/proc/5/ns/net'])(
    '%s is shown as it was said',
    (text) => {
      expect(renderNetwork(parseNetwork(text))).toBe(text);
    },
  );
});

describe('a namespace to join', () => {
  const dir = mkdtempSync(path.join(tmpdir(), 'netns-'));
  afterAll(() => rmSync(dir, { recursive: true }));
  const problemOf = (file: string): string => {
    try {
      checkNetwork({ kind: 'ns', path: file });
      return 'fine';
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  };

  it('that is not there is told, with the command that makes it', () => {
    expect(problemOf('/run/netns/not-there')).toBe(
      'there is no network namespace /run/netns/not-there',
    );
  });

  it('cannot be a plain file, nor a namespace of another kind', () => {
    const file = path.join(dir, 'file');
    writeFileSync(file, '');
    expect(problemOf(file)).toBe(`${file} is no network namespace`);
    expect(problemOf('/proc/self/ns/uts')).toBe('/proc/self/ns/uts is no network namespace');
  });

  it("cannot be the host's own, by whatever name", () => {
    const link = path.join(dir, 'link');
    symlinkSync('/proc/self/ns/net', link);
    expect(problemOf('/proc/self/ns/net')).toContain('is the network namespace of the host');
    expect(problemOf(link)).toContain('is the network namespace of the host');
  });
});
