/** Hostile images leave nothing in the store: no dataset, no file, no lease, no mount. */
import os from 'node:os';
import { gzipSync } from 'node:zlib';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { importImage } from '../../src/image/import.ts';
import { testPool } from '../support/environment.ts';
import { ACI_ATTACKS, LAYER_ATTACKS, LOWER_MEMBERS } from '../support/hostile-members.ts';
import { createStore, type TestStore } from '../support/image-store.ts';
import { importMemory, memorySource } from '../support/memory-oci.ts';
import { type StoreState, stateOf } from '../support/store-state.ts';
import { aci, inPieces } from '../support/tar.ts';

const pool = testPool();
// Under User-Mode Linux, where a step takes seconds, not all of them: the unit tests have each.
const stride = os.release().includes('uml') ? 8 : 1;
const some = <T>(attacks: readonly T[]): readonly T[] =>
  attacks.filter((_, index) => index % stride === 0);

async function codeOf(work: Promise<unknown>): Promise<unknown> {
  const error: unknown = await work.then(
    () => 'no error',
    (caught: unknown) => caught,
  );
  return error instanceof Error && 'code' in error ? error.code : error;
}

describe.skipIf(pool === undefined)('nothing is left in the store of', () => {
  let store: TestStore;
  let before: StoreState;

  beforeAll(async () => {
    store = await createStore(pool ?? '');
    // An image whose layer those of the attacks come on top of: it must not lose anything either.
    await importMemory(store.ports, {
      name: 'example.com/lower',
      layers: [{ members: LOWER_MEMBERS }],
    });
    before = await stateOf(store);
  });

  afterAll(async () => {
    await store.remove();
  });

  async function bringIn(archive: Buffer): Promise<unknown> {
    return codeOf(
      importImage(store.ports, {
        archive: { chunks: inPieces(archive, 65536) },
        source: 'hostile.aci',
        trust: { verdict: { kind: 'unsigned' }, policy: { allowUnsigned: true } },
      }),
    );
  }

  test('ACIs that are refused', async () => {
    for (const [title, members, code] of some(ACI_ATTACKS))
      expect([title, await bringIn(aci(members))]).toEqual([title, code]);
    expect(await stateOf(store)).toEqual(before);
  });

  test('ACIs that are cut off or no archives', async () => {
    const whole = gzipSync(aci([{ name: 'rootfs/a', data: 'x'.repeat(5000) }]));
    expect(await bringIn(whole.subarray(0, -20))).toBe('ARCHIVE_TRUNCATED');
    expect(await bringIn(Buffer.concat([whole, Buffer.from('more')]))).toBe(
      'ARCHIVE_TRAILING_DATA',
    );
    expect(await bringIn(Buffer.from('no archive'))).toBe('ARCHIVE_UNKNOWN_FORMAT');
    expect(await stateOf(store)).toEqual(before);
  });

  test('OCI images with a layer that is refused', async () => {
    for (const [title, members, code] of some(LAYER_ATTACKS)) {
      const layers = [{ members: LOWER_MEMBERS }, { members }];
      const work = importMemory(store.ports, { name: 'example.com/hostile', layers });
      expect([title, await codeOf(work)]).toEqual([title, code]);
    }
    expect(await stateOf(store)).toEqual(before);
  });

  test('OCI images whose layer has another diff id than the configuration says', async () => {
    const image = {
      name: 'example.com/hostile',
      layers: [{ members: LOWER_MEMBERS }, { members: [{ name: 'a', data: 'x' }] }],
    };
    const source = memorySource(image);
    const resolved = await source.resolve({ os: 'linux', architecture: 'amd64' });
    const [first, second] = resolved.diffIds;
    if (first === undefined || second === undefined) throw new Error('two layers are expected');
    const text = resolved.config.bytes.toString().replace(second, first);
    const lying = {
      ...source,
      resolve: () =>
        Promise.resolve({
          ...resolved,
          diffIds: [first, first],
          config: { ...resolved.config, bytes: Buffer.from(text) },
        }),
    };
    expect(await codeOf(importMemory(store.ports, image, lying))).toBe('ARCHIVE_DIGEST');
    expect(await stateOf(store)).toEqual(before);
  });
});
