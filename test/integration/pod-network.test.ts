import { spawnSync } from 'node:child_process';
import { statSync } from 'node:fs';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { testPool } from '../support/environment.ts';
import { JetpackHost, makeBusyboxAci } from '../support/jetpack-host.ts';

const pool = testPool();

function ip(...words: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync('ip', words, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`ip ${words.join(' ')}: ${stderr}`);
  return stdout;
}

describe.skipIf(pool === undefined)('a pod in a network namespace of ip netns', () => {
  let host: JetpackHost;
  const name = `jetpack-test-${String(process.pid)}`;

  beforeAll(() => {
    host = new JetpackHost(pool ?? '');
    host.must('init');
    host.must('import', '--insecure-options=image', makeBusyboxAci(host));
    ip('netns', 'add', name);
    ip('-n', name, 'addr', 'add', '192.0.2.7/32', 'dev', 'lo');
  });

  afterAll(() => {
    spawnSync('ip', ['netns', 'del', name]);
    host.remove();
  });

  it('sees its interfaces and addresses', () => {
    const out = host.must(
      'run',
      '--rm',
      `--net=ns:${name}`,
      'busybox',
      '--',
      'sh',
      '-c',
      'ip -o addr show dev lo; readlink /proc/self/ns/net',
    );
    expect(out).toContain('192.0.2.7/32');
    expect(out).toContain(`net:[${String(statSync(`/run/netns/${name}`).ino)}]`);
  });

  it('tells it in status, and leaves the namespace behind', () => {
    const uuid = host.must('prepare', `--net=ns:/run/netns/${name}`, 'busybox', '--', 'true');
    expect(host.must('status', uuid)).toContain(`net=ns:${name}`);
    host.must('run', uuid);
    host.must('rm', uuid);
    expect(ip('netns', 'list')).toContain(name);
  });

  it('is refused before anything is made where there is none of that name', () => {
    const before = host.traces();
    const { status, stderr } = host.jetpack(['run', '--rm', '--net=ns:nowhere', 'busybox']);
    expect({ status, stderr }).toEqual({
      status: 125,
      stderr:
        'jetpack: there is no network namespace /run/netns/nowhere\n  try: ip netns add nowhere\n',
    });
    expect(host.traces()).toEqual(before);
  });
});
