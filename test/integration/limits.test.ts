import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { findCgroup2 } from '../../src/runtime/cgroup2.ts';
import { testPool } from '../support/environment.ts';
import { JetpackHost, makeAci, PROJECT, until } from '../support/jetpack-host.ts';

const pool = testPool();
const hierarchy = findCgroup2();
const root = hierarchy?.root ?? '';
/** The machines without them prove only that limits are refused (isolators.test.ts). */
const canLimit = ['cpu', 'memory', 'pids'].every((name) => hierarchy?.controllers.includes(name));

interface AppStatus {
  readonly state: string;
  readonly exitStatus: number | null;
  readonly oomKilled: boolean;
  readonly oomKills: number;
}

/** Each limit, and an app that runs into it. */
describe.skipIf(pool === undefined || !canLimit)('limits of a control group', () => {
  let host: JetpackHost;

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
      mkdirSync(path.join(rootfs, 'data'));
      copyFileSync(path.join(PROJECT, 'shim/build/payload'), path.join(rootfs, 'payload'));
    });
    host.must('import', '--insecure-options=image', aci);
  });
  afterAll(() => {
    host.remove();
  });

  const uuidOf = (name: string): string =>
    (host.json('status', name) as { readonly uuid: string }).uuid;
  const groupOf = (name: string, ...below: readonly string[]): string =>
    path.join(root, 'jetpack', uuidOf(name), ...below);
  const appsOf = (name: string): readonly AppStatus[] =>
    (host.json('status', name) as { readonly apps: readonly AppStatus[] }).apps;
  const fileOf = (folder: string, file: string): string =>
    readFileSync(path.join(folder, file), 'utf8').trim();

  /** Runs it in the background, looks, and takes it away. */
  async function whileRunning<T>(
    words: readonly string[],
    look: (name: string) => T | Promise<T>,
  ): Promise<T> {
    host.must('run', '-d', '--name=limited', ...words);
    try {
      return await look('limited');
    } finally {
      host.must('rm', '--force', 'limited');
    }
  }

  describe('of memory', () => {
    it('end an app that takes more, and status names the reason', () => {
      const done = host.jetpack([
        'run',
        '--name=hungry',
        'payload',
        '--memory=32Mi',
        '--',
        '--alloc',
        '16',
        '--alloc',
        '64',
      ]);
      expect(done).toMatchObject({ status: 137, stdout: 'allocated 16 MiB\n' });
      expect(done.stderr).toBe('jetpack: note: app payload: enforced: resource/memory\n');
      expect(appsOf('hungry')).toMatchObject([{ oomKilled: true, exitStatus: 137 }]);
      expect(appsOf('hungry')[0]?.oomKills).toBeGreaterThan(0);
      expect(host.must('status', 'hungry')).toContain('oom-killed');
      host.must('rm', 'hungry');
    });

    it('end a child that takes more, which status counts while the app lives and after it', async () => {
      const words = ['payload', '--memory=32Mi', '--', '--alloc-child', '64', '--sleep', '0'];
      await whileRunning(words, async (name) => {
        await until('a child is killed', () => appsOf(name)[0]?.oomKills === 1);
        expect(appsOf(name)).toMatchObject([{ state: 'running', oomKilled: false }]);
        expect(host.must('logs', name)).toContain('child: signal 9');
        expect(host.jetpack(['stop', '--time=0', name]).status).toBe(0);
        expect(appsOf(name)).toMatchObject([{ state: 'exited', oomKilled: false, oomKills: 1 }]);
      });
    });

    it('let an app be that fits in the least there is', () => {
      expect(
        host.jetpack(['run', '--rm', 'payload', '--memory=1Mi', '--', '--exit', '3']).status,
      ).toBe(3);
    });

    it('are rounded to pages, and told with what they became', async () => {
      await whileRunning(['payload', '--memory=5000000', '--', '--sleep', '0'], (name) => {
        expect(fileOf(groupOf(name, 'payload'), 'memory.max')).toBe('4997120');
        expect(host.json('status', name)).toMatchObject({
          apps: [
            {
              isolators: {
                adjusted: [{ isolator: 'resource/memory', from: '5000000', to: '4997120' }],
              },
            },
          ],
        });
      });
    });

    it('of the pod bound what its apps take together', () => {
      const app = ['payload', '--memory=64Mi'];
      const done = host.jetpack([
        'run',
        '--name=sum',
        '--pod-memory=48Mi',
        ...app,
        '--name=one',
        '--',
        '--alloc',
        '30',
        '--sleep',
        '5',
        '---',
        ...app,
        '--name=two',
        '--',
        '--alloc',
        '30',
        '--sleep',
        '5',
      ]);
      // One of them is killed, which ends the pod; each alone would have fitted.
      expect(done.status).toBe(137);
      expect(appsOf('sum').filter(({ oomKilled }) => oomKilled)).toHaveLength(1);
      host.must('rm', 'sum');
      const alone = ['run', '--rm', '--pod-memory=48Mi', ...app, '--', '--alloc', '30'];
      expect(host.jetpack(alone).status).toBe(0);
    });
  });

  describe('of processors', () => {
    const throttled = (folder: string): number =>
      Number(/^throttled_usec (\d+)$/m.exec(fileOf(folder, 'cpu.stat'))?.[1] ?? '0');

    it('hold an app back that computes more', async () => {
      const words = [
        'payload',
        '--cpu=100m',
        '--',
        '--burn',
        '300',
        '--stdout',
        'burnt',
        '--sleep',
        '0',
      ];
      await whileRunning(words, async (name) => {
        const folder = groupOf(name, 'payload');
        expect(fileOf(folder, 'cpu.max')).toBe('10000 100000');
        await until(
          'the app has computed',
          () => host.must('logs', name).includes('burnt'),
          60_000,
        );
        expect(throttled(folder)).toBeGreaterThan(300_000);
      });
    });

    it('of the pod hold its apps back together', async () => {
      const app = ['payload', '--', '--burn', '150', '--stdout', 'burnt', '--sleep', '0'];
      const words = ['--pod-cpu=100m', ...app, '---', 'payload', '--name=two', ...app.slice(1)];
      await whileRunning(words, async (name) => {
        const folder = groupOf(name);
        await until(
          'both have computed',
          () =>
            ['payload', 'two'].every((one) =>
              host.must('logs', `${name}:${one}`).includes('burnt'),
            ),
          60_000,
        );
        expect(throttled(folder)).toBeGreaterThan(300_000);
        expect(throttled(path.join(folder, 'payload'))).toBe(0);
      });
    });

    it('are never less than the kernel can do, and weights are written', async () => {
      await whileRunning(
        ['payload', '--cpu=5m', '--cpu-shares=2048', '--', '--sleep', '0'],
        (name) => {
          const folder = groupOf(name, 'payload');
          expect(fileOf(folder, 'cpu.max')).toBe('1000 100000');
          expect(fileOf(folder, 'cpu.weight')).toBe('200');
        },
      );
    });
  });

  describe('of processes', () => {
    it('refuse an app more of them with EAGAIN', () => {
      const done = host.jetpack(['run', '--rm', 'payload', '--pids=5', '--', '--fork', '20']);
      expect(done.stdout).toBe('forked 4: Resource temporarily unavailable\n');
      const free = host.jetpack(['run', '--rm', 'payload', '--', '--fork', '20']);
      expect(free.stdout).toContain('forked 20: ');
    });

    it('refuse who enters, too, when there is no more room', async () => {
      await whileRunning(['payload', '--pids=1', '--', '--sleep', '0'], (name) => {
        const entered = host.jetpack(['exec', name, '/payload', '--exit', '0']);
        expect(entered.status).toBe(125);
        expect(entered.stderr).toContain('limit of processes');
      });
    });

    it('of the pod bound what its apps have together', async () => {
      const app = ['payload', '--', '--fork', '20', '--sleep', '0'];
      const words = ['--pod-pids=10', ...app, '---', 'payload', '--name=two', ...app.slice(1)];
      await whileRunning(words, async (name) => {
        const made = (one: string) =>
          Number(/forked (\d+): /.exec(host.must('logs', `${name}:${one}`))?.[1] ?? '-1');
        await until('both have tried', () => ['payload', 'two'].every((one) => made(one) >= 0));
        expect(made('payload') + made('two')).toBe(8);
      });
    });
  });

  describe('of disks', () => {
    /** A kernel may count what goes to disks without being able to limit it. */
    const hasThrottle = (): boolean =>
      readdirSync(root, { withFileTypes: true }).some(
        (entry) => entry.isDirectory() && existsSync(path.join(root, entry.name, 'io.max')),
      );

    it('are refused for an app that is on ZFS alone, and where the kernel has none', () => {
      const done = host.jetpack([
        'run',
        '--rm',
        'payload',
        '--isolator=resource/block-bandwidth={"default":true,"limit":"1M"}',
      ]);
      expect(done.status).toBe(125);
      expect(done.stderr).toContain(hasThrottle() ? 'ZFS reads and writes' : 'cannot limit them');
    });

    /** A file system on a disk of its own, which is there while `use` runs. */
    async function onDisk(use: (folder: string, disk: string) => void | Promise<void>) {
      const image = path.join(host.dir, 'disk.img');
      const folder = path.join(host.dir, 'disk');
      const sh = (...argv: readonly [string, ...string[]]) => {
        const [file, ...args] = argv;
        const done = spawnSync(file, args, { encoding: 'utf8' });
        if (done.status !== 0) throw new Error(`${argv.join(' ')}: ${done.stderr}`);
        return done.stdout.trim();
      };
      mkdirSync(folder, { recursive: true });
      sh('truncate', '-s', '64M', image);
      const device = sh('losetup', '--show', '-f', image);
      try {
        sh('mkfs.ext4', '-q', device);
        sh('mount', device, folder);
        await use(folder, `7:${device.replace(/\D+/, '')}`);
      } finally {
        spawnSync('umount', [folder]);
        sh('losetup', '-d', device);
      }
    }
    const limitOf = (name: string, limit: string) =>
      `resource/block-${name}={"default":true,"limit":"${limit}"}`;

    it('hold writes to a file system of the host back, where the kernel has them', async () => {
      await onDisk((folder, disk) => {
        const run = ['run', '--rm', `--volume=data,kind=host,source=${folder}`, 'payload'];
        // A file of its own each time: the kernel may go on charging one to whoever wrote it before.
        const write = (file: string) => ['--mount=data:/data', '--', '--fill', file, '3'];
        let begin = Date.now();
        expect(host.jetpack([...run, ...write('/data/free')]).stdout).toContain('wrote 3 MiB');
        const freeMs = Date.now() - begin;
        begin = Date.now();
        const done = host.jetpack([
          ...run,
          `--isolator=${limitOf('bandwidth', '1M')}`,
          ...write('/data/bound'),
        ]);
        if (hasThrottle()) {
          expect(done.stdout).toContain('wrote 3 MiB');
          expect(Date.now() - begin).toBeGreaterThan(freeMs + 1500);
          expect(done.stderr).toContain(`that of host volumes on ${disk}, without ZFS`);
        } else expect(done.stderr).toContain('cannot limit them');
      });
    });

    it('stand in one line for a disk, those of the pod above those of its apps', async () => {
      if (!hasThrottle()) return;
      await onDisk(async (folder, disk) => {
        const words = [
          ...[
            `--volume=data,kind=host,source=${folder}`,
            `--pod-isolator=${limitOf('iops', '70')}`,
          ],
          ...['payload', '--mount=data:/data', `--isolator=${limitOf('iops', '50')}`],
          ...[`--isolator=${limitOf('bandwidth', '1Mi')}`, '--', '--sleep', '0'],
        ];
        await whileRunning(words, (name) => {
          expect(fileOf(groupOf(name, 'payload'), 'io.max')).toBe(
            `${disk} rbps=1048576 wbps=1048576 riops=50 wiops=50`,
          );
          expect(fileOf(groupOf(name), 'io.max')).toBe(
            `${disk} rbps=max wbps=max riops=70 wiops=70`,
          );
        });
      });
    });
  });
});
