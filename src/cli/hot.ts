/** Root of the small bundle for `run` and `prepare`. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';

import { childExec } from '../exec/child.ts';
import { createLayout } from '../host/layout.ts';
import { composePod } from '../pod/compose.ts';
import { executePrepare, planPrepare } from '../pod/prepare.ts';
import { LinuxRuntime } from '../runtime/linux.ts';
import type { DatasetName, Zfs } from '../zfs/zfs.ts';
import { parseRunWords } from './run-grammar.ts';
import { buildRequest, parseRunOptions } from './run-request.ts';

export { runHotCommand } from './run-main.ts';
// For the bundle of what is loaded later (scripts/build.mjs).
export * from '../errors.ts';

/**
 * What a dry run calls before the code cache is made: a start in a folder of its own, without ZFS, so that the code of a
 * start is in the cache.
 */
export async function warmUp(): Promise<void> {
  const root = mkdtempSync(path.join(tmpdir(), 'jp-'));
  try {
    const layout = createLayout('pool/jetpack' as DatasetName, root);
    for (const dir of [layout.dir.pods, layout.dir.leases, layout.dir.podNames])
      mkdirSync(dir, { recursive: true });
    await prepareNothing(layout);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

async function prepareNothing(layout: ReturnType<typeof createLayout>): Promise<void> {
  const zfs = { create: () => undefined, clone: () => undefined } as unknown as Zfs;
  const words = parseRunWords(['--rm', '--net=host', 'image', '--', 'true']);
  const options = parseRunOptions(words);
  const manifest = {
    acKind: 'ImageManifest',
    acVersion: '0.8.11',
    name: 'image',
    app: { exec: ['/bin/true'], user: '0', group: '0' },
  } as never;
  const image = { id: `sha512-${'0'.repeat(128)}`, manifest };
  const ports = {
    zfs,
    zfsAtOnce: zfs,
    layout,
    runtime: new LinuxRuntime({ architecture: process.arch, libexec: '/absent', exec: childExec }),
    tools: { zfs: ['/sbin/zfs'] as const, rm: '/bin/rm' },
    settings: { logMaxBytes: 4096, logKeep: 0, stopGraceMs: 0 },
    metadata: { port: 1, warn: true, relay: { uid: 1, gid: 1 } },
    groupId: undefined,
    now: () => new Date(),
  };
  const plan = await planPrepare(ports, {
    draft: composePod(await buildRequest(words, () => image)),
    name: undefined,
    hostname: undefined,
    network: options.network,
    nameService: options.nameService,
    followVolumeLinks: false,
    isolation: options.isolation,
    term: undefined,
  });
  // Where groups cannot be told or folders not be changed, the cache has less in it, and the start is a little slower.
  await executePrepare(ports, plan).catch(() => undefined);
}
