import { randomBytes } from 'node:crypto';
import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { testPool } from '../support/environment.ts';
import { JetpackHost, makeAci, PROJECT } from '../support/jetpack-host.ts';

const pool = testPool();

/** What `status --json` says of isolators. */
interface Status {
  readonly isolators: unknown;
  readonly apps: readonly { readonly isolators: unknown }[];
}

/** What needs no controllers of a cgroup: these tests run on every host. */
describe.skipIf(pool === undefined)('isolators', () => {
  let host: JetpackHost;

  beforeAll(() => {
    host = new JetpackHost(pool ?? '');
    host.must('init');
    const labels = [
      { name: 'os', value: 'linux' },
      { name: 'arch', value: process.arch === 'arm64' ? 'aarch64' : 'amd64' },
    ];
    const fill = (rootfs: string) => {
      mkdirSync(path.join(rootfs, 'tmp'));
      copyFileSync(path.join(PROJECT, 'shim/build/payload'), path.join(rootfs, 'payload'));
    };
    const images: Readonly<Record<string, readonly object[]>> = {
      payload: [],
      large: [],
      unknown: [{ name: 'example/unheard-of', value: 1 }],
      tiny: [{ name: 'resource/memory', value: { limit: '1' } }],
      typo: [{ name: 'os/linux/seccomp-remove-set', value: { set: ['mount', 'mkdri'] } }],
      nomkdir: [
        { name: 'os/linux/seccomp-remove-set', value: { set: ['mkdirat'], errno: 'EXDEV' } },
        { name: 'os/linux/oom-score-adj', value: 77 },
      ],
    };
    for (const [name, isolators] of Object.entries(images)) {
      const manifest = {
        acKind: 'ImageManifest',
        acVersion: '0.8.11',
        name,
        labels,
        app: { exec: ['/payload'], user: '0', group: '0', isolators },
      };
      const aci = makeAci(host, manifest, (rootfs) => {
        fill(rootfs);
        if (name === 'large') writeFileSync(path.join(rootfs, 'noise'), randomBytes(6 << 20));
      });
      host.must('import', '--insecure-options=image', aci);
    }
  });
  afterAll(() => {
    host.remove();
  });

  const tried = (...words: readonly string[]) => host.jetpack(['run', '--rm', ...words]);

  describe('that filter system calls', () => {
    it('kill with SIGSYS on a call that is removed, and on nothing else', () => {
      const flags = ['payload', '--seccomp=mode=remove,mkdirat', '--'];
      expect(tried(...flags, '--try', 'getpid').stdout).toBe('getpid: ok\n');
      expect(tried(...flags, '--try', 'mkdirat')).toMatchObject({ status: 128 + 31, stdout: '' });
    });

    it('answer with the errno that was asked for', () => {
      const done = tried(
        'payload',
        '--seccomp=mode=remove,errno=EXDEV,mkdirat',
        '--',
        '--try',
        'mkdirat',
      );
      expect(done).toMatchObject({ status: 0, stdout: 'mkdirat: Cross-device link\n' });
      expect(tried('nomkdir', '--', '--try', 'mkdirat').stdout).toBe(
        'mkdirat: Cross-device link\n',
      );
    });

    it('retain nothing but their set and what starts and ends a process', () => {
      const set = 'write,writev,ioctl,brk,arch_prctl,set_tid_address,mmap,fstat,newfstatat';
      const flags = ['payload', `--seccomp=mode=retain,errno=EDOM,${set}`, '--'];
      const done = tried(...flags, '--try', 'getpid', '--try', 'mkdirat', '--exit', '5');
      expect(done.stdout).toBe('getpid: Domain error\nmkdirat: Domain error\n');
      expect(done.status).toBe(5);
      const killed = tried('payload', `--seccomp=mode=retain,${set}`, '--', '--try', 'getpid');
      expect(killed).toMatchObject({ status: 128 + 31, stdout: '' });
    });

    it.runIf(process.arch === 'x64')('hold for the ways of other architectures, too', () => {
      const removed = ['payload', '--seccomp=mode=remove,errno=EXDEV,mkdirat', '--'];
      // Without a filter it is EFAULT where the kernel runs 32-bit programs; others have no such way.
      const bare = tried(
        'payload',
        '--seccomp=mode=retain,@appc.io/all',
        '--',
        '--try',
        'i386-mkdirat',
      );
      if (bare.stdout !== 'i386-mkdirat: Bad address\n') return;
      expect(tried(...removed, '--try', 'i386-mkdirat').stdout).toBe(
        'i386-mkdirat: Cross-device link\n',
      );
      expect(tried(...removed, '--try', 'x32-mkdirat').stdout).toBe(
        'x32-mkdirat: Function not implemented\n',
      );
      const retained = [
        'payload',
        '--seccomp=mode=retain,errno=EDOM,@systemd/default,@systemd/basic-io,ioctl',
      ];
      expect(tried(...retained, '--', '--try', 'i386-mkdirat').stdout).toBe(
        'i386-mkdirat: Domain error\n',
      );
    });

    it('run whole programs with the groups that are meant for them', () => {
      for (const words of [
        'retain,@jetpack/default-retain',
        'retain,@rkt/default-whitelist',
        'retain,@systemd/system-service',
      ])
        expect(
          tried(
            'payload',
            `--seccomp=mode=${words}`,
            '--',
            '--try',
            'getpid',
            '--fork',
            '2',
            '--try',
            'mkdirat',
          ).stdout,
        ).toContain('mkdirat: No such file or directory');
      expect(
        tried('payload', '--seccomp=mode=retain,@jetpack/default-retain', '--', '--try', 'mount')
          .status,
      ).toBe(159);
      expect(
        tried('payload', '--seccomp=mode=remove,@docker/default-blacklist', '--', '--try', 'mount')
          .status,
      ).toBe(159);
    });

    it('are none with @appc.io/all and @appc.io/empty', () => {
      for (const words of ['retain,@appc.io/all', 'remove,@appc.io/empty']) {
        const done = tried('payload', `--seccomp=mode=${words}`, '--no-new-privileges=false');
        expect(JSON.parse(done.stdout)).toMatchObject({ seccomp: '0', noNewPrivs: '0' });
      }
    });

    it('hold for who enters the app, and their file is for root alone', () => {
      host.must(
        'run',
        '-d',
        '--name=filtered',
        'payload',
        '--seccomp=mode=remove,errno=EXDEV,mkdirat',
        '--',
        '--sleep',
        '0',
      );
      try {
        const entered = host.jetpack(['exec', 'filtered', '/payload', '--try', 'mkdirat']);
        expect(entered.stdout).toBe('mkdirat: Cross-device link\n');
        const pods = path.join(host.mountpoint, 'pods');
        const [uuid = ''] = readdirSync(pods);
        const file = statSync(path.join(pods, uuid, 'seccomp.payload.bpf'));
        expect(file.mode & 0o777).toBe(0o400);
        expect(file.uid).toBe(0);
      } finally {
        host.must('rm', '--force', 'filtered');
      }
    });

    it('are refused by the place of a name that is wrong, before anything is made', () => {
      const before = host.traces();
      expect(tried('typo')).toMatchObject({
        status: 125,
        stderr: expect.stringContaining(
          'apps[0].app.isolators[0].value.set[1]: there is no system call "mkdri"',
        ),
      });
      expect(
        tried('payload', '--name=one', 'payload', '--name=two', '--seccomp=mode=retain,@foo/bar'),
      ).toMatchObject({
        status: 125,
        stderr: expect.stringContaining('apps[1].app.isolators[0].value.set[0]'),
      });
      expect(host.traces()).toEqual(before);
    });
  });

  describe('that are flags', () => {
    it('give and take capabilities', () => {
      const report = (...words: readonly string[]): unknown =>
        JSON.parse(tried('payload', ...words).stdout);
      expect(report('--caps-retain=net_raw,CAP_KILL')).toMatchObject({
        capEffective: '0000000000002020',
        capBounding: '0000000000002020',
      });
      expect(report('--caps-remove=mknod')).toMatchObject({ capEffective: '00000000a00425fb' });
      expect(tried('payload', '--caps-retain=fly').stderr).toContain('CAP_FLY');
    });

    it('set the score of the OOM killer, over the one of the image', () => {
      expect(JSON.parse(tried('nomkdir').stdout)).toMatchObject({ oomScoreAdj: 77 });
      expect(JSON.parse(tried('nomkdir', '--oom-score-adj=99').stdout)).toMatchObject({
        oomScoreAdj: 99,
      });
    });

    it('are not for pods that are prepared already', () => {
      const uuid = host.must('prepare', 'payload');
      for (const words of [
        [`--pod-memory=1G`, uuid],
        [uuid, '--cpu=1'],
        ['--strict', uuid],
      ])
        expect(host.jetpack(['run', ...words])).toMatchObject({
          status: 125,
          stderr: expect.stringContaining('was prepared already'),
        });
      host.must('rm', uuid);
    });
  });

  describe('that are kernel parameters', () => {
    it('are those of the pod, and the host keeps its own', () => {
      const ofHost = readFileSync('/proc/sys/kernel/shmmni', 'utf8');
      const set = ['--sysctl=kernel.shmmni=4001', '--sysctl=net.ipv4.ip_default_ttl=33'];
      const done = tried(
        ...set,
        'payload',
        '--',
        '--cat',
        '/proc/sys/kernel/shmmni',
        '--cat',
        '/proc/sys/net/ipv4/ip_default_ttl',
      );
      expect(done).toMatchObject({ status: 0, stdout: '4001\n33\n' });
      expect(done.stderr).toBe('jetpack: note: the pod: enforced: os/unix/sysctl\n');
      expect(readFileSync('/proc/sys/kernel/shmmni', 'utf8')).toBe(ofHost);
    });

    it.each([
      ['vm.swappiness=1', 'it is the same for the whole host'],
      ['kernel.core_pattern=x', 'it is the same for the whole host'],
      ['kernel.hostname=x', 'try: --hostname=NAME'],
      ['net/core=1', 'isolators[0].value["net/core"]: is not the name of a kernel parameter'],
      ['kernel.shmmax=', 'isolators[0].value["kernel.shmmax"]: has no value'],
    ])('are refused when they are not: %s', (sysctl, message) => {
      const done = tried(`--sysctl=${sysctl}`, 'payload');
      expect(done).toMatchObject({ status: 125, stdout: '' });
      expect(done.stderr).toContain(message);
    });

    it('of the network are refused without a network of the own', () => {
      const done = tried('--net=host', '--sysctl=net.core.somaxconn=5', 'payload');
      expect(done.status).toBe(125);
      expect(done.stderr).toContain('net.core.somaxconn, which cannot be enforced here');
    });

    it('that the kernel does not take fail the pod by name, and nothing is left of it', () => {
      const before = host.traces();
      const done = tried('--sysctl=kernel.sem=many', 'payload');
      expect(done.status).toBe(125);
      expect(done.stderr).toContain('cannot set the kernel parameter kernel.sem: Invalid argument');
      expect(host.traces()).toEqual(before);
    });
  });

  describe('that are a quota', () => {
    it('stop an app that fills its root, and only that one', () => {
      const done = host.jetpack([
        ...['run', '--name=full', 'payload', '--disk-quota=8Mi', '--', '--fill', '/tmp/f', '20'],
        ...['---', 'payload', '--name=other', '--', '--fill', '/tmp/f', '12'],
      ]);
      const wrote = (app: string) =>
        /wrote (\d+) MiB: (.*)/.exec(host.must('logs', `full:${app}`))?.slice(1) ?? [];
      expect(done.stderr).toBe('jetpack: note: app payload: enforced: jetpack/disk-quota\n');
      const [mib, why] = wrote('payload');
      expect(Number(mib)).toBeLessThan(9);
      expect(why).toMatch(/Quota exceeded|Disk quota exceeded|No space left on device/);
      expect(wrote('other')[0]).toBe('12');
      host.must('rm', 'full');
    });

    it('smaller than the image are refused, and nothing is left', () => {
      const before = host.traces();
      expect(tried('payload', '--disk-quota=1Ki').stderr).toContain(
        'value.limit: is less than 1Mi',
      );
      const done = tried('large', '--disk-quota=2Mi');
      expect(done.status).toBe(125);
      expect(done.stderr).toContain('the image alone is larger');
      expect(host.traces()).toEqual(before);
    });
  });

  describe('that name a security module', () => {
    it.each([
      ['os/linux/apparmor-profile={"profile":"there-is-no-such"}', /without AppArmor|not loaded/],
      [
        'os/linux/selinux-context={"user":"a","role":"b","type":"c","level":"s0"}',
        /without SELinux|label/,
      ],
    ])('are refused where the host cannot: %s', (isolator, why) => {
      for (const words of [
        ['payload', `--isolator=${isolator}`],
        [`--pod-isolator=${isolator}`, 'payload'],
      ]) {
        const done = tried(...words);
        expect(done).toMatchObject({ status: 125, stdout: '' });
        expect(done.stderr).toMatch(why);
      }
    });
  });

  describe('are reported', () => {
    it('as enforced and ignored, once before the start and for ever in status', () => {
      const done = host.jetpack(['run', '--name=told', 'unknown', '--oom-score-adj=5']);
      expect(done.stderr.split('\n')).toEqual([
        'jetpack: note: app unknown: enforced: os/linux/oom-score-adj',
        'jetpack: note: app unknown: ignored: example/unheard-of',
        '',
      ]);
      const status = host.json('status', 'told') as Status;
      expect(status.isolators).toBeNull();
      expect(status.apps[0]?.isolators).toEqual({
        enforced: ['os/linux/oom-score-adj'],
        adjusted: [],
        ignored: ['example/unheard-of'],
      });
      host.must('rm', 'told');
    });

    it('not at all for an app without them', () => {
      expect(tried('payload', '--', '--exit', '0').stderr).toBe('');
      expect(host.json('status', host.must('prepare', 'payload'))).toMatchObject({
        isolators: null,
        apps: [{ isolators: null }],
      });
    });

    it('as ignored when --insecure-options turns them off', () => {
      const done = tried('--insecure-options=seccomp', 'nomkdir', '--', '--try', 'mkdirat');
      expect(done.stdout).toBe('mkdirat: No such file or directory\n');
      expect(done.stderr).toContain('ignored: os/linux/seccomp-remove-set');
    });

    it('as JSON with --json', () => {
      const { stderr } = host.jetpack(['run', '--rm', '--json', 'unknown']);
      expect(JSON.parse(stderr)).toEqual({
        note: { message: 'app unknown: ignored: example/unheard-of' },
      });
    });
  });

  it('that are unknown are refused with --strict, and nothing is left', () => {
    const before = host.traces();
    expect(tried('--strict', 'unknown')).toMatchObject({
      status: 125,
      stderr: expect.stringContaining('example/unheard-of'),
    });
    expect(host.traces()).toEqual(before);
    expect(tried('--strict', 'nomkdir', '--', '--exit', '3').status).toBe(3);
  });

  it('that nobody could enforce are refused by their place', () => {
    expect(tried('tiny')).toMatchObject({
      status: 125,
      stderr: expect.stringContaining('apps[0].app.isolators[0].value.limit: is less than 1Mi'),
    });
    expect(tried('payload', '--cpu=0').stderr).toContain('apps[0].app.isolators[0].value.limit');
  });
});
