import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { testPool } from '../support/environment.ts';
import { JetpackHost, makeAci, PROJECT } from '../support/jetpack-host.ts';

const pool = testPool();

interface Report {
  readonly uid: number;
  readonly euid: number;
  readonly gid: number;
  readonly groups: readonly number[];
  readonly capInheritable: string;
  readonly capPermitted: string;
  readonly capEffective: string;
  readonly capBounding: string;
  readonly capAmbient: string;
  readonly seccomp: string;
  readonly noNewPrivs: string;
  readonly cwd: string;
  readonly argv: readonly string[];
  readonly env: readonly string[];
  readonly fds: Readonly<Record<string, string>>;
}

/** The 14 of appc: AUDIT_WRITE CHOWN DAC_OVERRIDE FSETID FOWNER KILL MKNOD NET_RAW NET_BIND_SERVICE SETUID SETGID SETPCAP SETFCAP SYS_CHROOT. */
const DEFAULT_CAPS = '00000000a80425fb';
const NO_CAPS = '0000000000000000';

describe.skipIf(pool === undefined)('what an app finds itself in', () => {
  let host: JetpackHost;

  beforeAll(() => {
    host = new JetpackHost(pool ?? '');
    host.must('init');
    const labels = [
      { name: 'os', value: 'linux' },
      { name: 'arch', value: process.arch === 'arm64' ? 'aarch64' : 'amd64' },
    ];
    const fill = (rootfs: string) => {
      mkdirSync(path.join(rootfs, 'etc'));
      mkdirSync(path.join(rootfs, 'work'));
      copyFileSync(path.join(PROJECT, 'shim/build/payload'), path.join(rootfs, 'payload'));
      writeFileSync(
        path.join(rootfs, 'etc/passwd'),
        'root:x:0:0::/root:/bin/sh\nwww:x:33:34:w:/srv/www:/bin/false\n',
      );
      writeFileSync(path.join(rootfs, 'etc/group'), 'root:x:0:\nwww:x:34:\nstaff:x:50:www\n');
    };
    const images: Readonly<Record<string, object>> = {
      payload: {},
      retain: {
        isolators: [
          {
            name: 'os/linux/capabilities-retain-set',
            value: { set: ['CAP_NET_BIND_SERVICE', 'CAP_KILL'] },
          },
        ],
      },
      remove: {
        isolators: [{ name: 'os/linux/capabilities-remove-set', value: { set: ['CAP_MKNOD'] } }],
      },
      newprivs: { isolators: [{ name: 'os/linux/no-new-privileges', value: false }] },
      settled: {
        user: 'www',
        group: 'www',
        supplementaryGIDs: [50, 60],
        workingDirectory: '/work',
        environment: [{ name: 'FROM', value: 'image' }],
      },
      limited: { isolators: [{ name: 'resource/memory', value: { limit: '32Mi' } }] },
      iops: {
        isolators: [{ name: 'resource/block-iops', value: { default: true, limit: '100' } }],
      },
      handlers: {
        eventHandlers: [
          { name: 'pre-start', exec: ['/payload', '--stdout', 'before '] },
          { name: 'post-stop', exec: ['/payload', '--stdout', 'after'] },
        ],
      },
      badhandler: { eventHandlers: [{ name: 'pre-start', exec: ['/payload', '--exit', '9'] }] },
    };
    for (const [name, app] of Object.entries(images)) {
      const manifest = {
        acKind: 'ImageManifest',
        acVersion: '0.8.11',
        name,
        labels,
        app: { exec: ['/payload'], user: '0', group: '0', ...app },
      };
      host.must('import', '--insecure-options=image', makeAci(host, manifest, fill));
    }
    const foreign = (name: string, value: string) => ({
      acKind: 'ImageManifest',
      acVersion: '0.8.11',
      name: 'foreign',
      labels: [...labels.filter((label) => label.name !== name), { name, value }],
      app: { exec: ['/payload'], user: '0', group: '0' },
    });
    host.must(
      'import',
      '--insecure-options=image',
      makeAci(host, { ...foreign('arch', 's390x'), name: 'foreign-arch' }, fill),
    );
    host.must(
      'import',
      '--insecure-options=image',
      makeAci(host, { ...foreign('os', 'freebsd'), name: 'foreign-os' }, fill),
    );
  });
  afterAll(() => {
    host.remove();
  });

  function report(...words: readonly string[]): Report {
    const done = host.jetpack(['run', '--rm', ...words]);
    if (done.status !== 0) throw new Error(done.stderr);
    return JSON.parse(done.stdout) as Report;
  }

  it('is root with the default capabilities in all five sets, no new privileges, and a system call filter', () => {
    expect(report('payload')).toMatchObject({
      uid: 0,
      euid: 0,
      gid: 0,
      groups: [],
      capInheritable: DEFAULT_CAPS,
      capPermitted: DEFAULT_CAPS,
      capEffective: DEFAULT_CAPS,
      capBounding: DEFAULT_CAPS,
      capAmbient: DEFAULT_CAPS,
      seccomp: '2',
      noNewPrivs: '1',
      cwd: '/',
    });
  });

  it('gives other users no capabilities by default, and exactly the retained ones otherwise', () => {
    expect(report('payload', '--user=www')).toMatchObject({
      uid: 33,
      capEffective: NO_CAPS,
      capPermitted: NO_CAPS,
      capAmbient: NO_CAPS,
      capBounding: DEFAULT_CAPS,
    });
    const kept = '0000000000000420';
    expect(report('retain')).toMatchObject({ capEffective: kept, capBounding: kept });
    expect(report('retain', '--user=www')).toMatchObject({
      uid: 33,
      capEffective: kept,
      capAmbient: kept,
    });
  });

  it('lacks removed capabilities, and has new privileges where the manifest says so', () => {
    expect(report('remove').capEffective).toBe('00000000a00425fb');
    expect(report('newprivs').noNewPrivs).toBe('0');
  });

  it('is the user, with the groups, folder and environment of its manifest', () => {
    const found = report('settled');
    expect(found).toMatchObject({ uid: 33, gid: 34, groups: [50, 60], cwd: '/work' });
    expect(found.env).toEqual(
      expect.arrayContaining([
        'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
        'AC_APP_NAME=settled',
        'container=jetpack',
        'FROM=image',
        'USER=www',
        'LOGNAME=www',
        'HOME=/srv/www',
      ]),
    );
  });

  it('takes a user by number, and by the owner of a file', () => {
    expect(report('payload', '--user=4711', '--group=4712')).toMatchObject({
      uid: 4711,
      gid: 4712,
    });
    expect(report('settled', '--user=/payload', '--group=/payload')).toMatchObject({
      uid: 0,
      gid: 0,
    });
  });

  it('has no open files but its three', () => {
    expect(Object.keys(report('payload').fds)).toEqual(['0', '1', '2']);
  });

  it('passes arguments through whatever is in them', () => {
    const args = [
      '--stdout',
      '',
      '--stdout',
      'a b',
      '--stdout',
      'new\nline',
      '--stdout',
      '"$(x)"\'\\',
    ];
    expect(host.jetpack(['run', '--rm', 'payload', '--', ...args]).stdout).toBe(
      'a bnew\nline"$(x)"\'\\',
    );
  });

  it('has its handlers run around it, in its own root', () => {
    const done = host.jetpack(['run', '--name=handled', 'handlers', '--', '--stdout', 'main ']);
    expect(done.status).toBe(0);
    expect(done.stdout).toBe('before main after');
    host.must('rm', 'handled');
  });

  it('does not start when its pre-start handler fails', () => {
    const done = host.jetpack(['run', '--rm', 'badhandler', '--', '--stdout', 'main']);
    expect(done.status).not.toBe(0);
    expect(done.stdout).toBe('');
    expect(done.stderr).toContain('pre-start');
  });

  it('is not run on another system or processor', () => {
    expect(host.jetpack(['run', 'foreign-arch'])).toMatchObject({
      status: 125,
      stderr: expect.stringContaining('s390x'),
    });
    expect(host.jetpack(['run', 'foreign-os'])).toMatchObject({
      status: 125,
      stderr: expect.stringContaining('freebsd'),
    });
  });

  it('is not run with a limit that cannot be enforced, and the limit is named', () => {
    expect(host.jetpack(['run', 'iops'])).toMatchObject({
      status: 125,
      stderr: expect.stringContaining('resource/block-iops'),
    });
    const info = host.json('info') as { findings: { what: string; lack?: unknown }[] } | undefined;
    const canLimit = info?.findings.some(
      ({ what, lack }) => what === 'cgroup v2' && lack === undefined,
    );
    const limited = host.jetpack(['run', '--rm', 'limited', '--', '--alloc', '64']);
    if (canLimit === true) expect(limited.status).toBe(137);
    else
      expect(limited).toMatchObject({
        status: 125,
        stderr: expect.stringContaining('resource/memory'),
      });
  });
});
