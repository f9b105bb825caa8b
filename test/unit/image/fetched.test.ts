import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { Digest } from '../../../src/formats/oci/model.ts';
import { createLayout, type Layout } from '../../../src/host/layout.ts';
import {
  type Fetched,
  findFetched,
  findFetchedForAll,
  putFetched,
  readFetchedFiles,
  removeFetchedFile,
} from '../../../src/image/fetched.ts';
import type { ImageId } from '../../../src/schema/appc.ts';
import type { DatasetName } from '../../../src/zfs/zfs.ts';

const AMD64 = { os: 'linux', architecture: 'amd64' };
const ARM = { os: 'linux', architecture: 'arm', variant: 'v7' };
const REF = 'docker://docker.io/library/alpine:3.20';

let root: string;
let layout: Layout;
beforeEach(() => {
  root = mkdtempSync(path.join(tmpdir(), 'jp-fetched-'));
  layout = createLayout('pool/jetpack' as DatasetName, root);
  for (const dir of [layout.dir.fetched, layout.dir.locks]) mkdirSync(dir, { recursive: true });
});
afterEach(() => {
  rmSync(root, { recursive: true, force: true });
});

const fetched = (more: Partial<Fetched> = {}): Fetched => ({
  version: 1,
  ref: REF,
  platform: AMD64,
  digest: `sha256:${'a'.repeat(64)}` as Digest,
  id: `sha512-${'1'.repeat(128)}` as ImageId,
  fetchedAt: '2024-05-06T07:08:09.000Z',
  ...more,
});

describe('what a reference was when it was fetched', () => {
  it('is kept for each platform, and replaced by the next fetch', async () => {
    expect(findFetched(layout, REF, AMD64)).toBeUndefined();
    await putFetched(layout, fetched());
    await putFetched(layout, fetched({ platform: ARM, etag: '"x"' }));
    const later = fetched({ id: `sha512-${'2'.repeat(128)}` as ImageId });
    await putFetched(layout, later);
    expect(findFetched(layout, REF, AMD64)).toEqual(later);
    expect(findFetched(layout, REF, ARM)?.etag).toBe('"x"');
    expect(findFetched(layout, 'docker://docker.io/library/alpine:3.19', AMD64)).toBeUndefined();
    expect(readFetchedFiles(layout)).toHaveLength(2);
    expect(findFetchedForAll(layout, REF).map(({ platform }) => platform)).toEqual(
      expect.arrayContaining([AMD64, ARM]),
    );
  });

  it('is nothing when the file is damaged', async () => {
    await putFetched(layout, fetched());
    const file = readFetchedFiles(layout)[0]?.file ?? '';
    for (const text of ['', '{', 'null', '{"version":2}', '{"version":1,"ref":"x","id":"y"}']) {
      rmSync(file);
      writeFileSync(file, text);
      expect(findFetched(layout, REF, AMD64), text).toBeUndefined();
    }
    expect(readFetchedFiles(layout)).toEqual([{ file, fetched: undefined }]);
    expect(findFetchedForAll(layout, REF)).toEqual([]);
    removeFetchedFile(file);
    removeFetchedFile(file);
    expect(readdirSync(layout.dir.fetched)).toEqual([]);
  });

  it('has a file also for very long references', async () => {
    const ref = `oci-archive:/${'long/'.repeat(100)}x.tar:tag`;
    await putFetched(layout, fetched({ ref }));
    expect(findFetched(layout, ref, AMD64)?.ref).toBe(ref);
  });
});
