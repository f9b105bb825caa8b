import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { FetchError, ImageError } from '../../../src/errors.ts';
import { parseDockerRef } from '../../../src/fetch/docker-ref.ts';
import { pushImage, type PushOptions, type PushResult } from '../../../src/fetch/registry/push.ts';
import type { PushableBlob, PushableImage } from '../../../src/fetch/registry/pushable.ts';
import type { Target } from '../../../src/fetch/registry/registries.ts';
import { MEDIA_TYPES } from '../../../src/schema/oci.ts';
import { FAULTS, FakeRegistry, sha256 } from '../../support/fake-registry.ts';
import { TestFolder } from '../../support/test-folder.ts';
import { type TestClient, testClient } from '../../support/registry-client.ts';

let registry: FakeRegistry;
let client: TestClient;
let target: Target;
const folder = new TestFolder();

beforeEach(async () => {
  registry = await new FakeRegistry().start();
  client = testClient({ timeouts: { idleMs: 500, headersMs: 1000 } });
  target = targetOf('team/app:1');
});

afterEach(async () => {
  await target.close();
  await registry.stop();
  folder.remove();
});

function targetOf(text: string, by: TestClient = client): Target {
  return by.registries.openTarget(parseDockerRef(`${registry.host}/${text}`));
}

function blobOf(bytes: Buffer, mediaType: string = MEDIA_TYPES.ociLayer): PushableBlob {
  return {
    descriptor: { mediaType, digest: sha256(bytes), size: bytes.length },
    async *open() {
      for (let at = 0; at < bytes.length; at += 10_000) {
        yield await Promise.resolve(bytes.subarray(at, at + 10_000));
      }
    },
  };
}

function imageOf(layers: readonly PushableBlob[]): PushableImage {
  const config = blobOf(Buffer.from('{"os":"linux"}'), MEDIA_TYPES.ociConfig);
  const manifest = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config: config.descriptor,
    layers: layers.map(({ descriptor }) => descriptor),
  };
  return {
    manifest: { bytes: Buffer.from(JSON.stringify(manifest)), mediaType: MEDIA_TYPES.ociManifest },
    config,
    layers,
  };
}

function push(image: PushableImage, more: Partial<PushOptions> = {}): Promise<PushResult> {
  return pushImage(target, image, { timing: client.ports.timing, parallel: 2, ...more });
}

async function failureOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
}

const methods = () => registry.lines.map((line) => line.split(' ')[0]);

describe('pushImage', () => {
  it('sends blobs, then the manifest, which then can be had by its tag and its digest', async () => {
    const layers = [randomBytes(50_000), randomBytes(10), Buffer.alloc(0)];
    const image = imageOf(layers.map((bytes) => blobOf(bytes)));
    const { digest, outcomes, sentBytes } = await push(image);
    expect(digest).toBe(sha256(image.manifest.bytes));
    expect([...outcomes.values()]).toEqual(['sent', 'sent', 'sent', 'sent']);
    expect(sentBytes).toBe(50_010 + image.config.descriptor.size);
    for (const bytes of layers) expect(registry.blobs.get(sha256(bytes))?.equals(bytes)).toBe(true);
    expect(registry.manifests.get(`team/app ${digest}`)?.bytes).toEqual(image.manifest.bytes);
    expect(registry.manifests.get('team/app 1')?.mediaType).toBe(MEDIA_TYPES.ociManifest);
    expect(registry.lines.at(-1)).toBe('PUT /v2/team/app/manifests/1');
  });

  it.each(['absolute', 'relative'] as const)(
    'keeps the query of an upload to the letter (%s Location)',
    async (locations) => {
      registry.locations = locations;
      await push(imageOf([blobOf(randomBytes(100))]));
      const put = registry.lines.find((line) => line.startsWith('PUT') && line.includes('uploads'));
      expect(put).toMatch(/\?_state=a%20b%2B[0-9a-f]+&digest=sha256%3A[0-9a-f]{64}$/);
    },
  );

  it('sends nothing that is there, and nothing twice', async () => {
    const bytes = randomBytes(1000);
    const image = imageOf([blobOf(bytes), blobOf(bytes)]);
    await push(image);
    registry.forget();
    const { outcomes, sentBytes } = await push(image);
    expect([...outcomes.values()]).toEqual(['existing', 'existing']);
    expect(sentBytes).toBe(0);
    expect(methods()).toEqual(['HEAD', 'HEAD', 'PUT']);
  });

  it('lets the registry take a blob from a neighbour that has it', async () => {
    const bytes = randomBytes(1000);
    const blob = { ...blobOf(bytes), origins: [`${registry.host}/team/origin`, 'docker.io/x/y'] };
    registry.faults.push({ match: /^HEAD .*blobs/, handle: FAULTS.status(404) });
    registry.addBlob(bytes);
    const { outcomes } = await push(imageOf([blob]));
    expect(outcomes.get(blob.descriptor.digest)).toBe('mounted');
    expect(registry.lines).toContain(
      `POST /v2/team/app/blobs/uploads/?mount=${encodeURIComponent(blob.descriptor.digest)}&from=team%2Forigin`,
    );
  });

  it('sends a blob that the neighbour turns out not to have', async () => {
    const bytes = randomBytes(1000);
    const blob = { ...blobOf(bytes), origins: [`${registry.host}/team/origin`] };
    const { outcomes } = await push(imageOf([blob]));
    expect(outcomes.get(blob.descriptor.digest)).toBe('sent');
    expect(registry.blobs.get(blob.descriptor.digest)).toEqual(bytes);
  });

  it('sends in chunks where it is told to', async () => {
    const bytes = randomBytes(95_000);
    await push(imageOf([blobOf(bytes)]), { chunkBytes: 20_000 });
    expect(registry.blobs.get(sha256(bytes))?.equals(bytes)).toBe(true);
    const ranges = registry.seen
      .filter(({ line }) => line.startsWith('PATCH'))
      .map(({ headers }) => headers['content-range']);
    expect(ranges).toContain('0-19999');
    expect(ranges).toContain('80000-94999');
  });

  it('sends chunks as long as the registry wants them at least', async () => {
    registry.leastChunkBytes = 40_000;
    const bytes = randomBytes(95_000);
    await push(imageOf([blobOf(bytes)]), { chunkBytes: 20_000 });
    const ranges = registry.seen
      .filter(({ line }) => line.startsWith('PATCH'))
      .map(({ headers }) => headers['content-range']);
    expect(ranges).toContain('40000-79999');
    expect(registry.blobs.get(sha256(bytes))?.equals(bytes)).toBe(true);
  });

  it('goes on with a chunk where the registry has it, after a cut in its middle', async () => {
    const bytes = randomBytes(100_000);
    let seen = 0;
    registry.faults.push({
      match: /^PATCH/,
      handle: (request) => {
        seen += 1;
        if (seen === 3) {
          let got = 0;
          request.on('data', (part: Buffer) => {
            got += part.length;
            if (got >= 5000) request.socket.destroy();
          });
        }
        return 'go on';
      },
    });
    await push(imageOf([blobOf(bytes)]), { chunkBytes: 20_000, parallel: 1 });
    expect(registry.blobs.get(sha256(bytes))?.equals(bytes)).toBe(true);
    expect(methods()).toContain('GET');
  });

  it('gives up where a chunk never gets through and all before it is lost each time', async () => {
    const abort = new AbortController();
    const image = imageOf([blobOf(randomBytes(100_000))]);
    registry.blobs.set(image.config.descriptor.digest, Buffer.alloc(0));
    let starts = 0;
    registry.faults.push(
      {
        match: /^PATCH/,
        handle: (request, response) => {
          request.resume();
          if (request.headers['content-range']?.startsWith('0-') !== true)
            response.writeHead(503).end();
          else {
            starts += 1;
            if (starts > 20) abort.abort(new Error('it goes on for ever'));
            response.writeHead(202, { location: request.url ?? '', range: '0-19999' }).end();
          }
        },
      },
      {
        match: /^GET .*uploads/,
        handle: (request, response) =>
          response.writeHead(204, { location: request.url ?? '', range: '0-0' }).end(),
      },
    );
    const failure = await failureOf(push(image, { chunkBytes: 20_000, signal: abort.signal }));
    expect(failure).toMatchObject({ code: 'FETCH_UNREACHABLE' });
  });

  it('goes over to chunks when the whole does not get through', async () => {
    const bytes = randomBytes(100_000);
    registry.faults.push(
      { match: /^PUT .*uploads/, times: 1, handle: FAULTS.cutBeforeAnswer() },
      { match: /^PUT .*uploads/, times: 1, handle: FAULTS.status(413) },
    );
    await push(imageOf([blobOf(bytes)]));
    expect(registry.blobs.get(sha256(bytes))?.equals(bytes)).toBe(true);
    expect(methods()).toContain('PATCH');
  });

  it('begins an upload again that the registry has forgotten', async () => {
    const bytes = randomBytes(1000);
    registry.faults.push({ match: /^PUT .*uploads/, times: 2, handle: FAULTS.status(404) });
    await push(imageOf([blobOf(bytes)]));
    expect(registry.blobs.get(sha256(bytes))?.equals(bytes)).toBe(true);
  });

  it('gives up an upload that is forgotten each time', async () => {
    registry.faults.push({ match: /^P(?:UT|ATCH) .*uploads/, handle: FAULTS.status(404) });
    const failure = await failureOf(push(imageOf([blobOf(randomBytes(1000))])));
    expect(failure).toMatchObject({ code: 'FETCH_PROTOCOL' });
    expect(registry.manifests.size).toBe(0);
  });

  it('stops for a receiver that takes no more bytes', async () => {
    registry.faults.push({
      match: /^P(?:UT|ATCH) .*uploads/,
      handle: (request) => {
        request.pause();
      },
    });
    const failure = await failureOf(push(imageOf([blobOf(Buffer.alloc(30_000_000))])));
    expect(failure).toMatchObject({ code: 'FETCH_TIMEOUT' });
  }, 60_000);

  it('does not let damaged bytes become a blob', async () => {
    const good = blobOf(randomBytes(30_000));
    const bad = { ...good, open: blobOf(randomBytes(30_000)).open };
    const failure = await failureOf(push(imageOf([bad])));
    expect(failure).toBeInstanceOf(ImageError);
    expect(failure).toMatchObject({ code: 'IMAGE_DAMAGED' });
    const short = { ...good, open: blobOf(randomBytes(20_000)).open };
    expect(await failureOf(push(imageOf([short])))).toMatchObject({ code: 'IMAGE_DAMAGED' });
    expect(registry.manifests.size).toBe(0);
  });

  it('leaves layers where they are that no registry may hand out', async () => {
    const foreign: PushableBlob = {
      descriptor: {
        mediaType: 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
        digest: sha256(Buffer.from('far away')),
        size: 8,
        urls: ['https://example.com/layer'],
      },
      open: () => {
        throw new Error('it is not here');
      },
    };
    const { outcomes } = await push(imageOf([foreign]));
    expect(outcomes.size).toBe(1);
  });

  it('is refused under a digest that the image does not have', async () => {
    const image = imageOf([blobOf(randomBytes(10))]);
    const wrong = targetOf(`team/app@sha256:${'0'.repeat(64)}`);
    const failure = await failureOf(
      pushImage(wrong, image, { timing: client.ports.timing, parallel: 1 }),
    );
    expect(failure).toMatchObject({ code: 'FETCH_DIGEST' });
    expect(registry.lines).toEqual([]);
    const right = targetOf(`team/app@${sha256(image.manifest.bytes)}`);
    await pushImage(right, image, { timing: client.ports.timing, parallel: 1 });
    expect(registry.lines.at(-1)).toContain('PUT /v2/team/app/manifests/sha256:');
    await Promise.all([wrong.close(), right.close()]);
  });

  it('notices a registry that took the manifest as another', async () => {
    registry.faults.push({
      match: /^PUT .*manifests/,
      handle: FAULTS.status(201, { 'docker-content-digest': `sha256:${'0'.repeat(64)}` }),
    });
    expect(await failureOf(push(imageOf([])))).toMatchObject({ code: 'FETCH_DIGEST' });
  });

  it('goes to the registry itself, never to a mirror', async () => {
    const registries = folder.json({
      'x.json': {
        jetpackKind: 'registry',
        jetpackVersion: 'v1',
        registry: registry.host,
        mirrors: ['http://127.0.0.1:1'],
      },
    });
    const mirrored = testClient({ folders: { registries: [registries], auth: [], certs: [] } });
    const own = targetOf('team/app:2', mirrored);
    await pushImage(own, imageOf([]), { timing: mirrored.ports.timing, parallel: 1 });
    await own.close();
    expect(registry.manifests.has('team/app 2')).toBe(true);
  });

  it('says what the registry said when it is not allowed', async () => {
    registry.faults.push({
      match: /^POST/,
      handle: FAULTS.status(403, {}, '{"errors":[{"code":"DENIED","message":"read only, sorry"}]}'),
    });
    const failure = await failureOf(push(imageOf([blobOf(randomBytes(10))])));
    expect(failure).toBeInstanceOf(FetchError);
    expect(failure).toMatchObject({ code: 'FETCH_DENIED' });
    expect((failure as FetchError).message).toContain('DENIED: "read only, sorry"');
  });

  it('ends when it is interrupted', async () => {
    const abort = new AbortController();
    const work = push(imageOf([blobOf(randomBytes(100_000))]), {
      signal: abort.signal,
      onProgress: () => abort.abort(new Error('enough')),
    });
    await expect(work).rejects.toThrow('enough');
    expect(registry.manifests.size).toBe(0);
  });
});
