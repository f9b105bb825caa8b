import { describe, expect, it } from 'vitest';

import { parseNameService } from '../../../src/cli/name-service-flags.ts';
import { parseRunWords } from '../../../src/cli/run-grammar.ts';

const parse = (...flags: readonly string[]) =>
  parseNameService(parseRunWords([...flags, 'image']).pod);

describe('--dns', () => {
  it('makes the lines of resolv.conf', () => {
    expect(parse().resolver).toBeUndefined();
    expect(parse('--dns=9.9.9.9', '--dns=fe80::1%eth0').resolver).toEqual([
      'nameserver 9.9.9.9',
      'nameserver fe80::1%eth0',
    ]);
    expect(
      parse('--dns-opt=ndots:2', '--dns-opt=rotate', '--dns-search=a', '--dns-search=b.c.')
        .resolver,
    ).toEqual(['search a b.c.', 'options ndots:2 rotate']);
    expect(parse('--dns-domain=example.com').resolver).toEqual(['domain example.com']);
    expect(parse('--dns=host').resolver).toBe('host');
    expect(parse('--dns=none').resolver).toBe('image');
  });

  it.each([
    [['--dns=nine'], '"nine" is not an address'],
    [['--dns=9.9.9.9\nnameserver 1.1.1.1'], 'is not an address'],
    [['--dns-search=a\nb'], 'is not a domain'],
    [['--dns-search=-a'], 'is not a domain'],
    [['--dns-domain=a b'], 'is not a domain'],
    [['--dns-opt=x y'], 'is not an option'],
    [['--dns=host', '--dns=9.9.9.9'], '--dns=host does not go with'],
    [['--dns=none', '--dns-search=a'], '--dns=none does not go with'],
  ])('refuses %j', (flags, message) => {
    expect(() => parse(...flags)).toThrow(message);
  });
});

describe('--hosts-entry', () => {
  it('makes the lines of /etc/hosts', () => {
    expect(parse().hosts).toBeUndefined();
    expect(parse('--hosts-entry=10.0.0.1=a,b.c', '--hosts-entry=::1=d').hosts).toEqual([
      '10.0.0.1 a b.c',
      '::1 d',
    ]);
    expect(parse('--hosts-entry=host').hosts).toBe('host');
  });

  it.each(['10.0.0.1', '10.0.0=a', '10.0.0.1=', '10.0.0.1=a b', '10.0.0.1=a\nb', 'a=10.0.0.1'])(
    'refuses %j',
    (entry) => {
      expect(() => parse(`--hosts-entry=${entry}`)).toThrow('is not ADDRESS=NAME');
    },
  );

  it('refuses other entries beside those of the host', () => {
    expect(() => parse('--hosts-entry=host', '--hosts-entry=10.0.0.1=a')).toThrow(
      'does not go with other entries',
    );
  });
});
