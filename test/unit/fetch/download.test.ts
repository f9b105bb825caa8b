import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { FetchError } from '../../../src/errors.ts';
import { parseDockerRef } from '../../../src/fetch/docker-ref.ts';
import {
  type BlobProgress,
  downloadAll,
  downloadBlob,
  type DownloadOptions,
} from '../../../src/fetch/registry/download.ts';
import type { OciSource, RegistrySource } from '../../../src/fetch/source.ts';
import type { Descriptor } from '../../../src/formats/oci/model.ts';
import { FAULTS, FakeRegistry, sha256 } from '../../support/fake-registry.ts';
import { MemorySink, type TestClient, testClient } from '../../support/registry-client.ts';

const SIZE = 1_000_000;
const BLOB = /^GET \/v2\/team\/app\/blobs\//;

let registry: FakeRegistry;
let client: TestClient;
let source: RegistrySource;
let bytes: Buffer;
let blob: Descriptor;
let options: DownloadOptions;

beforeEach(async () => {
  registry = await new FakeRegistry().start();
  client = testClient({ timeouts: { idleMs: 300, headersMs: 1000 } });
  source = client.registries.openSource(parseDockerRef(`${registry.host}/team/app:1`));
  bytes = randomBytes(SIZE);
  blob = registry.addBlob(bytes);
  options = { timing: client.ports.timing };
});

afterEach(async () => {
  await source.close();
  await registry.stop();
});

/** The connection is cut when so many bytes of the answer went over it. */
function cutAfter(count: number, times = 1): void {
  registry.faults.push({
    match: BLOB,
    times,
    handle: (request, response) => {
      const [, from = '0'] = /^bytes=(\d+)-$/.exec(request.headers.range ?? '') ?? [];
      const start = Number(from);
      const range = `bytes ${String(start)}-${String(SIZE - 1)}/${String(SIZE)}`;
      response.writeHead(start === 0 ? 200 : 206, {
        'content-length': String(SIZE - start),
        ...(start === 0 ? {} : { 'content-range': range }),
      });
      response.write(bytes.subarray(start, start + count), () => request.socket.destroy());
    },
  });
}

function ranges(): readonly (string | undefined)[] {
  return registry.seen
    .filter(({ line }) => line.startsWith('GET /v2/team/app/blobs/'))
    .map(({ headers }) => headers.range);
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(FetchError);
  return (error as FetchError).code;
}

describe('downloadBlob', () => {
  it('brings the bytes, and tells how far it is', async () => {
    const seen: BlobProgress[] = [];
    const sink = new MemorySink();
    await downloadBlob(source, blob, sink, { ...options, onProgress: (at) => seen.push(at) });
    expect(sink.bytes.equals(bytes)).toBe(true);
    expect(seen.at(-1)).toEqual({ blob, receivedBytes: SIZE, resumedBytes: 0 });
    expect(seen.every((at, i) => at.receivedBytes >= (seen[i - 1]?.receivedBytes ?? 0))).toBe(true);
  });

  it('goes on where it broke off', async () => {
    cutAfter(400_000);
    cutAfter(300_000);
    const sink = new MemorySink();
    await downloadBlob(source, blob, sink, options);
    expect(sink.bytes.equals(bytes)).toBe(true);
    const [first, second, third] = ranges();
    expect(first).toBeUndefined();
    expect(second).toMatch(/^bytes=\d+-$/);
    expect(third).toMatch(/^bytes=\d+-$/);
    expect(sink.restarts).toBe(0);
  });

  it('goes on behind what an earlier download left', async () => {
    const sink = new MemorySink(bytes.subarray(0, 600_000));
    const seen: BlobProgress[] = [];
    await downloadBlob(source, blob, sink, { ...options, onProgress: (at) => seen.push(at) });
    expect(sink.bytes.equals(bytes)).toBe(true);
    expect(ranges()).toEqual(['bytes=600000-']);
    expect(seen.at(-1)?.resumedBytes).toBe(600_000);
  });

  it('asks for nothing when all is there, and finds out if it is not right', async () => {
    await downloadBlob(source, blob, new MemorySink(bytes), options);
    expect(ranges()).toEqual([]);
    const sink = new MemorySink(randomBytes(SIZE));
    await downloadBlob(source, blob, sink, options);
    expect(sink.bytes.equals(bytes)).toBe(true);
  });

  it('begins again when what was left is of something else', async () => {
    const sink = new MemorySink(randomBytes(1000));
    await downloadBlob(source, blob, sink, options);
    expect(sink.bytes.equals(bytes)).toBe(true);
    expect(sink.restarts).toBe(1);
    const tooLong = new MemorySink(randomBytes(SIZE + 1));
    await downloadBlob(source, blob, tooLong, options);
    expect(tooLong.bytes.equals(bytes)).toBe(true);
  });

  it('begins again where the registry knows no ranges', async () => {
    registry.supportsRanges = false;
    cutAfter(400_000);
    const sink = new MemorySink();
    await downloadBlob(source, blob, sink, options);
    expect(sink.bytes.equals(bytes)).toBe(true);
    expect(sink.restarts).toBe(1);
  });

  it('begins again where the registry has no such range', async () => {
    registry.faults.push({ match: BLOB, times: 1, handle: FAULTS.status(416) });
    const sink = new MemorySink(bytes.subarray(0, 10));
    await downloadBlob(source, blob, sink, options);
    expect(sink.bytes.equals(bytes)).toBe(true);
    expect(ranges()).toEqual(['bytes=10-', undefined]);
  });

  it.each([
    ['of other bytes', `bytes 11-${String(SIZE - 1)}/${String(SIZE)}`],
    ['of another whole', `bytes 10-${String(SIZE - 1)}/${String(SIZE + 5)}`],
    ['beyond the end', `bytes 10-${String(SIZE + 5)}/*`],
    ['that is none', 'bytes ten'],
  ])('refuses a range %s', async (_name, range) => {
    registry.faults.push({ match: BLOB, handle: FAULTS.status(206, { 'content-range': range }) });
    const sink = new MemorySink(bytes.subarray(0, 10));
    expect(await codeOf(downloadBlob(source, blob, sink, options))).toBe('FETCH_PROTOCOL');
  });

  it('takes no byte more than the manifest says', async () => {
    registry.faults.push({ match: BLOB, handle: FAULTS.endless() });
    const sink = new MemorySink();
    expect(await codeOf(downloadBlob(source, blob, sink, options))).toBe('FETCH_SIZE');
    expect(sink.bytesSoFar).toBe(0);
  });

  it('reads nothing where the registry tells another length', async () => {
    const wrong = { ...blob, size: SIZE - 1 };
    expect(await codeOf(downloadBlob(source, wrong, new MemorySink(), options))).toBe('FETCH_SIZE');
  });

  it('refuses other bytes of the same length', async () => {
    registry.blobs.set(blob.digest, randomBytes(SIZE));
    const sink = new MemorySink();
    expect(await codeOf(downloadBlob(source, blob, sink, options))).toBe('FETCH_DIGEST');
    expect(sink.bytesSoFar).toBe(0);
  });

  it('ends with one who gives other bytes and breaks off each time', async () => {
    bytes = randomBytes(SIZE);
    cutAfter(600_000, 1000);
    const abort = new AbortController();
    const onProgress = () => {
      if (ranges().length > 12) abort.abort(new Error('it goes on for ever'));
    };
    const sink = new MemorySink();
    const work = downloadBlob(source, blob, sink, { ...options, signal: abort.signal, onProgress });
    expect(await codeOf(work)).toBe('FETCH_DIGEST');
    expect(sink.bytesSoFar).toBe(0);
  });

  it('knows the digests of sha512 too, and blobs without bytes', async () => {
    const empty = registry.addBlob(Buffer.alloc(0));
    await downloadBlob(source, empty, new MemorySink(), options);
    expect(ranges()).toEqual([]);
    const wrong = { ...empty, digest: sha256(Buffer.from('x')) };
    expect(await codeOf(downloadBlob(source, wrong, new MemorySink(), options))).toBe(
      'FETCH_DIGEST',
    );
  });

  it('gives up what never gets anywhere, and waits longer and longer', async () => {
    cutAfter(100, 1000);
    const sink = new MemorySink();
    expect(await codeOf(downloadBlob(source, blob, sink, options))).toBe('FETCH_UNREACHABLE');
    expect(client.waitsMs).toEqual([375, 750, 1500, 3000]);
    // What came is kept for the next time.
    expect(sink.bytesSoFar).toBeGreaterThan(0);
  });

  it('does not wait for what stalls', async () => {
    registry.faults.push({
      match: BLOB,
      times: 1,
      handle: (_request, response) => {
        response.writeHead(200, { 'content-length': String(SIZE) });
        response.write(bytes.subarray(0, 1000));
      },
    });
    const sink = new MemorySink();
    await downloadBlob(source, blob, sink, options);
    expect(sink.bytes.equals(bytes)).toBe(true);
    expect(ranges().at(-1)).toBe('bytes=1000-');
  }, 20_000);

  it('does not wait for what comes drop by drop', async () => {
    registry.faults.push({ match: BLOB, handle: FAULTS.dribble(20) });
    expect(await codeOf(downloadBlob(source, blob, new MemorySink(), options))).toBe(
      'FETCH_TIMEOUT',
    );
  }, 20_000);

  it('ends when it is interrupted, in the middle too', async () => {
    const abort = new AbortController();
    const work = downloadBlob(source, blob, new MemorySink(), {
      ...options,
      signal: abort.signal,
      onProgress: () => abort.abort(new Error('enough')),
    });
    await expect(work).rejects.toThrow('enough');
    expect(client.waitsMs).toEqual([]);
  });

  it('lets a full disk be what it is', async () => {
    const sink = new MemorySink();
    sink.write = () => Promise.reject(Object.assign(new Error('full'), { code: 'ENOSPC' }));
    await expect(downloadBlob(source, blob, sink, options)).rejects.toThrow('full');
    expect(client.waitsMs).toEqual([]);
  });
});

describe('downloadAll', () => {
  const open = () => Promise.resolve(new MemorySink());

  it('brings each digest once, a few at a time', async () => {
    const blobs = Array.from({ length: 8 }, (_, i) => registry.addBlob(randomBytes(1000 + i)));
    let running = 0;
    let most = 0;
    const slow: OciSource = {
      ...source,
      async openBlob(wanted, more) {
        running += 1;
        most = Math.max(most, running);
        await new Promise((resolve) => setTimeout(resolve, 5));
        const stream = await source.openBlob(wanted, more);
        running -= 1;
        return stream;
      },
    };
    const done: string[] = [];
    const downloads = downloadAll(slow, [...blobs, ...blobs], {
      ...options,
      parallel: 3,
      openSink: open,
      onBlob: ({ digest }) => void done.push(digest),
    });
    await Promise.all(blobs.map(({ digest }) => downloads.blob(digest)));
    await downloads.all;
    expect(most).toBe(3);
    expect(done.sort()).toEqual(blobs.map(({ digest }) => digest).sort());
    expect(ranges()).toHaveLength(8);
  });

  it('ends with the first failure, for whoever waits', async () => {
    const blobs = Array.from({ length: 6 }, () => registry.addBlob(randomBytes(100)));
    const [, second] = blobs;
    if (second === undefined) throw new Error('no blob');
    registry.blobs.set(second.digest, randomBytes(100));
    const downloads = downloadAll(source, blobs, { ...options, parallel: 1, openSink: open });
    expect(await codeOf(downloads.all)).toBe('FETCH_DIGEST');
    const last = blobs.at(-1);
    if (last === undefined) throw new Error('no blob');
    expect(await codeOf(downloads.blob(last.digest))).toBe('FETCH_DIGEST');
    expect(ranges()).toHaveLength(2);
  });
});
