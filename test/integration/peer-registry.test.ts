/** Pull and push with Debian's docker-registry, plain, with TLS and passwords, and with tokens; skopeo fills it and looks at it. */
import { randomBytes } from 'node:crypto';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import { FetchError } from '../../src/errors.ts';
import { parseDockerRef } from '../../src/fetch/docker-ref.ts';
import { downloadAll } from '../../src/fetch/registry/download.ts';
import { pushImage, type PushOptions, type PushResult } from '../../src/fetch/registry/push.ts';
import type { PushableImage } from '../../src/fetch/registry/pushable.ts';
import type { ResolvedImage } from '../../src/fetch/source.ts';
import type { Digest } from '../../src/formats/oci/model.ts';
import { Authority, type Pair, readPair } from '../support/certificates.ts';
import { FAULTS, FakeRegistry, sha256 } from '../support/fake-registry.ts';
import { OciLayout, skopeo } from '../support/oci-images.ts';
import { MemorySink, type TestClient, testClient } from '../support/registry-client.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import { TestFolder } from '../support/test-folder.ts';
import { TokenServer } from '../support/token-server.ts';

const AMD64 = { os: 'linux', architecture: 'amd64' };
const work = mkdtempSync(path.join(tmpdir(), 'jetpack-peer-registry-'));
const folder = new TestFolder();
let layout: OciLayout;
let authority: Authority;
let server: Pair;

beforeAll(() => {
  layout = new OciLayout(work, 'layout');
  layout.create('app');
  layout.addLayer('app', (tree) => {
    writeFileSync(path.join(tree, 'small'), 'small\n');
  });
  layout.addLayer('app', (tree) => {
    writeFileSync(path.join(tree, 'large'), randomBytes(3_000_000));
  });
  authority = new Authority(work, 'authority');
  server = authority.sign('server');
});

afterAll(() => {
  rmSync(work, { recursive: true, force: true });
});

afterEach(() => folder.remove());

function start(name: string, more?: string, tls?: Pair): Promise<TestRegistry> {
  const dir = path.join(work, name);
  mkdirSync(dir);
  return startRegistry(dir, more, tls);
}

/** What is under a reference, whole: manifest, configuration, layers. */
async function pull(
  client: TestClient,
  text: string,
): Promise<{ readonly image: ResolvedImage; readonly blobs: ReadonlyMap<Digest, Buffer> }> {
  const source = client.registries.openSource(parseDockerRef(text));
  try {
    const image = await source.resolve(AMD64);
    const blobs = new Map<Digest, Buffer>([[image.config.descriptor.digest, image.config.bytes]]);
    const sinks = new Map<Digest, MemorySink>();
    const downloads = downloadAll(source, image.layers, {
      timing: client.ports.timing,
      parallel: 4,
      openSink: ({ digest }) => {
        const sink = new MemorySink();
        sinks.set(digest, sink);
        return Promise.resolve(sink);
      },
    });
    await downloads.all;
    for (const [digest, sink] of sinks) blobs.set(digest, sink.bytes);
    for (const [digest, bytes] of blobs) expect(sha256(bytes)).toBe(digest);
    return { image, blobs };
  } finally {
    await source.close();
  }
}

function pushable(
  { image, blobs }: Awaited<ReturnType<typeof pull>>,
  origins: readonly string[] = [],
): PushableImage {
  const open = (digest: Digest) =>
    async function* () {
      const bytes = blobs.get(digest);
      if (bytes === undefined) throw new Error('no blob');
      for (let at = 0; at < bytes.length; at += 64 * 1024) {
        yield await Promise.resolve(bytes.subarray(at, at + 64 * 1024));
      }
    };
  if (image.manifest === undefined) throw new Error('no manifest');
  const { bytes, descriptor } = image.manifest;
  const blob = (each: (typeof image.layers)[number]) => ({
    descriptor: each,
    open: open(each.digest),
    origins,
  });
  return {
    manifest: { bytes, mediaType: descriptor.mediaType },
    config: blob(image.config.descriptor),
    layers: image.layers.map(blob),
  };
}

async function push(
  client: TestClient,
  text: string,
  image: PushableImage,
  more: Partial<PushOptions> = {},
): Promise<PushResult> {
  const target = client.registries.openTarget(parseDockerRef(text));
  try {
    return await pushImage(target, image, { timing: client.ports.timing, parallel: 4, ...more });
  } finally {
    await target.close();
  }
}

async function codeOf(attempt: Promise<unknown>): Promise<string> {
  const error = await attempt.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(FetchError);
  return (error as FetchError).code;
}

/** What skopeo has to say: the digest of the manifest. */
function digestBySkopeo(text: string, ...args: readonly string[]): string {
  return skopeo(work, 'inspect', ...args, '--format', '{{.Digest}}', `docker://${text}`).trim();
}

describe('a plain registry', () => {
  let registry: TestRegistry;
  const client = testClient();
  beforeAll(async () => {
    registry = await start('plain');
    const to = `docker://${registry.host}/team`;
    skopeo(work, 'copy', '--dest-tls-verify=false', `oci:${layout.dir}:app`, `${to}/oci:1`);
    skopeo(
      work,
      ...['copy', '--dest-tls-verify=false', '--format', 'v2s2'],
      ...[`oci:${layout.dir}:app`, `${to}/docker:1`],
    );
  });
  afterAll(() => registry.stop());

  it.each(['oci', 'docker'])('on this host needs no configuration (%s manifest)', async (form) => {
    const ref = `${registry.host}/team/${form}:1`;
    const { image } = await pull(client, ref);
    expect(image.layers).toHaveLength(2);
    expect(image.remote.digest).toBe(digestBySkopeo(ref, '--tls-verify=false'));
  });

  it('says cheaply whether a tag still is the same', async () => {
    const source = client.registries.openSource(parseDockerRef(`${registry.host}/team/oci:1`));
    const { remote } = await source.resolve(AMD64);
    registry.newRequests();
    expect(await source.isUnchanged(remote)).toBe(true);
    expect(await source.isUnchanged({ digest: sha256(Buffer.from('x')) })).toBe(false);
    expect(registry.newRequests().every((line) => line.startsWith('HEAD '))).toBe(true);
    await source.close();
  });

  it.each([
    ['in one piece', undefined],
    ['in chunks', 1_000_000],
  ])('takes a push %s, which skopeo finds to be the same', async (how, chunkBytes) => {
    const pulled = await pull(client, `${registry.host}/team/oci:1`);
    const ref = `${registry.host}/${how.replaceAll(' ', '-')}:2`;
    const first = await push(client, ref, pushable(pulled), { chunkBytes });
    expect([...first.outcomes.values()]).toEqual(['sent', 'sent', 'sent']);
    expect(first.digest).toBe(pulled.image.remote.digest);
    expect(digestBySkopeo(ref, '--tls-verify=false')).toBe(first.digest);
    skopeo(
      work,
      ...['copy', '--src-tls-verify=false', `docker://${ref}`, `dir:${path.join(work, how)}`],
    );
    const again = await push(client, ref, pushable(pulled), { chunkBytes });
    expect([...again.outcomes.values()]).toEqual(['existing', 'existing', 'existing']);
    expect((await pull(client, ref)).image.layers).toEqual(pulled.image.layers);
  });

  it('mounts from a neighbour what that has', async () => {
    const pulled = await pull(client, `${registry.host}/team/oci:1`);
    const image = pushable(pulled, [`${registry.host}/team/oci`]);
    const { outcomes, sentBytes } = await push(client, `${registry.host}/mounted:1`, image);
    expect([...outcomes.values()]).toEqual(['mounted', 'mounted', 'mounted']);
    expect(sentBytes).toBe(0);
    expect((await pull(client, `${registry.host}/mounted:1`)).image.layers).toHaveLength(2);
  });

  it('does not have what it does not have', async () => {
    expect(await codeOf(pull(client, `${registry.host}/team/none:1`))).toBe('FETCH_NOT_FOUND');
  });
});

describe('a registry with TLS and passwords', () => {
  let registry: TestRegistry;
  // bcrypt of "top secret"
  const HTPASSWD = 'me:$2y$05$cT1FvxaZOLhPLGYnB0qUu.EETUiy.Ih8A7tT19A1R8ktDhbzSGhUG\n';
  beforeAll(async () => {
    const file = path.join(work, 'htpasswd');
    writeFileSync(file, HTPASSWD);
    registry = await start('tls', `auth: {htpasswd: {realm: here, path: ${file}}}`, server);
    skopeo(
      work,
      ...['copy', '--dest-cert-dir', certs(), '--dest-creds', 'me:top secret'],
      ...[`oci:${layout.dir}:app`, `docker://${registry.host}/app:1`],
    );
  });
  afterAll(() => registry.stop());

  /** A folder with the authority, as `certs.d/<host>/` has it. */
  function certs(): string {
    const dir = path.join(work, 'certs.d', registry.host);
    mkdirSync(dir, { recursive: true });
    copyFileSync(authority.cert, path.join(dir, 'ca.crt'));
    return dir;
  }

  function client(login: string | undefined, over: object = {}): TestClient {
    return testClient({
      folders: { registries: [], auth: [], certs: [path.dirname(certs())] },
      ...(login === undefined
        ? {}
        : { environment: { REGISTRY_AUTH_FILE: folder.authFile({ [registry.host]: login }) } }),
      ...over,
    });
  }

  it('is pulled from and pushed to', async () => {
    const me = client('me:top secret');
    const pulled = await pull(me, `${registry.host}/app:1`);
    const { digest } = await push(me, `${registry.host}/pushed:1`, pushable(pulled));
    expect(
      digestBySkopeo(
        `${registry.host}/pushed:1`,
        '--cert-dir',
        certs(),
        '--creds',
        'me:top secret',
      ),
    ).toBe(digest);
  });

  it('refuses wrong passwords, and none', async () => {
    expect(await codeOf(pull(client('me:wrong'), `${registry.host}/app:1`))).toBe(
      'FETCH_UNAUTHORIZED',
    );
    expect(await codeOf(pull(client(undefined), `${registry.host}/app:1`))).toBe(
      'FETCH_UNAUTHORIZED',
    );
  });

  it('is not trusted without its authority, which may be configured too', async () => {
    const nobody = { folders: { registries: [], auth: [], certs: [] } };
    expect(await codeOf(pull(client('me:top secret', nobody), `${registry.host}/app:1`))).toBe(
      'FETCH_TLS',
    );
    const configured = (more: object) => ({
      folders: {
        auth: [],
        certs: [],
        registries: [
          folder.json({
            'x.json': {
              jetpackKind: 'registry',
              jetpackVersion: 'v1',
              registry: registry.host,
              ...more,
            },
          }),
        ],
      },
    });
    for (const more of [{ ca: authority.cert }, { insecureTls: true }]) {
      await pull(client('me:top secret', configured(more)), `${registry.host}/app:1`);
    }
  });

  it('is not trusted under a name that it does not have', async () => {
    const port = registry.host.split(':')[1] ?? '';
    const dir = path.join(work, 'certs.d', `127.0.0.2:${port}`);
    mkdirSync(dir, { recursive: true });
    copyFileSync(authority.cert, path.join(dir, 'ca.crt'));
    const other = await new FakeRegistry(readPair(server)).start('127.0.0.2');
    try {
      const source = `127.0.0.2:${String(other.port)}`;
      const trusting = path.join(work, 'certs.d', source);
      mkdirSync(trusting, { recursive: true });
      copyFileSync(authority.cert, path.join(trusting, 'ca.crt'));
      expect(await codeOf(pull(client(undefined), `${source}/app:1`))).toBe('FETCH_TLS');
      expect(other.seen).toEqual([]);
    } finally {
      await other.stop();
    }
  });
});

describe('a registry that wants to see a certificate of ours', () => {
  it('sees the one beside its authority', async () => {
    const clients = new Authority(work, 'clients');
    const ours = clients.sign('us');
    const pair = readPair(server);
    const { cert: ca } = readPair(clients);
    const registry = await new FakeRegistry({ ...pair, ca }).start();
    try {
      registry.addImage('app', '1');
      const dir = path.join(work, 'client-certs', registry.host);
      mkdirSync(dir, { recursive: true });
      copyFileSync(authority.cert, path.join(dir, 'ca.crt'));
      const client = () =>
        testClient({ folders: { registries: [], auth: [], certs: [path.dirname(dir)] } });
      await expect(pull(client(), `${registry.host}/app:1`)).rejects.toBeInstanceOf(FetchError);
      expect(registry.seen).toEqual([]);
      copyFileSync(ours.cert, path.join(dir, 'client.cert'));
      await expect(pull(client(), `${registry.host}/app:1`)).rejects.toThrow('has no key');
      copyFileSync(ours.key, path.join(dir, 'client.key'));
      await pull(client(), `${registry.host}/app:1`);
    } finally {
      await registry.stop();
    }
  });
});

describe('a registry that wants tokens', () => {
  let registry: TestRegistry;
  let tokens: TokenServer;
  let plain: TestRegistry;
  beforeAll(async () => {
    tokens = await new TokenServer(authority).start();
    tokens.grants.set('me:top secret', ['pull', 'push']);
    tokens.grants.set('reader:pw', ['pull']);
    tokens.identities.set('identity', 'me:top secret');
    registry = await start('tokens', tokens.registryConfig);
    plain = await start('source');
    skopeo(
      work,
      ...['copy', '--dest-tls-verify=false', `oci:${layout.dir}:app`],
      `docker://${plain.host}/app:1`,
    );
  });
  afterAll(async () => {
    await registry.stop();
    await plain.stop();
    await tokens.stop();
  });

  const client = (login?: string) =>
    testClient(
      login === undefined
        ? {}
        : { environment: { REGISTRY_AUTH_FILE: folder.authFile({ [registry.host]: login }) } },
    );

  it('is pushed to by whom it lets, and pulled from, with one token for all', async () => {
    const pulled = await pull(testClient(), `${plain.host}/app:1`);
    const me = client('me:top secret');
    await push(me, `${registry.host}/team/app:1`, pushable(pulled));
    tokens.requests.length = 0;
    const again = await pull(me, `${registry.host}/team/app:1`);
    expect(again.image.layers).toEqual(pulled.image.layers);
    expect(tokens.requests).toEqual([
      { method: 'GET', scopes: ['repository:team/app:pull'], user: 'me' },
    ]);
    const mount = await push(
      me,
      `${registry.host}/team/second:1`,
      pushable(pulled, [`${registry.host}/team/app`]),
    );
    expect([...mount.outcomes.values()]).toEqual(['mounted', 'mounted', 'mounted']);
    await pull(client('reader:pw'), `${registry.host}/team/app:1`);
    expect(
      await codeOf(push(client('reader:pw'), `${registry.host}/team/app:2`, pushable(pulled))),
    ).toBe('FETCH_UNAUTHORIZED');
    expect(await codeOf(pull(client(), `${registry.host}/team/app:1`))).toBe('FETCH_UNAUTHORIZED');
  });

  it('gives a token for an identity token', async () => {
    const dir = folder.json({
      'auth.json': { auths: { [registry.host]: { identitytoken: 'identity' } } },
    });
    const me = testClient({ environment: { REGISTRY_AUTH_FILE: path.join(dir, 'auth.json') } });
    tokens.requests.length = 0;
    await pull(me, `${registry.host}/team/app:1`);
    expect(tokens.requests.map(({ method }) => method)).toEqual(['POST']);
  });
});

describe('a proxy', () => {
  it('gets requests without TLS as they are, and its own password', async () => {
    // The proxy is the registry itself: it answers whatever host is asked for.
    const proxy = await new FakeRegistry().start();
    try {
      proxy.addImage('app', '1');
      const registries = folder.json({
        'x.json': {
          jetpackKind: 'registry',
          jetpackVersion: 'v1',
          registry: 'registry.example.com',
          plainHttp: true,
        },
      });
      const client = testClient({
        folders: { registries: [registries], auth: [], certs: [] },
        environment: { HTTP_PROXY: `http://us:pa%3Ass@${proxy.host}` },
      });
      await pull(client, 'registry.example.com/app:1');
      expect(proxy.lines[0]).toBe('GET http://registry.example.com/v2/app/manifests/1');
      expect(proxy.seen[0]?.headers['proxy-authorization']).toBe(
        `Basic ${Buffer.from('us:pa:ss').toString('base64')}`,
      );
    } finally {
      await proxy.stop();
    }
  });

  it('is a tunnel for those with TLS, and sees nothing of them', async () => {
    const named = authority.sign('named', ['DNS:registry.example.com']);
    const registry = await new FakeRegistry(readPair(named)).start();
    registry.addImage('app', '1');
    registry.authorization = { challenge: 'Basic realm="x"', accepts: (said) => said !== '' };
    const tunnels: string[] = [];
    const proxy = createServer();
    proxy.on('connect', (request, socket) => {
      tunnels.push(`${request.url ?? ''} ${request.headers['proxy-authorization'] ?? ''}`);
      expect(request.headers.authorization).toBeUndefined();
      const there = connect(registry.port, '127.0.0.1', () => {
        socket.write('HTTP/1.1 200 OK\r\n\r\n');
        there.pipe(socket).pipe(there);
      });
      there.on('error', () => socket.destroy());
      socket.on('error', () => there.destroy());
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    const { port } = proxy.address() as AddressInfo;
    try {
      const certs = folder.make({
        'registry.example.com/ca.crt': readFileSync(authority.cert, 'utf8'),
      });
      const client = (environment: object) =>
        testClient({
          folders: { registries: [], auth: [], certs: [certs] },
          environment: {
            REGISTRY_AUTH_FILE: folder.authFile({ 'registry.example.com': 'me:pw' }),
            ...environment,
          },
        });
      await pull(
        client({ HTTPS_PROXY: `http://us:pw@127.0.0.1:${String(port)}` }),
        'registry.example.com/app:1',
      );
      const said = `Basic ${Buffer.from('us:pw').toString('base64')}`;
      expect(new Set(tunnels)).toEqual(new Set([`registry.example.com:443 ${said}`]));
      expect(registry.seen.some(({ headers }) => headers['proxy-authorization'])).toBe(false);
      proxy.removeAllListeners('connect');
      proxy.on('connect', (_request, socket) => {
        socket.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n');
      });
      const secret = client({ HTTPS_PROXY: `http://us:hunter2@127.0.0.1:${String(port)}` });
      const attempt = pull(secret, 'registry.example.com/app:1');
      await expect(attempt).rejects.toThrow(
        'the proxy on the way to registry.example.com answered 407',
      );
      await expect(attempt).rejects.not.toThrow(/hunter2/);
    } finally {
      proxy.closeAllConnections();
      proxy.close();
      await registry.stop();
    }
  });
});

describe('a registry with TLS that redirects', () => {
  it('is not followed to where there is none', async () => {
    const registry = await new FakeRegistry(readPair(server)).start();
    try {
      const certs = folder.make({
        [`${registry.host}/ca.crt`]: readFileSync(authority.cert, 'utf8'),
      });
      const away = 'http://registry.example.com/x';
      registry.faults.push({ match: /manifests/, handle: FAULTS.redirect(() => away) });
      const client = testClient({ folders: { registries: [], auth: [], certs: [certs] } });
      expect(await codeOf(pull(client, `${registry.host}/app:1`))).toBe('FETCH_TLS');
    } finally {
      await registry.stop();
    }
  });
});
