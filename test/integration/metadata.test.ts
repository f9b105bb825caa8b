import { randomInt } from 'node:crypto';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import process from 'node:process';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { testPool } from '../support/environment.ts';
import { JetpackHost, makeAci, PROJECT, until } from '../support/jetpack-host.ts';

const pool = testPool();
const MAIN = path.join(PROJECT, 'dist', 'main.cjs');
const MDS = path.join(PROJECT, 'dist', 'mds.cjs');
const TEXT = 'text/plain; charset=us-ascii';

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

/** What test/shim/http.c prints. */
function parseAnswers(stdout: string): readonly Answer[] {
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => {
      const [status = '', type = '', body = ''] = line.split('\t');
      return { status: Number(status), type, body: body.replaceAll('\\n', '\n') };
    });
}

/** A metadata service of a host, as its administrator starts it. */
class Service {
  readonly child: ChildProcess;
  stdout = '';
  stderr = '';

  constructor(argv: readonly string[], env: Readonly<Record<string, string>>) {
    const [file = '', ...args] = argv;
    this.child = spawn(file, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.child.stdout?.on('data', (chunk: Buffer) => (this.stdout += chunk.toString()));
    this.child.stderr?.on('data', (chunk: Buffer) => (this.stderr += chunk.toString()));
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  async ready(): Promise<this> {
    await until(`the service listens: ${this.stderr}`, () => this.stderr.includes('listening on'));
    return this;
  }

  async stop(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      const ended = new Promise((resolve) => this.child.once('exit', resolve));
      this.child.kill('SIGTERM');
      await ended;
    }
  }
}

describe.skipIf(pool === undefined)('the metadata service', () => {
  let host: JetpackHost;
  let service: Service;
  const port = randomInt(20_000, 30_000);

  const start = (more: readonly string[] = []) =>
    new Service([process.execPath, MDS, ...more], host.env).ready();

  /** Requests from inside a new pod, answered in their order. */
  function ask(words: readonly string[], flags: readonly string[] = []): readonly Answer[] {
    const done = host.jetpack(['run', '--rm', ...flags, 'app', '--', ...words]);
    return parseAnswers(done.stdout);
  }

  /** From the host, with the URL of a pod. */
  function askAs(uuid: string, ...words: readonly string[]): readonly Answer[] {
    const url = readFileSync(path.join(host.mountpoint, 'pods', uuid, 'metadata-url'), 'utf8');
    const done = spawnSync(path.join(PROJECT, 'shim/build/http'), words, {
      encoding: 'utf8',
      env: { AC_METADATA_URL: url.trim() },
    });
    return parseAnswers(done.stdout);
  }

  const ASK_UUID = ['GET', '/acMetadata/v1/pod/uuid', '-'] as const;
  const idOf = (name: string) => (host.json('image', 'show', name) as { id: string }).id;

  beforeAll(async () => {
    host = new JetpackHost(pool ?? '');
    appendFileSync(host.conf, `mds.port = ${String(port)}\n`);
    host.must('init');
    // Where the service is not started by root, it finds its way to the store by itself.
    chmodSync(host.dir, 0o711);
    const labels = [
      { name: 'os', value: 'linux' },
      { name: 'arch', value: process.arch === 'arm64' ? 'aarch64' : 'amd64' },
    ];
    for (const name of ['app', 'other']) {
      const manifest = {
        acKind: 'ImageManifest',
        acVersion: '0.8.11',
        name,
        labels,
        annotations: [
          { name: 'authors', value: `of ${name}` },
          { name: 'homepage', value: 'https://example.com/ü' },
        ],
        app: {
          exec: ['/http'],
          user: '0',
          group: '0',
          eventHandlers: [
            { name: 'pre-start', exec: ['/http', 'GET', '/acMetadata/v1/pod/uuid', '-'] },
          ],
        },
      };
      const file = makeAci(host, manifest, (rootfs) => {
        copyFileSync(path.join(PROJECT, 'shim/build/http'), path.join(rootfs, 'http'));
        copyFileSync(path.join(PROJECT, 'shim/build/payload'), path.join(rootfs, 'payload'));
      });
      host.must('import', '--insecure-options=image', file);
    }
    service = await start();
  });

  afterAll(async () => {
    await service.stop();
    host.remove();
  });

  it.each(['none', 'host'])('answers an app with --net=%s as appc has it', (net) => {
    const base = '/acMetadata/v1';
    const answers = ask(
      [
        ...['GET', `${base}/pod/uuid`, '-'],
        ...['GET', `${base}/pod/manifest`, '-'],
        ...['GET', `${base}/pod/annotations`, '-'],
        ...['GET', `${base}/apps/app/annotations`, '-'],
        ...['GET', `${base}/apps/app/image/manifest`, '-'],
        ...['GET', `${base}/apps/app/image/id`, '-'],
        ...['GET', `${base}/apps/other/image/id`, '-'],
        ...['GET', `${base}/pod/uuid`, '-'],
      ],
      [`--net=${net}`],
    );
    // The first is the pre-start handler's.
    const [handler, uuid, manifest, annotations, ofApp, image, id, unknown, again] = answers;
    const json = 'application/json';
    expect(handler).toEqual(uuid);
    expect(uuid).toMatchObject({ status: 200, type: TEXT });
    expect(uuid?.body).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    expect(manifest).toMatchObject({ status: 200, type: json });
    const pod = JSON.parse(manifest?.body ?? '') as Record<string, unknown>;
    expect(pod).toMatchObject({
      acKind: 'PodManifest',
      apps: [{ name: 'app', image: { id: idOf('app') } }],
    });
    expect(annotations).toEqual({
      status: 200,
      type: json,
      body: JSON.stringify(pod['annotations'] ?? []),
    });
    expect(ofApp).toMatchObject({ status: 200, type: json });
    expect(JSON.parse(ofApp?.body ?? '')).toContainEqual({ name: 'authors', value: 'of app' });
    expect(image).toMatchObject({ status: 200, type: json });
    const stored = path.join(host.mountpoint, 'images', idOf('app'), 'manifest');
    expect(Buffer.from(image?.body ?? '', 'utf8').toString()).toBe(readFileSync(stored, 'utf8'));
    expect(id).toEqual({ status: 200, type: TEXT, body: idOf('app') });
    expect(unknown).toMatchObject({ status: 404, type: TEXT });
    expect(again).toEqual(uuid);
  });

  it('signs for a pod, and verifies for every other, after its end too', () => {
    const base = '/acMetadata/v1/pod';
    const [, uuid, signature] = ask([
      ...['GET', `${base}/uuid`, '-'],
      ...['POST', `${base}/hmac/sign`, 'content=identity%20%00%ff'],
    ]);
    const form = `uuid=${uuid?.body ?? ''}&signature=${encodeURIComponent(signature?.body ?? '')}`;
    expect(signature).toMatchObject({ status: 200, type: TEXT });
    const [, right, wrong] = ask([
      ...['POST', `${base}/hmac/verify`, `content=identity%20%00%ff&${form}`],
      ...['POST', `${base}/hmac/verify`, `content=identity%20%00%fe&${form}`],
    ]);
    expect(right).toMatchObject({ status: 200, type: TEXT });
    expect(wrong).toMatchObject({ status: 403, type: TEXT });
  });

  it('knows every app of a pod by its own image', () => {
    const path_ = (app: string) => `/acMetadata/v1/apps/${app}/image/id`;
    const words = ['GET', path_('app'), '-', 'GET', path_('other'), '-'];
    const done = host.jetpack([
      'run',
      '--rm',
      'app',
      '--',
      ...words,
      '---',
      'other',
      '--',
      ...words,
    ]);
    const ids = parseAnswers(done.stdout).map(({ body }) => body.replace(/^.*(sha512-)/, '$1'));
    expect(new Set(ids)).toEqual(
      new Set([idOf('app'), idOf('other'), ...ids.filter((id) => !id.startsWith('sha512-'))]),
    );
    expect(ids.filter((id) => id === idOf('other'))).toHaveLength(2);
  });

  it('is of use to who enters a pod', async () => {
    const uuid = host.must('run', '-d', 'app', '--exec=/payload', '--', '--sleep', '60');
    const words = ['/http', 'GET', '/acMetadata/v1/pod/uuid', '-'];
    expect(parseAnswers(host.must('enter', uuid, '--', ...words))).toEqual([
      { status: 200, type: TEXT, body: uuid },
    ]);
    host.must('rm', '--force', uuid);
    await expect
      .poll(() => host.json('list', '--all') as readonly unknown[], { timeout: 10_000 })
      .toEqual([]);
  });

  it('keeps the token to the pod: in its environment and one file of its folder', () => {
    const uuid = host.must('prepare', 'app');
    const dir = path.join(host.mountpoint, 'pods', uuid);
    const url = readFileSync(path.join(dir, 'metadata-url'), 'utf8').trim();
    const token = url.split('/').at(-1) ?? '';
    expect(url).toBe(`http://127.0.0.1:${String(port)}/${token}`);
    expect(Buffer.from(token, 'base64url')).toHaveLength(48);
    const holders = readdirSync(dir, { withFileTypes: true })
      .filter((entry) => entry.isFile())
      .filter((entry) => readFileSync(path.join(dir, entry.name), 'latin1').includes(token));
    expect(holders.map(({ name }) => name).sort()).toEqual(['metadata-url', 'plan']);
    const modes = ['metadata-url', 'manifest', 'plan'].map((name) => {
      const { mode, uid } = statSync(path.join(dir, name));
      return [name, (mode & 0o7777).toString(8), uid];
    });
    expect(modes).toEqual([
      ['metadata-url', '440', 0],
      ['manifest', '440', 0],
      ['plan', '400', 0],
    ]);
    for (const text of [host.must('status', uuid), host.must('manifest', uuid), service.stdout])
      expect(text).not.toContain(token);
    host.must('rm', uuid);
  });

  it('runs without any privilege, and with nothing that it could write to', () => {
    const proc = `/proc/${String(service.pid)}`;
    const status = readFileSync(`${proc}/status`, 'utf8');
    const field = (name: string) =>
      new RegExp(`^${name}:[\\t ]*(.*)$`, 'm').exec(status)?.[1]?.trim();
    const account = readFileSync('/etc/passwd', 'utf8')
      .split('\n')
      .find((line) => line.startsWith('_jetpack:'))
      ?.split(':');
    const ids = Array.from({ length: 4 }, () => account?.[2]).join('\t');
    expect(field('Uid')).toBe(ids);
    expect(field('Gid')?.split('\t')).not.toContain('0');
    expect(field('Groups')).toBe('');
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
      expect([set, field(set)]).toEqual([set, '0000000000000000']);
    expect(field('NoNewPrivs')).toBe('1');
    const mounts = readFileSync(`${proc}/mountinfo`, 'utf8').trim().split('\n');
    expect(mounts.filter((line) => !/^\S+ \S+ \S+ \S+ \S+ ro,/.test(line))).toEqual([]);
    const files = readdirSync(`${proc}/fd`).map((fd) => {
      const flags = /^flags:\s+(\d+)$/m.exec(readFileSync(`${proc}/fdinfo/${fd}`, 'utf8'))?.[1];
      const writable = (Number.parseInt(flags ?? '0', 8) & 3) !== 0;
      return { target: readlinkSync(`${proc}/fd/${fd}`), writable };
    });
    const writable = files.filter((file) => file.writable).map(({ target }) => target);
    expect(writable.filter((target) => !/^(?:socket|pipe|anon_inode):/.test(target))).toEqual([]);
    // The plan has the environment of every app: it may not even look.
    const root = `${proc}/root`;
    const pods = path.join(host.mountpoint, 'pods');
    expect(readdirSync(root).sort()).not.toContain('home');
    expect(statSync(path.join(root, pods)).isDirectory()).toBe(true);
  });

  it('lets only the host look at /_info, not a pod without network', () => {
    const [, inside] = ask(['GET', '/../_info', '-']);
    expect(inside?.status).toBe(404);
    const findings = host.json('info') as {
      findings: readonly { what: string; value: string; lack?: unknown }[];
    };
    const found = findings.findings.find(({ what }) => what === 'metadata service');
    expect(found?.value).toContain(`answers at 127.0.0.1:${String(port)}`);
    expect(found?.lack).toBeUndefined();
  });

  it('answers for pods and images that were made with a narrow umask', () => {
    const narrow = (...words: readonly string[]) =>
      spawnSync(
        '/bin/sh',
        ['-c', 'umask 077 && exec "$@"', 'sh', process.execPath, MAIN, ...words],
        { encoding: 'utf8', env: host.env },
      );
    const manifest = {
      ...(JSON.parse(host.must('image', 'manifest', 'app')) as object),
      name: 'narrow',
    };
    const file = makeAci(host, manifest, (rootfs) => {
      copyFileSync(path.join(PROJECT, 'shim/build/http'), path.join(rootfs, 'http'));
    });
    expect(narrow('import', '--insecure-options=image', file).status).toBe(0);
    const paths = [
      'pod/uuid',
      'pod/manifest',
      'apps/narrow/image/manifest',
      'apps/narrow/annotations',
    ];
    const done = narrow(
      'run',
      '--rm',
      'narrow',
      '--',
      ...paths.flatMap((rest) => ['GET', `/acMetadata/v1/${rest}`, '-']),
    );
    // The first is of its pre-start.
    expect(parseAnswers(done.stdout).map(({ status }) => status)).toEqual([
      200, 200, 200, 200, 200,
    ]);
  });

  it('survives pods that vanish and manifests that are damaged', async () => {
    const [gone, damaged, fine] = Array.from({ length: 3 }, () => host.must('prepare', 'app'));
    const words = ASK_UUID;
    for (const uuid of [gone, damaged, fine])
      expect(askAs(uuid ?? '', ...words)[0]).toMatchObject({ status: 200, body: uuid });
    const url = readFileSync(
      path.join(host.mountpoint, 'pods', gone ?? '', 'metadata-url'),
      'utf8',
    ).trim();
    host.must('rm', gone ?? '');
    writeFileSync(path.join(host.mountpoint, 'pods', damaged ?? '', 'manifest'), '{"apps": [');
    const http = () =>
      parseAnswers(
        spawnSync(path.join(PROJECT, 'shim/build/http'), words, {
          encoding: 'utf8',
          env: { AC_METADATA_URL: url },
        }).stdout,
      )[0]?.status;
    await expect.poll(http, { timeout: 5000 }).toBe(401);
    await expect.poll(() => askAs(damaged ?? '', ...words)[0]?.status, { timeout: 5000 }).toBe(500);
    await expect.poll(() => service.stderr).toContain(damaged);
    expect(askAs(fine ?? '', ...words)[0]?.status).toBe(200);
    host.must('rm', damaged ?? '', fine ?? '');
  });

  it('knows the apps that come to a running pod and leave it', async () => {
    const uuid = host.must('run', '-d', '--mutable');
    const url = readFileSync(path.join(host.mountpoint, 'pods', uuid, 'metadata-url'), 'utf8');
    const id = () => askAs(uuid, 'GET', '/acMetadata/v1/apps/late/image/id', '-')[0]?.status;
    expect(id()).toBe(404);
    host.must('app', 'add', uuid, 'app', '--name=late', '--exec=/payload', '--', '--sleep', '60');
    await expect.poll(id, { timeout: 5000 }).toBe(200);
    host.must('app', 'start', `${uuid}:late`);
    const words = ['/http', 'GET', '/acMetadata/v1/apps/late/image/id', '-'];
    expect(parseAnswers(host.must('enter', `${uuid}:late`, '--', ...words))).toEqual([
      { status: 200, type: TEXT, body: idOf('app') },
    ]);
    expect(url).toBe(
      readFileSync(path.join(host.mountpoint, 'pods', uuid, 'metadata-url'), 'utf8'),
    );
    host.must('rm', '--force', uuid);
  });

  it('survives a thousand connections that say nothing, and is there for the next', async () => {
    const uuid = host.must('prepare', 'app');
    const url = readFileSync(
      path.join(host.mountpoint, 'pods', uuid, 'metadata-url'),
      'utf8',
    ).trim();
    const hold = spawn(path.join(PROJECT, 'shim/build/http'), ['--hold', '1000', '3'], {
      env: { AC_METADATA_URL: url },
      stdio: 'ignore',
    });
    const ended = new Promise((resolve) => hold.once('exit', resolve));
    const words = ASK_UUID;
    await expect
      .poll(() => askAs(uuid, ...words)[0]?.status, { timeout: 15_000, interval: 200 })
      .toBe(200);
    await ended;
    expect(askAs(uuid, ...words)[0]?.status).toBe(200);
    const rss = /^VmRSS:\s+(\d+)/m.exec(
      readFileSync(`/proc/${String(service.pid)}/status`, 'utf8'),
    )?.[1];
    expect(Number(rss)).toBeLessThan(60 * 1024);
    host.must('rm', uuid);
  });

  it('ends at a signal, also when nobody reads its log any more', async () => {
    await service.stop();
    const child = spawn(process.execPath, [MDS], {
      env: host.env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let told = '';
    child.stderr.on('data', (chunk: Buffer) => (told += chunk.toString()));
    await until('the service listens', () => told.includes('listening on'));
    const target = `http://127.0.0.1:${String(port)}/nobody/${'x'.repeat(300)}`;
    for (let i = 0; i < 2000; i += 1) await (await fetch(target)).text();
    const ended = new Promise((resolve) => child.once('exit', (...how) => resolve(how)));
    child.kill('SIGTERM');
    expect(await ended).toEqual([null, 'SIGTERM']);
    service = await start();
  });

  it('is missed with a warning, and its pods find it when it is back', async () => {
    const [, before] = ask(['POST', '/acMetadata/v1/pod/hmac/sign', 'content=x']);
    expect(before?.status).toBe(200);
    const prepared = host.must('prepare', 'app');
    const signed = askAs(prepared, 'POST', '/acMetadata/v1/pod/hmac/sign', 'content=x')[0]?.body;
    await service.stop();
    const warn = ['-o', 'mds.warn=yes'];
    const down = host.jetpack(['run', '--rm', ...warn, 'app', '--', ...ASK_UUID]);
    expect(down.stderr).toContain(
      `jetpack: warning: the metadata service does not answer at 127.0.0.1:${String(port)}; start it with`,
    );
    expect(down.stderr.match(/warning/g)).toHaveLength(1);
    expect(parseAnswers(down.stdout).at(-1)).toEqual({
      status: 503,
      type: TEXT,
      body: 'the metadata service does not answer.\n',
    });
    expect(host.jetpack(['prepare', ...warn, 'app']).stderr).toContain('does not answer');
    const info = host.must('info');
    expect(info).toMatch(/lacks +metadata service +does not answer/);
    service = await start();
    const form = `uuid=${prepared}&content=x&signature=${encodeURIComponent(signed ?? '')}`;
    const [again, verified] = askAs(
      prepared,
      ...ASK_UUID,
      ...['POST', '/acMetadata/v1/pod/hmac/verify', form],
    );
    expect(again).toMatchObject({ status: 200, body: prepared });
    expect(verified?.status).toBe(200);
  });

  it('tells a second one, and whoever may not start it', () => {
    const second = spawnSync(process.execPath, [MDS], { encoding: 'utf8', env: host.env });
    expect(second.status).toBe(125);
    expect(second.stderr).toContain('jetpack: cannot listen on 127.0.0.1');
    const nobody = spawnSync(
      'setpriv',
      ['--reuid=65534', '--regid=65534', '--clear-groups', process.execPath, MDS],
      { encoding: 'utf8', env: host.env },
    );
    expect(nobody.status).toBe(1);
    expect(nobody.stderr).toMatch(
      /may not read .*hmac\.key: the metadata service runs as _jetpack/,
    );
    expect(nobody.stderr).toContain('try: sudo jetpack-mds');
    const wrong = spawnSync(process.execPath, [MDS, '-o', 'mds.listen=0.0.0.0'], {
      encoding: 'utf8',
      env: host.env,
    });
    expect(wrong.stderr).toContain('0.0.0.0 would answer on every network');
  });

  it.each([
    ['root', []],
    [
      'its own user',
      ['setpriv', '--reuid=_jetpack', '--regid=_jetpack', '--clear-groups', '--no-new-privs'],
    ],
  ])('takes the socket of a service manager that starts it as %s', async (who, become) => {
    const own = port + (who === 'root' ? 1 : 2);
    const argv = [
      ...become,
      ...['systemd-socket-activate', '-l', `127.0.0.1:${String(own)}`],
      ...['-E', `JETPACK_CONF=${host.conf}`, '-E', 'PATH=/usr/bin:/bin'],
      ...[process.execPath, MDS, '-o', `mds.port=${String(own)}`],
    ];
    const activated = new Service(argv, host.env);
    await until('it waits', () => activated.stderr.includes('Listening on'));
    const uuid = host.must('prepare', '-o', `mds.port=${String(own)}`, 'app');
    expect(askAs(uuid, ...ASK_UUID)[0]).toMatchObject({ status: 200, body: uuid });
    const status = readFileSync(`/proc/${String(activated.pid)}/status`, 'utf8');
    expect(status).toMatch(/^CapEff:\t0{16}$/m);
    expect(status).not.toMatch(/^Uid:.*\t0\b/m);
    await activated.stop();
    host.must('rm', uuid);
  });

  it('listens on the address of a bridge from the moment that it is there', async () => {
    const name = `jpmds${String(process.pid)}`;
    const ip = (...words: readonly string[]) => {
      const done = spawnSync('ip', words, { encoding: 'utf8' });
      if (done.status !== 0) throw new Error(`ip ${words.join(' ')}: ${done.stderr}`);
    };
    ip('netns', 'add', name);
    try {
      ip('-n', name, 'link', 'set', 'lo', 'up');
      const inside = ['ip', 'netns', 'exec', name];
      const listen = ['-o', 'mds.listen=127.0.0.1,jpbr0'];
      const bridged = await new Service(
        [...inside, process.execPath, MDS, ...listen],
        host.env,
      ).ready();
      ip('-n', name, 'link', 'add', 'jpbr0', 'type', 'bridge');
      ip('-n', name, 'addr', 'add', '10.203.7.1/24', 'dev', 'jpbr0');
      ip('-n', name, 'link', 'set', 'jpbr0', 'up');
      const uuid = host.must('prepare', 'app');
      const file = path.join(host.mountpoint, 'pods', uuid, 'metadata-url');
      const url = readFileSync(file, 'utf8').trim().replace('127.0.0.1', '10.203.7.1');
      const call = () =>
        spawnSync('ip', [...inside.slice(1), path.join(PROJECT, 'shim/build/http'), ...ASK_UUID], {
          encoding: 'utf8',
          env: { ...host.env, AC_METADATA_URL: url },
        }).stdout;
      await expect.poll(call, { timeout: 10_000, interval: 300 }).toContain(uuid);
      const sockets = spawnSync('ip', [...inside.slice(1), 'ss', '-Hltn'], { encoding: 'utf8' });
      expect(sockets.stdout).not.toMatch(/0\.0\.0\.0:\d+ +0\.0\.0\.0|\*:\d+ +\*/);
      expect(sockets.stdout).toContain(`10.203.7.1:${String(port)}`);
      await bridged.stop();
      host.must('rm', uuid);
    } finally {
      ip('netns', 'del', name);
    }
  });
});
