import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import path from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { testPool } from '../support/environment.ts';
import { JetpackHost, makeAci, PROJECT, type Outcome } from '../support/jetpack-host.ts';

const pool = testPool();
const LIMIT = 'resource/network-bandwidth';
const limit = (bytes: string): string => `${LIMIT}={"default":true,"limit":"${bytes}"}`;

function sh(...argv: readonly [string, ...string[]]): string {
  const [file, ...args] = argv;
  const done = spawnSync(file, args, { encoding: 'utf8' });
  if (done.status !== 0) throw new Error(`${argv.join(' ')}: ${done.stderr}`);
  return done.stdout.trim();
}

/** Whether this machine can limit both ways: a token bucket going out, a rule coming in. */
function canLimit(): boolean {
  const name = `jp-probe-${randomBytes(3).toString('hex')}`;
  const tried = (...args: readonly string[]) =>
    spawnSync('ip', ['netns', 'exec', name, ...args]).status === 0;
  if (spawnSync('ip', ['netns', 'add', name]).status !== 0) return false;
  const can =
    tried(
      'nft',
      'table inet t {\nchain c {\ntype filter hook prerouting priority 0\nlimit rate over 9999 bytes/second drop\n}\n}\n',
    ) &&
    tried(
      'tc',
      'qdisc',
      'add',
      'dev',
      'lo',
      'root',
      'tbf',
      'rate',
      '1mbit',
      'burst',
      '64kb',
      'latency',
      '1s',
    );
  spawnSync('ip', ['netns', 'del', name]);
  return can;
}

function image(host: JetpackHost): void {
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
}

describe.skipIf(pool === undefined)('a limit of the network', () => {
  let host: JetpackHost;
  const name = `jp-${randomBytes(3).toString('hex')}`;
  const [here, there] = [`${name}h`, `${name}p`];

  beforeAll(() => {
    host = new JetpackHost(pool ?? '');
    host.must('init');
    image(host);
    sh('ip', 'netns', 'add', name);
    sh('ip', 'link', 'add', 'dev', here, 'type', 'veth', 'peer', 'name', there, 'netns', name);
    sh('ip', 'address', 'add', '198.18.77.1/30', 'dev', here);
    sh('ip', 'link', 'set', 'dev', here, 'up');
    sh('ip', '-n', name, 'address', 'add', '198.18.77.2/30', 'dev', there);
    sh('ip', '-n', name, 'link', 'set', 'dev', there, 'up');
  });
  afterAll(() => {
    spawnSync('ip', ['netns', 'del', name]);
    host.remove();
  });

  /** What somebody else, or a pod, has set in the namespace. */
  const queues = (): string => sh('tc', '-n', name, 'qdisc', 'show', 'dev', there);
  const rules = (): string =>
    existsSync('/usr/sbin/nft') ? sh('ip', 'netns', 'exec', name, 'nft', 'list', 'tables') : '';

  it('is kept by a pod with loopback only, whatever it is', () => {
    for (const words of [
      ['payload', `--isolator=${limit('1K')}`.replace('1K', '2K')],
      [`--pod-isolator=${limit('2K')}`, 'payload'],
    ]) {
      const done = host.jetpack(['run', '--rm', ...words, '--', '--exit', '3']);
      expect(done.status).toBe(3);
      expect(done.stderr).toContain(`enforced: ${LIMIT}`);
    }
  });

  it('is refused where the network is not the own one of the pod or of the app', () => {
    const onHost = host.jetpack(['run', '--net=host', 'payload', `--isolator=${limit('1M')}`]);
    expect(onHost).toMatchObject({ status: 125, stdout: '' });
    expect(onHost.stderr).toContain(`${LIMIT}, which cannot be enforced here`);
    const shared = host.jetpack([
      ...['run', `--net=ns:${name}`, 'payload', `--isolator=${limit('1M')}`],
      ...['payload', '--name=two'],
    ]);
    expect(shared).toMatchObject({ status: 125, stdout: '' });
    expect(shared.stderr).toContain('shares the network with the other apps');
  });

  it('is refused for an app that is added to a pod, which shares its network', () => {
    host.must('run', '-d', '--mutable', '--name=open', `--net=ns:${name}`);
    try {
      const added = host.jetpack(['app', 'add', 'open', 'payload', `--isolator=${limit('1M')}`]);
      expect(added.status).toBe(1);
      expect(added.stderr).toContain('shares the network with the other apps');
    } finally {
      host.must('rm', '--force', 'open');
    }
  });

  it('is refused by its place when it is impossible', () => {
    const done = host.jetpack(['run', `--pod-isolator=${limit('10')}`, 'payload']);
    expect(done.stderr).toContain('isolators[0].value.limit: is less than 1Ki a second');
  });

  it.runIf(existsSync('/usr/sbin/nft') || existsSync('/sbin/nft'))(
    'does not replace what somebody else has set, and fails by name',
    () => {
      sh('tc', '-n', name, 'qdisc', 'add', 'dev', there, 'root', 'handle', '1:', 'pfifo');
      const before = [queues(), rules()];
      const done = host.jetpack([
        'run',
        '--rm',
        `--net=ns:${name}`,
        `--pod-isolator=${limit('1M')}`,
        'payload',
      ]);
      expect(done).toMatchObject({ status: 125, stdout: '' });
      expect(done.stderr).toContain('cannot limit the bandwidth of the network');
      expect([queues(), rules()]).toEqual(before);
      sh('tc', '-n', name, 'qdisc', 'del', 'dev', there, 'root');
    },
  );

  describe.skipIf(!canLimit())('on interfaces', () => {
    let server: Server;
    let received = 0;
    let answer = 0;

    beforeAll(async () => {
      server = createServer({ allowHalfOpen: true }, (socket) => {
        socket.on('error', () => socket.destroy());
        socket.on('data', (chunk) => (received += chunk.length));
        socket.on('end', () => socket.end(Buffer.alloc(answer)));
      });
      await new Promise<void>((resolve) => server.listen(7777, '198.18.77.1', resolve));
    });
    afterAll(() => {
      server.close();
    });

    /** The server is in this process, so the pod must not block it. */
    async function talk(words: readonly string[], sendKib: number, answerKib: number) {
      answer = answerKib * 1024;
      received = 0;
      const begin = Date.now();
      const child = host.start([
        ...['run', '--rm', `--net=ns:${name}`, ...words],
        ...['--', '--talk', '198.18.77.1', '7777', String(sendKib)],
      ]);
      const outcome = await new Promise<Outcome>((resolve) => {
        let stdout = '';
        let stderr = '';
        child.stdout?.on('data', (chunk) => (stdout += String(chunk)));
        child.stderr?.on('data', (chunk) => (stderr += String(chunk)));
        child.on('close', (status) => resolve({ status, stdout, stderr }));
      });
      return { ...outcome, ms: Date.now() - begin };
    }

    it('holds back what goes out', async () => {
      const free = await talk(['payload'], 400, 0);
      expect(free.stdout).toBe('sent 400 KiB, got 0 KiB\n');
      const bound = await talk([`--pod-isolator=${limit('100K')}`, 'payload'], 400, 0);
      expect(bound.stdout).toBe('sent 400 KiB, got 0 KiB\n');
      expect(received).toBe(400 * 1024);
      // 400 KiB at 100 kB/s, less the bucket that is full at the beginning.
      expect(bound.ms).toBeGreaterThan(2500);
      expect(bound.ms).toBeGreaterThan(free.ms + 2000);
    });

    it('holds back what comes in, and the limit of a single app is that of its pod', async () => {
      const bound = await talk(['payload', `--isolator=${limit('100K')}`], 0, 400);
      expect(bound.stdout).toBe('sent 0 KiB, got 400 KiB\n');
      expect(bound.ms).toBeGreaterThan(2500);
    });

    it('is gone with the pod, and loopback was never limited', async () => {
      const before = [queues(), rules()];
      host.must(
        'run',
        '-d',
        '--name=bound',
        `--net=ns:${name}`,
        `--pod-isolator=${limit('100K')}`,
        'payload',
        '--',
        '--sleep',
        '0',
      );
      expect(queues()).toContain('tbf');
      expect(sh('tc', '-n', name, 'qdisc', 'show', 'dev', 'lo')).not.toContain('tbf');
      expect(rules()).toContain('jetpack_');
      host.must('rm', '--force', 'bound');
      expect([queues(), rules()]).toEqual(before);
      await Promise.resolve();
    });
  });
});
