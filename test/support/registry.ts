/** Debian's docker-registry on a free port of 127.0.0.1, with storage of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import path from 'node:path';

export interface TestRegistry {
  /** `127.0.0.1:PORT` */
  readonly host: string;
  /** Where it keeps blobs: `<storage>/docker/registry/v2/blobs/…`. */
  readonly storage: string;
  /** `GET /v2/x/manifests/y`, in their order, as its log has them. */
  requests(): readonly string[];
  /** All that came since the last call. */
  newRequests(): readonly string[];
  stop(): Promise<void>;
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

/** `more`: further lines of its configuration, e.g. `auth:`; `tls`: files of its certificate and key. */
export async function startRegistry(
  dir: string,
  more = '',
  tls?: { readonly cert: string; readonly key: string },
): Promise<TestRegistry> {
  const port = await freePort();
  const storage = path.join(dir, 'registry');
  mkdirSync(storage, { recursive: true });
  const config = path.join(dir, 'registry.yml');
  const log = path.join(dir, 'registry.log');
  writeFileSync(
    config,
    [
      'version: 0.1',
      'log: {level: error}',
      `storage: {filesystem: {rootdirectory: ${storage}}, delete: {enabled: true}}`,
      `http: {addr: "127.0.0.1:${String(port)}"${tls === undefined ? '' : `, tls: {certificate: ${tls.cert}, key: ${tls.key}}`}}`,
      more,
      '',
    ].join('\n'),
  );
  const fd = openSync(log, 'w');
  const child = spawn('/usr/bin/docker-registry', ['serve', config], {
    stdio: ['ignore', fd, fd],
    env: { PATH: '/usr/bin:/bin', OTEL_TRACES_EXPORTER: 'none' },
  });
  closeSync(fd);
  const host = `127.0.0.1:${String(port)}`;
  await untilListening(child, port, log);
  let seen = 0;
  const requests = () =>
    [...readFileSync(log, 'utf8').matchAll(/"([A-Z]+ \/v2\/\S*) HTTP\//g)].map(
      ([, request = '']) => request,
    );
  seen = requests().length;
  return {
    host,
    storage,
    requests,
    newRequests() {
      const all = requests();
      const fresh = all.slice(seen);
      seen = all.length;
      return fresh;
    },
    async stop() {
      if (child.exitCode === null && child.signalCode === null) {
        const gone = new Promise((resolve) => child.once('exit', resolve));
        child.kill('SIGKILL');
        await gone;
      }
      rmSync(storage, { recursive: true, force: true });
    },
  };
}

async function untilListening(child: ChildProcess, port: number, log: string): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    if (child.exitCode !== null) break;
    const isThere = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1');
      socket.once('connect', () => {
        socket.destroy();
        resolve(true);
      });
      socket.once('error', () => resolve(false));
    });
    if (isThere) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  child.kill('SIGKILL');
  throw new Error(`the registry does not listen: ${readFileSync(log, 'utf8')}`);
}
