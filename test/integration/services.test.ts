import { spawn, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { testPool } from '../support/environment.ts';
import { JetpackHost, makeAci, PROJECT, until } from '../support/jetpack-host.ts';

const pool = testPool();
const MAIN = path.join(PROJECT, 'dist', 'main.cjs');
const manager = path.join(PROJECT, 'shim/build/manager');
const ACTIVATE = '/usr/bin/systemd-socket-activate';

interface Status {
  readonly state: string;
  readonly readyAt: string | null;
  readonly apps: readonly { readonly readyAt: string | null }[];
}

describe.skipIf(pool === undefined)('a pod under a service manager', () => {
  let host: JetpackHost;
  const address = '127.77.4.1';
  const port = 20000 + (process.pid % 20000);

  const importImage = (name: string, more: object, annotations: readonly object[] = []) => {
    const manifest = {
      acKind: 'ImageManifest',
      acVersion: '0.8.11',
      name,
      labels: [
        { name: 'os', value: 'linux' },
        { name: 'arch', value: process.arch === 'arm64' ? 'aarch64' : 'amd64' },
      ],
      annotations,
      app: { exec: ['/service'], user: '0', group: '0', ...more },
    };
    const file = makeAci(host, manifest, (rootfs) => {
      copyFileSync(path.join(PROJECT, 'shim/build/service'), path.join(rootfs, 'service'));
    });
    host.must('import', '--insecure-options=image', file);
  };

  beforeAll(() => {
    host = new JetpackHost(pool ?? '');
    host.must('init');
    importImage('plain', {});
    importImage('notifying', {}, [
      { name: 'appc.io/executor/supports-systemd-notify', value: 'true' },
    ]);
    importImage('activated', {
      ports: [{ name: 'http', protocol: 'tcp', port, socketActivated: true }],
    });
  });

  afterAll(() => host.remove());

  const activate = (spec: string, words: readonly string[]) =>
    spawn(manager, ['activate', spec, '--', process.execPath, MAIN, ...words], {
      env: host.env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  const tell = (text: string) =>
    spawnSync(manager, ['tell', 'tcp', address, String(port), text], { encoding: 'utf8' }).stdout;
  const ended = (child: ReturnType<typeof activate>) =>
    new Promise<{ status: number | null; stderr: string }>((resolve) => {
      let stderr = '';
      child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
      child.once('close', (status) => resolve({ status, stderr }));
    });

  it('is ready when its app has said so, and then --wait-ready returns', () => {
    const uuid = host.must(
      'run',
      '-d',
      'notifying',
      '--',
      ...['--sleep', '1', '--notify', 'READY=1', '--sleep', '100'],
    );
    expect((host.json('status', uuid) as Status).readyAt).toBeNull();
    const text = host.must('status', '--wait-ready=20s', uuid);
    expect(text).toMatch(/^ready=\d{4}-/m);
    const status = host.json('status', '--wait-ready', uuid) as Status;
    expect(status.readyAt).toEqual(expect.any(String));
    expect(status.apps[0]?.readyAt).toEqual(expect.any(String));
    host.must('rm', '--force', uuid);
  });

  it('is ready once, however often its app says so', async () => {
    const uuid = host.must(
      'run',
      '-d',
      'notifying',
      '--',
      ...['--notify', 'READY=1', '--sleep', '1', '--notify', 'READY=1', '--stdout', 'told twice'],
      ...['--sleep', '100'],
    );
    host.must('status', '--wait-ready=20s', uuid);
    const file = path.join(host.mountpoint, 'pods', uuid, 'status', 'notifying');
    const first = statSync(file).ino;
    await until('it has told twice', () => host.must('logs', uuid).includes('told twice'));
    host.must('status', uuid);
    expect(statSync(file).ino, 'the status is not written again').toBe(first);
    host.must('rm', '--force', uuid);
  });

  it('is ready at its start when no app tells', () => {
    const uuid = host.must('run', '-d', 'plain', '--', '--sleep', '100');
    expect(host.must('status', '--wait-ready=20s', uuid)).toMatch(/^ready=/m);
    host.must('rm', '--force', uuid);
  });

  it('that does not become ready in time is told so, with exit status 1', () => {
    const uuid = host.must('run', '-d', 'notifying', '--', '--sleep', '100');
    const late = host.jetpack(['status', '--wait-ready=300ms', uuid, '--json']);
    expect(late.status).toBe(1);
    expect(late.stderr).toContain('"code":"POD_TIMEOUT"');
    expect(late.stderr).toContain('the pod is not ready after 0.3 s');
    const waiting = host.jetpack(['status', '--wait=300ms', uuid]);
    expect(waiting.status).toBe(1);
    expect(waiting.stderr).toContain('the pod has not ended after 0.3 s');
    host.must('rm', '--force', uuid);
  });

  it('that ends before it is ready is told with how it ended', () => {
    const uuid = host.must('run', '-d', 'notifying', '--', '--sleep', '1', '--exit', '3');
    const early = host.jetpack(['status', '--wait-ready', uuid]);
    expect(early.status).toBe(1);
    expect(early.stderr).toContain('has ended, with exit status 3, before it was ready');
    const later = host.jetpack(['status', '--wait-ready', uuid, '--json']);
    expect(later.stderr).toContain('"code":"POD_NOT_READY"');
    const prepared = host.must('prepare', 'notifying');
    expect(host.jetpack(['status', '--wait-ready', prepared]).stderr).toContain(
      'was never started',
    );
    host.must('rm', uuid, prepared);
  });

  it('does as the pod manifest says, not as the image does', () => {
    const file = path.join(host.dir, 'pod.json');
    const uuid = host.must('prepare', 'notifying');
    const manifest = JSON.parse(host.must('manifest', uuid)) as {
      apps: { annotations: object[]; app: { exec: string[] } }[];
    };
    const [app] = manifest.apps;
    if (app === undefined) throw new Error('no app');
    app.annotations = [{ name: 'appc.io/executor/supports-systemd-notify', value: 'false' }];
    app.app.exec = ['/service', '--sleep', '100'];
    writeFileSync(file, JSON.stringify(manifest));
    const other = host.must('run', '-d', `--pod-manifest=${file}`);
    expect(host.must('status', '--wait-ready=20s', other)).toMatch(/^ready=/m);
    host.must('rm', '--force', uuid, other);
  });

  it('tells the manager that it is ready, what it does, and that it stops', async () => {
    const socket = path.join(host.dir, 'notify');
    const heard = path.join(host.dir, 'heard');
    const listener = spawn(manager, ['hear', socket, heard], { stdio: 'ignore' });
    try {
      await until('the manager listens', () => existsSync(socket));
      const words = ['--notify', 'STATUS=loading', '--sleep', '1', '--notify', 'READY=1'];
      const { status } = host.jetpack(['run', '--rm', 'notifying', '--', ...words], {
        env: { NOTIFY_SOCKET: socket },
      });
      expect(status).toBe(0);
      await until('it has heard the end', () => readFileSync(heard, 'utf8').includes('STOPPING'));
      expect(readFileSync(heard, 'utf8')).toBe('STATUS=loading\nREADY=1\nSTOPPING=1\n');
    } finally {
      listener.kill();
    }
  });

  it.each(['none', 'host'])('answers on the socket that it was given, --net=%s', async (net) => {
    const child = activate(`tcp:${address}:${String(port)}`, [
      'run',
      '--rm',
      `--net=${net}`,
      'activated',
      '--',
      '--serve',
      '2',
    ]);
    const end = ended(child);
    expect(tell('hello')).toBe('http: hello\n');
    expect(tell('again')).toBe('http: again\n');
    expect(await end).toEqual({ status: 0, stderr: '' });
  });

  it('that is prepared answers as well, every time it is run', async () => {
    const uuid = host.must('prepare', 'activated', '--', '--serve', '1');
    for (const text of ['one', 'two']) {
      const child = activate(`tcp:${address}:${String(port)}`, ['run', uuid]);
      const end = ended(child);
      expect(tell(text)).toBe(`http: ${text}\n`);
      expect((await end).status).toBe(0);
    }
    host.must('rm', uuid);
  });

  it.skipIf(!existsSync(ACTIVATE))('is started by the first connection', async () => {
    const listen = ['-l', `${address}:${String(port)}`];
    const setenv = Object.entries(host.env).map(([key, value]) => `--setenv=${key}=${value}`);
    const words = ['run', '--rm', 'activated', '--', '--serve', '1'];
    const child = spawn(ACTIVATE, [...listen, ...setenv, process.execPath, MAIN, ...words], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const end = ended(child);
    expect(tell('hi')).toBe('http: hi\n');
    expect((await end).status).toBe(0);
  });

  it('that expects a socket and gets none is refused before anything is made', () => {
    const before = host.traces();
    const { status, stderr } = host.jetpack(['run', '--rm', 'activated']);
    expect(status).toBe(125);
    expect(stderr).toContain('app activated expects a listening socket for its port "http"');
    expect(host.traces()).toEqual(before);
  });

  it('that gets another socket than it expects is refused, and stays prepared', async () => {
    const uuid = host.must('prepare', 'activated');
    const { status, stderr } = await ended(
      activate(`udp:${address}:${String(port)}`, ['run', uuid]),
    );
    expect(status).toBe(125);
    expect(stderr).toContain(
      `no listening socket was passed for app activated, port http (tcp port ${String(port)})`,
    );
    expect((host.json('status', uuid) as Status).state).toBe('prepared');
    host.must('rm', uuid);
  });
});
