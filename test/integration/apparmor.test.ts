import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { testPool } from '../support/environment.ts';
import { JetpackHost, makeAci, PROJECT } from '../support/jetpack-host.ts';

const pool = testPool();
const parser = ['/usr/sbin/apparmor_parser', '/sbin/apparmor_parser'].find((file) =>
  existsSync(file),
);
const hasAppArmor = existsSync('/sys/kernel/security/apparmor') && parser !== undefined;

/** isolators.test.ts has the hosts without it, where the isolator is refused. */
describe.skipIf(pool === undefined || !hasAppArmor)('a profile of AppArmor', () => {
  let host: JetpackHost;
  const profile = `jetpack-test-${String(process.pid)}`;
  const wanted = (name: string) => `os/linux/apparmor-profile={"profile":"${name}"}`;

  function load(action: '--add' | '--remove'): void {
    const file = path.join(host.dir, 'profile');
    const rules = 'file, capability, network, signal, ptrace, deny /tmp/** w,';
    writeFileSync(file, `profile ${profile} flags=(attach_disconnected) { ${rules} }\n`);
    const done = spawnSync(parser ?? '', [action, file], { encoding: 'utf8' });
    if (done.status !== 0) throw new Error(done.stderr);
  }

  beforeAll(() => {
    host = new JetpackHost(pool ?? '');
    host.must('init');
    const manifest = {
      acKind: 'ImageManifest',
      acVersion: '0.8.11',
      name: 'payload',
      labels: [
        { name: 'os', value: 'linux' },
        { name: 'arch', value: process.arch === 'arm64' ? 'aarch64' : 'amd64' },
      ],
      app: { exec: ['/payload'], user: '0', group: '0' },
    };
    const aci = makeAci(host, manifest, (rootfs) => {
      mkdirSync(path.join(rootfs, 'tmp'));
      copyFileSync(path.join(PROJECT, 'shim/build/payload'), path.join(rootfs, 'payload'));
    });
    host.must('import', '--insecure-options=image', aci);
    load('--add');
  });
  afterAll(() => {
    load('--remove');
    host.remove();
  });

  const tried = (...words: readonly string[]) => host.jetpack(['run', '--rm', ...words]);
  const current = ['--', '--cat', '/proc/self/attr/current'];

  it('is what the app runs under, with new privileges or without', () => {
    for (const more of [[], ['--no-new-privileges=false']]) {
      const done = tried('payload', `--isolator=${wanted(profile)}`, ...more, ...current);
      expect(done.stdout.trim()).toBe(`${profile} (enforce)`);
    }
    expect(tried('payload', ...current).stdout.trim()).toBe('unconfined');
  });

  it('keeps the app from what it denies', () => {
    const EACCES = 13;
    const write = ['--', '--write-file', '/tmp/x'];
    expect(tried('payload', `--isolator=${wanted(profile)}`, ...write).status).toBe(EACCES);
    expect(tried('payload', ...write).status).toBe(0);
  });

  it('holds for who enters the app', () => {
    host.must(
      'run',
      '-d',
      '--name=bound',
      'payload',
      `--isolator=${wanted(profile)}`,
      '--',
      '--sleep',
      '0',
    );
    const entered = host.jetpack(['exec', 'bound', '/payload', '--cat', '/proc/self/attr/current']);
    host.must('rm', '--force', 'bound');
    expect(entered.stdout.trim()).toBe(`${profile} (enforce)`);
  });

  it('of the pod is that of its apps, but of those that have one of their own', () => {
    const pod = `--pod-isolator=${wanted(profile)}`;
    expect(tried(pod, 'payload', ...current).stdout.trim()).toBe(`${profile} (enforce)`);
    const own = tried(pod, 'payload', `--isolator=${wanted('unconfined')}`, ...current);
    expect(own.stdout.trim()).toBe('unconfined');
  });

  it('that is not loaded is refused', () => {
    const done = tried('payload', `--isolator=${wanted('there-is-no-such')}`);
    expect(done).toMatchObject({ status: 125, stdout: '' });
    expect(done.stderr).toContain('"there-is-no-such" is not loaded');
  });
});
