import { describe, expect, it } from 'vitest';

import { planHostFileMounts, planHostFiles } from '../../../src/pod/host-files.ts';

const none = { resolver: undefined, hosts: undefined };
const names = (files: ReturnType<typeof planHostFiles>) => files.map(({ name }) => name);

describe('the files of /etc', () => {
  it('are hostname, hosts and, with a network, resolv.conf', () => {
    expect(names(planHostFiles(none, { kind: 'none' }, 'box'))).toEqual(['hostname', 'hosts']);
    expect(names(planHostFiles(none, { kind: 'host' }, 'box'))).toContain('resolv.conf');
    const joined = planHostFiles(none, { kind: 'ns', path: '/run/netns/blue' }, 'box');
    expect(joined.at(-1)).toMatchObject({
      content: { copyOf: ['/etc/netns/blue/resolv.conf', '/etc/resolv.conf'] },
    });
  });

  it('leave an image its hosts unless something is asked for', () => {
    const [, plain] = planHostFiles(none, { kind: 'none' }, 'box');
    expect(plain).toMatchObject({ name: 'hosts', onlyMissing: true });
    const [, asked] = planHostFiles({ ...none, hosts: ['10.0.0.1 a'] }, { kind: 'none' }, 'box');
    expect(asked).toMatchObject({
      onlyMissing: false,
      content: {
        text: '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.1.1 box\n10.0.0.1 a\n',
      },
    });
  });

  it('give way to volumes over them, above them and below them', () => {
    const files = planHostFiles(none, { kind: 'host' }, 'box');
    const mounted = (...targets: readonly string[]) =>
      planHostFileMounts(files, '/p', targets).map(({ target }) => target);
    expect(mounted('/srv', '/etcetera')).toHaveLength(3);
    expect(mounted('/etc/hosts')).toEqual(['/etc/hostname', '/etc/resolv.conf']);
    expect(mounted('/etc/')).toEqual([]);
    expect(planHostFileMounts(files, '/p', [])[1]).toEqual({
      kind: 'bind',
      source: '/p/etc/hosts',
      target: '/etc/hosts',
      options: ['ro', 'missing'],
    });
  });
});
