import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { FetchError, ManifestError } from '../../../src/errors.ts';
import { parseDockerRef } from '../../../src/fetch/docker-ref.ts';
import { downloadBlob } from '../../../src/fetch/registry/download.ts';
import type { RegistrySource } from '../../../src/fetch/source.ts';
import { MEDIA_TYPES } from '../../../src/schema/oci.ts';
import { FAULTS, FakeRegistry, sha256 } from '../../support/fake-registry.ts';
import { TestFolder } from '../../support/test-folder.ts';
import { MemorySink, type TestClient, testClient } from '../../support/registry-client.ts';

const AMD64 = { os: 'linux', architecture: 'amd64' };
const SHORT = { timeouts: { connectMs: 1000, headersMs: 300, idleMs: 300, documentMs: 1500 } };

let registry: FakeRegistry;
let client: TestClient;
const open: RegistrySource[] = [];
const folder = new TestFolder();

beforeEach(async () => {
  registry = await new FakeRegistry().start();
  client = testClient();
});

afterEach(async () => {
  await Promise.all(open.splice(0).map((source) => source.close()));
  await registry.stop();
  folder.remove();
});

function openSource(text = 'team/app:1', from: TestClient = client): RegistrySource {
  const source = from.registries.openSource(parseDockerRef(`${registry.host}/${text}`));
  open.push(source);
  return source;
}

/** What it fails with. */
async function failureOf(work: Promise<unknown>): Promise<FetchError> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(FetchError);
  return error as FetchError;
}

const isManifest = (line: string) => line.startsWith('GET /v2/team/app/manifests/');
const MANIFEST = /^GET \/v2\/team\/app\/manifests\/./;
const BLOB = /^GET \/v2\/team\/app\/blobs\//;

describe('a manifest of a registry', () => {
  it('leads to the image, and to what the reference named', async () => {
    const { manifest, layers } = registry.addImage('team/app', '1');
    const source = openSource();
    const image = await source.resolve(AMD64);
    expect(image.manifest?.descriptor.digest).toBe(manifest.digest);
    expect(image.layers).toEqual(layers);
    expect(image.remote).toEqual({ digest: manifest.digest, etag: `"${manifest.digest}"` });
    expect(image.refName).toBe(`${registry.host}/team/app:1`);
    const asked = registry.seen.find(({ line }) => isManifest(line))?.headers;
    expect(asked?.accept?.split(', ')).toEqual([
      MEDIA_TYPES.ociIndex,
      MEDIA_TYPES.dockerList,
      MEDIA_TYPES.ociManifest,
      MEDIA_TYPES.dockerManifest,
    ]);
    expect(asked?.['user-agent']).toBe('jetpack/test');
  });

  it('is chosen from an index by its platform', async () => {
    const amd64 = registry.addImage('team/app', undefined).manifest;
    const arm64 = registry.addImage('team/app', undefined, [randomBytes(10)], 'arm64').manifest;
    const index = registry.addManifest('team/app', '1', {
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociIndex,
      manifests: [
        { ...amd64, platform: { os: 'linux', architecture: 'amd64' } },
        { ...arm64, platform: { os: 'linux', architecture: 'arm64' } },
      ],
    });
    const source = openSource();
    const image = await source.resolve({ os: 'linux', architecture: 'arm64' });
    expect(image.manifest?.descriptor.digest).toBe(arm64.digest);
    expect(image.index?.digest).toBe(index.digest);
    expect(image.remote.digest).toBe(index.digest);
    const failure = await failureOf(source.resolve({ os: 'linux', architecture: 's390x' }));
    expect(failure.code).toBe('FETCH_NO_PLATFORM');
  });

  it('is not trusted under a digest that it does not have', async () => {
    const { manifest } = registry.addImage('team/app', '1');
    const other = registry.addImage('team/app', '2').manifest;
    const bytes = registry.manifests.get(`team/app ${other.digest}`);
    if (bytes === undefined) throw new Error('no manifest');
    registry.manifests.set(`team/app ${manifest.digest}`, bytes);
    const failure = await failureOf(openSource(`team/app@${manifest.digest}`).resolve(AMD64));
    expect(failure.code).toBe('FETCH_DIGEST');
    expect(failure.message).toContain(`${registry.host}/team/app`);
  });

  it('is not trusted when the registry calls it by another digest', async () => {
    registry.addImage('team/app', '1');
    registry.faults.push({
      match: MANIFEST,
      handle: (_request, response) => {
        const found = registry.manifests.get('team/app 1');
        response
          .writeHead(200, {
            'content-type': MEDIA_TYPES.ociManifest,
            'docker-content-digest': `sha256:${'0'.repeat(64)}`,
          })
          .end(found?.bytes);
      },
    });
    expect((await failureOf(openSource().resolve(AMD64))).code).toBe('FETCH_DIGEST');
  });

  it('has an end: one that goes on and on is given up', async () => {
    registry.faults.push({ match: MANIFEST, handle: FAULTS.endless() });
    const failure = await failureOf(openSource().resolve(AMD64));
    expect(failure.code).toBe('FETCH_SIZE');
    expect(failure.message).toContain('longer than 4194304 bytes');
  });

  it('has to come in time: drop by drop is too slow', async () => {
    registry.faults.push({ match: MANIFEST, handle: FAULTS.dribble(20) });
    const failure = await failureOf(openSource('team/app:1', testClient(SHORT)).resolve(AMD64));
    expect(failure.code).toBe('FETCH_TIMEOUT');
  });

  it('is waited for only so long', async () => {
    const impatient = testClient(SHORT);
    registry.faults.push({ match: MANIFEST, handle: FAULTS.silence() });
    const failure = await failureOf(openSource('team/app:1', impatient).resolve(AMD64));
    expect(failure.code).toBe('FETCH_TIMEOUT');
    expect(impatient.waitsMs).toHaveLength(4);
  }, 30_000);

  it.each(['application/vnd.docker.distribution.manifest.v1+prettyjws', 'application/json'])(
    'of schema 1 (%s) is refused by that name',
    async (mediaType) => {
      registry.manifests.set('team/app 1', {
        bytes: Buffer.from('{"schemaVersion": 1, "fsLayers": []}'),
        mediaType,
      });
      const failure = await failureOf(openSource().resolve(AMD64));
      expect(failure.code).toBe('FETCH_UNSUPPORTED');
      expect(failure.message).toContain('schema 1');
      expect(failure.remedies).not.toEqual([]);
    },
  );

  it('that is not JSON is refused', async () => {
    registry.manifests.set('team/app 1', {
      bytes: Buffer.from('<html>'),
      mediaType: MEDIA_TYPES.ociManifest,
    });
    await expect(openSource().resolve(AMD64)).rejects.toBeInstanceOf(ManifestError);
  });

  it('that is not there is an error with the words of the registry', async () => {
    const failure = await failureOf(openSource('team/none:1').resolve(AMD64));
    expect(failure.code).toBe('FETCH_NOT_FOUND');
    expect(failure.message).toBe(
      `${registry.host}/team/none: ${registry.host} does not have the manifest 1: 404 MANIFEST_UNKNOWN: "manifest unknown"`,
    );
  });
});

describe('failures that may pass', () => {
  it.each([
    ['503', FAULTS.status(503)],
    ['500', FAULTS.status(500)],
    ['408', FAULTS.status(408)],
    ['a connection that is cut', FAULTS.cutBeforeAnswer()],
  ])('%s: the request is made again, later and later', async (_name, handle) => {
    registry.addImage('team/app', '1');
    registry.faults.push({ match: MANIFEST, times: 3, handle });
    await openSource().resolve(AMD64);
    expect(client.waitsMs).toEqual([375, 750, 1500]);
  });

  it('429: as long as the registry wants, but not for ever', async () => {
    registry.addImage('team/app', '1');
    registry.faults.push(
      { match: MANIFEST, times: 1, handle: FAULTS.status(429, { 'retry-after': '7' }) },
      { match: MANIFEST, times: 1, handle: FAULTS.status(429, { 'retry-after': '86400' }) },
    );
    await openSource().resolve(AMD64);
    expect(client.waitsMs).toEqual([7000, 60_000]);
  });

  it('429 again and again is an error of its own', async () => {
    registry.faults.push({ match: MANIFEST, handle: FAULTS.status(429) });
    expect((await failureOf(openSource().resolve(AMD64))).code).toBe('FETCH_RATE_LIMITED');
    expect(client.waitsMs).toHaveLength(4);
  });

  it.each([400, 403, 404, 451, 501])('%i does not pass: it is asked once', async (status) => {
    registry.faults.push({ match: MANIFEST, handle: FAULTS.status(status) });
    await failureOf(openSource().resolve(AMD64));
    expect(client.waitsMs).toEqual([]);
    expect(registry.lines.filter(isManifest)).toHaveLength(1);
  });

  it('end at once when they are interrupted', async () => {
    const abort = new AbortController();
    registry.faults.push({
      match: MANIFEST,
      handle: () => {
        abort.abort(new Error('enough'));
      },
    });
    await expect(openSource().resolve(AMD64, { signal: abort.signal })).rejects.toThrow('enough');
    expect(client.waitsMs).toEqual([]);
  });

  it('a registry that is not there is unreachable', async () => {
    const source = openSource();
    await registry.stop();
    const failure = await failureOf(source.resolve(AMD64));
    expect(failure.code).toBe('FETCH_UNREACHABLE');
    expect(failure.message).toContain('the connection was refused');
    await registry.start();
  });
});

describe('redirects', () => {
  it('go to another host without the authorization', async () => {
    const store = await new FakeRegistry().start('127.0.0.2');
    try {
      const { layers } = registry.addImage('team/app', '1');
      const [layer] = layers;
      if (layer === undefined) throw new Error('no layer');
      store.addBlob(registry.blobs.get(layer.digest) ?? Buffer.alloc(0));
      registry.authorization = {
        challenge: 'Basic realm="x"',
        accepts: (said) => said === `Basic ${Buffer.from('me:secret').toString('base64')}`,
      };
      const known = testClient({
        environment: { REGISTRY_AUTH_FILE: folder.authFile({ [registry.host]: 'me:secret' }) },
      });
      registry.faults.push({
        match: BLOB,
        handle: (request, response) =>
          request.url?.includes(layer.digest) === true &&
          request.headers.authorization !== undefined
            ? FAULTS.redirect(
                () =>
                  `http://127.0.0.2:${String(store.port)}/v2/x/blobs/${layer.digest}?signature=s`,
              )(request, response)
            : 'go on',
      });
      const source = openSource('team/app:1', known);
      await source.resolve(AMD64);
      const sink = new MemorySink();
      await downloadBlob(source, layer, sink, { timing: known.ports.timing });
      expect(sha256(sink.bytes)).toBe(layer.digest);
      expect(store.seen).toHaveLength(1);
      expect(store.seen[0]?.headers.authorization).toBeUndefined();
    } finally {
      await store.stop();
    }
  });

  it('on the same host keep it', async () => {
    registry.addImage('team/app', '1');
    registry.authorization = {
      challenge: 'Basic realm="x"',
      accepts: (said) => said.startsWith('Basic '),
    };
    registry.faults.push({
      match: /manifests\/1$/,
      times: 2,
      handle: (request, response) =>
        request.headers.authorization === undefined
          ? 'go on'
          : FAULTS.redirect((asked) => `${asked.url ?? ''}?moved`)(request, response),
    });
    const known = testClient({
      environment: { REGISTRY_AUTH_FILE: folder.authFile({ [registry.host]: 'me:secret' }) },
    });
    await openSource('team/app:1', known).resolve(AMD64);
    expect(registry.lines).toContain('GET /v2/team/app/manifests/1?moved');
  });

  it.each([
    ['in a circle', (request: { readonly url?: string | undefined }) => request.url ?? '/'],
    ['to a file', () => 'file:///etc/passwd'],
    ['to nowhere', () => 'http://'],
  ])('%s are refused', async (_name, location) => {
    registry.faults.push({ match: MANIFEST, handle: FAULTS.redirect(location) });
    const failure = await failureOf(openSource().resolve(AMD64));
    expect(failure.code).toBe('FETCH_PROTOCOL');
    expect(registry.lines.length).toBeLessThan(15);
  });
});

describe('isUnchanged', () => {
  it('costs one request without a body', async () => {
    const { manifest } = registry.addImage('team/app', '1');
    const source = openSource();
    const { remote } = await source.resolve(AMD64);
    registry.forget();
    expect(await source.isUnchanged(remote)).toBe(true);
    expect(registry.lines).toEqual(['HEAD /v2/team/app/manifests/1']);
    expect(registry.seen[0]?.headers['if-none-match']).toBe(`"${manifest.digest}"`);
    registry.addImage('team/app', '1');
    expect(await source.isUnchanged(remote)).toBe(false);
  });

  it('asks nobody about a digest', async () => {
    const { manifest } = registry.addImage('team/app', '1');
    const source = openSource(`team/app@${manifest.digest}`);
    expect(await source.isUnchanged({ digest: manifest.digest })).toBe(true);
    expect(registry.lines).toEqual([]);
  });

  it('looks at the manifest where the registry tells no digest', async () => {
    const { manifest } = registry.addImage('team/app', '1');
    registry.faults.push({
      match: /^HEAD/,
      handle: FAULTS.status(200, { 'content-type': MEDIA_TYPES.ociManifest }),
    });
    expect(await openSource().isUnchanged({ digest: manifest.digest })).toBe(true);
    expect(await openSource().isUnchanged({ digest: sha256(Buffer.from('x')) })).toBe(false);
  });
});

describe('mirrors', () => {
  let mirror: FakeRegistry;
  beforeEach(async () => {
    mirror = await new FakeRegistry().start();
  });
  afterEach(() => mirror.stop());

  function mirrored(prefix = ''): TestClient {
    const registries = folder.json({
      'mirror.json': {
        jetpackKind: 'registry',
        jetpackVersion: 'v1',
        registry: registry.host,
        mirrors: [`${mirror.url}${prefix}`],
      },
    });
    return testClient({ folders: { registries: [registries], auth: [], certs: [] } });
  }

  it('are asked first, and the registry nothing when they have it', async () => {
    const layer = randomBytes(100);
    mirror.addImage('team/app', '1', [layer]);
    const with1 = mirrored();
    const source = openSource('team/app:1', with1);
    const image = await source.resolve(AMD64);
    const sink = new MemorySink();
    const [first] = image.layers;
    if (first === undefined) throw new Error('no layer');
    await downloadBlob(source, first, sink, { timing: with1.ports.timing });
    expect(sink.bytes).toEqual(layer);
    expect(registry.lines).toEqual([]);
  });

  it('may have everything below a name of their own', async () => {
    mirror.addImage('hub/team/app', '1');
    await openSource('team/app:1', mirrored('/hub')).resolve(AMD64);
    expect(mirror.lines[0]).toBe('GET /v2/hub/team/app/manifests/1');
    expect(registry.lines).toEqual([]);
  });

  it('that lack it, or are not there, are passed over', async () => {
    registry.addImage('team/app', '1');
    const with1 = mirrored();
    await openSource('team/app:1', with1).resolve(AMD64);
    expect(registry.lines).toContain('GET /v2/team/app/manifests/1');
    await mirror.stop();
    await openSource('team/app:1', with1).resolve(AMD64);
    expect(with1.waitsMs).toEqual([]);
    await mirror.start();
  });

  it('that give other bytes are told of, and passed over', async () => {
    const layer = randomBytes(5000);
    const { layers } = registry.addImage('team/app', '1', [layer]);
    for (const [key, value] of registry.manifests) mirror.manifests.set(key, value);
    for (const [key, value] of registry.blobs) mirror.blobs.set(key, value);
    const [first] = layers;
    if (first === undefined) throw new Error('no layer');
    mirror.blobs.set(first.digest, randomBytes(5000));
    const with1 = mirrored();
    const source = openSource('team/app:1', with1);
    const image = await source.resolve(AMD64);
    expect(image.layers).toEqual(layers);
    const sink = new MemorySink();
    await downloadBlob(source, first, sink, { timing: with1.ports.timing });
    expect(sink.bytes).toEqual(layer);
    expect(with1.warnings.join()).toContain(`(mirror ${mirror.host})`);
  });

  it('that break off are not asked again and again for what the registry has of another size', async () => {
    const layer = randomBytes(5000);
    const { layers } = registry.addImage('team/app', '1', [layer]);
    const [first] = layers;
    if (first === undefined) throw new Error('no layer');
    registry.blobs.set(first.digest, randomBytes(4000));
    registry.supportsRanges = false;
    mirror.faults.push({
      match: /blobs/,
      handle: (request, response) => {
        response.writeHead(200, { 'content-length': '5000' });
        response.write(layer.subarray(0, 10), () => request.socket.destroy());
      },
    });
    const with1 = mirrored();
    const abort = new AbortController();
    const asked = () => [...registry.lines, ...mirror.lines].length;
    registry.faults.push({
      match: /blobs/,
      handle: () => {
        if (asked() > 20) abort.abort(new Error('it goes on for ever'));
        return 'go on';
      },
    });
    const work = downloadBlob(openSource('team/app:1', with1), first, new MemorySink(), {
      timing: with1.ports.timing,
      signal: abort.signal,
    });
    await expect(work).rejects.toMatchObject({ code: 'FETCH_SIZE' });
  });

  it('all failures are told when the registry fails too', async () => {
    registry.faults.push({ match: MANIFEST, handle: FAULTS.status(403) });
    const failure = await failureOf(openSource('team/app:1', mirrored()).resolve(AMD64));
    expect(failure.code).toBe('FETCH_DENIED');
    expect(failure.remedies.join('\n')).toContain(`(mirror ${mirror.host})`);
  });
});

describe('layers that lie elsewhere', () => {
  it('are only asked for over https', async () => {
    const digest = sha256(Buffer.from('x'));
    const failure = await failureOf(
      openSource().openBlob({
        mediaType: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
        digest,
        size: 1,
        urls: [`${registry.url}/elsewhere`, 'ftp://example.com/x', 'nonsense'],
      }),
    );
    expect(failure.code).toBe('FETCH_NOT_FOUND');
    expect(registry.lines.filter((line) => line.includes('elsewhere'))).toEqual([]);
  });
});
