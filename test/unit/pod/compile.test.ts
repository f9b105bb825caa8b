import { describe, expect, it } from 'vitest';

import { createLayout } from '../../../src/host/layout.ts';
import { compilePlan, type CompileInput } from '../../../src/pod/compile.ts';
import {
  createSecret,
  metadataToken,
  metadataUrl,
  SECRET_BYTES,
} from '../../../src/pod/metadata.ts';
import type { PodManifest } from '../../../src/schema/pod-manifest.ts';
import type { DatasetName } from '../../../src/zfs/zfs.ts';

const uuid = '01234567-89ab-4def-8123-456789abcdef';
const url = metadataUrl(1104, metadataToken(uuid, Buffer.alloc(SECRET_BYTES, 7)));

function compile(network: 'host' | 'none', relay = true) {
  const manifest = {
    acVersion: '0.8.11',
    acKind: 'PodManifest',
    apps: [
      {
        name: 'web',
        image: { id: `sha512-${'0'.repeat(128)}` },
        app: {
          exec: ['/bin/web'],
          user: '0',
          group: '0',
          environment: [{ name: 'AC_METADATA_URL', value: 'http://evil.example/' }],
          eventHandlers: [{ name: 'pre-start', exec: ['/bin/pre'] }],
        },
      },
    ],
  } as unknown as PodManifest;
  const input: CompileInput = {
    uuid,
    manifest,
    layout: createLayout('tank/jp' as DatasetName, '/var/lib/jetpack'),
    hostname: 'h',
    network: { kind: network },
    hostFiles: [],
    sources: new Map(),
    seeded: new Set(),
    name: undefined,
    metadata: { url, port: 1104, warn: false, relay: relay ? { uid: 999, gid: 995 } : undefined },
    rootfsKind: 'zfs',
    confinement: {
      pod: { cgroup: undefined, report: { enforced: [], adjusted: [], ignored: [] } },
      apps: new Map([
        [
          'web',
          {
            caps: 0n,
            capsOthers: 0n,
            noNewPrivs: true,
            seccomp: undefined,
            oomScoreAdj: undefined,
            cgroup: [],
            mask: [],
            readonly: [],
            report: { enforced: [], adjusted: [], ignored: [] },
          },
        ],
      ]),
    },
    settings: { logMaxBytes: 4096, logKeep: 1, stopGraceMs: 1 },
    tools: { zfs: ['/sbin/zfs'], rm: '/bin/rm' },
    term: undefined,
  };
  return compilePlan(input);
}

describe('the metadata URL of a pod', () => {
  it('is in the environment of every app, whatever its image says', () => {
    const env = compile('none').apps[0]?.env ?? [];
    expect(env.filter((line) => line.startsWith('AC_METADATA_URL='))).toEqual([
      `AC_METADATA_URL=${url}`,
    ]);
  });

  it('comes with the port of the service and the account of a relay, where the host has it', () => {
    expect(compile('none').metadata).toEqual({ port: 1104, uid: 999, gid: 995, warn: false });
    expect(compile('none', false).metadata).toBeUndefined();
  });

  it('has a token of the pod and 256 random bits', () => {
    const token = Buffer.from(metadataToken(uuid, createSecret()), 'base64url');
    expect(token.toString('hex', 0, 16)).toBe(uuid.replaceAll('-', ''));
    expect(token).toHaveLength(16 + 32);
    const many = new Set(Array.from({ length: 100 }, () => metadataToken(uuid, createSecret())));
    expect(many.size).toBe(100);
    expect([...many].every((each) => /^[A-Za-z0-9_-]{64}$/.test(each))).toBe(true);
  });
});
