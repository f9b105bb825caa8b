/** From a manifest to a plan, whatever the manifest is. */
import process from 'node:process';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { JetpackError } from '../../../src/errors.ts';
import { createLayout } from '../../../src/host/layout.ts';
import { childExec } from '../../../src/exec/child.ts';
import { encodePlan } from '../../../src/pod/plan.ts';
import { planPrepare, type PreparePorts } from '../../../src/pod/prepare.ts';
import { LinuxRuntime } from '../../../src/runtime/linux.ts';
import { parseDraftPodManifest, type PodManifest } from '../../../src/schema/pod-manifest.ts';
import type { DatasetName, Zfs } from '../../../src/zfs/zfs.ts';
import { NO_NAMES_ASKED } from '../../support/pod-request.ts';
import {
  everyPlace,
  IMAGE_ID,
  WHOLE_POD_MANIFEST,
  withChange,
} from '../../support/pod-manifests.ts';

/** Planning asks nothing of ZFS: whoever asks fails the test. */
const noZfs = new Proxy({} as Zfs, {
  get(_target, name) {
    throw new Error(`planning called zfs.${String(name)}`);
  },
});
const ports: PreparePorts = {
  zfs: noZfs,
  zfsAtOnce: noZfs,
  runtime: new LinuxRuntime({ architecture: process.arch, libexec: '/absent', exec: childExec }),
  layout: createLayout('tank/jp' as DatasetName, '/tmp'),
  tools: { zfs: ['/sbin/zfs'], rm: '/bin/rm' },
  settings: { logMaxBytes: 4096, logKeep: 1, stopGraceMs: 1 },
  metadata: { port: 1104, warn: false, relay: undefined },
  groupId: undefined,
  now: () => new Date(0),
};
const image = {
  id: IMAGE_ID,
  manifest: {
    acKind: 'ImageManifest',
    acVersion: '0.8.11',
    name: 'example.com/a',
    app: { exec: ['/bin/true'], user: '0', group: '0' },
  } as never,
};

/** The bytes of the plan; throws what planning throws. */
async function plan(document: unknown): Promise<Buffer> {
  const { manifest } = parseDraftPodManifest(JSON.stringify(document));
  const prepared = await planPrepare(ports, {
    draft: {
      manifest: manifest as unknown as PodManifest,
      images: manifest.apps.map(() => image),
      origin: 'manifest',
    },
    name: undefined,
    hostname: undefined,
    network: { kind: 'none' },
    nameService: NO_NAMES_ASKED,
    followVolumeLinks: false,
    isolation: { capabilities: true, seccomp: true, paths: true },
    term: undefined,
  });
  return encodePlan(prepared.plan);
}

describe('planning a pod', () => {
  it('makes a plan of everything that a manifest can have', async () => {
    const text = (await plan(WHOLE_POD_MANIFEST)).toString();
    expect(text).toContain('tank/jp/pods/');
    expect(text).toContain('volume.a.o');
  });

  it('makes a plan or tells a fault of the manifest, whatever one of its fields is', async () => {
    const places = [...everyPlace(WHOLE_POD_MANIFEST)];
    const values = fc.oneof(
      fc.jsonValue({ maxDepth: 2 }),
      fc.string(),
      fc.stringMatching(/^\/[a-z/.]*$/),
      fc.integer(),
      fc.constantFrom('__proto__', 'constructor', '/', '/..', '/dev', 'x'.repeat(5000)),
    );
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...places), values, async (place, value) => {
        try {
          // A record of the plan ends with a line feed after NUL: nothing of a manifest may look like one.
          expect((await plan(withChange(WHOLE_POD_MANIFEST, place, value))).at(-1)).toBe(10);
        } catch (error) {
          if (!(error instanceof JetpackError)) throw error;
          expect(error.message).not.toMatch(/undefined|\[object/);
        }
      }),
      { numRuns: 1500 },
    );
  });

  it.each([
    [
      'too many apps',
      {
        apps: Array.from({ length: 65 }, (_, i) => ({
          name: `a${String(i)}`,
          image: { id: IMAGE_ID },
        })),
      },
      '65 apps',
    ],
    [
      'a name as long as a page',
      { apps: [{ name: 'x'.repeat(4096), image: { id: IMAGE_ID } }] },
      'at most 63',
    ],
  ])('refuses %s', async (_what, change, message) => {
    await expect(plan({ acKind: 'PodManifest', acVersion: '0.8.11', ...change })).rejects.toThrow(
      message,
    );
  });
});
