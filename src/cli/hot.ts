/** Root of the small bundle for `run` and `prepare`. */
import { createLayout } from '../host/layout.ts';
import { encodePlan } from '../pod/plan.ts';
import { compilePlan } from '../pod/compile.ts';
import { composePod } from '../pod/compose.ts';
import { planHostFiles } from '../pod/host-files.ts';
import { reify } from '../pod/reify.ts';
import { seededVolumes } from '../pod/seeded-volumes.ts';
import type { DatasetName } from '../zfs/zfs.ts';
import { parseRunWords } from './run-grammar.ts';
import { buildRequest, parseRunOptions } from './run-request.ts';

export { runHotCommand } from './run-main.ts';
// For the bundle of what is loaded later (scripts/build.mjs).
export * from '../errors.ts';

/** What a dry run calls before the code cache is made: the pure part of a start, so that its code is in the cache. */
export async function warmUp(): Promise<void> {
  const id = `sha512-${'0'.repeat(128)}`;
  const words = parseRunWords(['--rm', '--net=none', 'image', '--', 'true']);
  const options = parseRunOptions(words);
  const request = await buildRequest(words, () => ({
    id,
    manifest: {
      acKind: 'ImageManifest',
      acVersion: '0.8.11',
      name: 'image',
      app: { exec: ['/bin/true'], user: '0', group: '0' },
    } as never,
  }));
  const draft = composePod(request);
  const { manifest } = reify(draft);
  const confined = {
    caps: 0n,
    capsOthers: 0n,
    noNewPrivs: true,
    cgroup: [],
    mask: [],
    readonly: [],
    report: { enforced: [], adjusted: [], ignored: [] },
  };
  const uuid = '00000000-0000-0000-0000-000000000000';
  encodePlan(
    compilePlan({
      uuid,
      manifest,
      layout: createLayout('pool/jetpack' as DatasetName, '/var/lib/jetpack'),
      hostname: 'warm-up',
      network: options.network,
      hostFiles: planHostFiles(options.nameService, options.network, 'warm-up'),
      sources: new Map(),
      seeded: seededVolumes(manifest, draft.images),
      name: undefined,
      metadata: { url: 'http://127.0.0.1:1/', port: 1, warn: true, relay: { uid: 1, gid: 1 } },
      rootfsKind: 'zfs',
      confinement: {
        pod: { cgroup: undefined, report: confined.report },
        apps: new Map([['image', { ...confined, seccomp: undefined, oomScoreAdj: undefined }]]),
      },
      settings: { logMaxBytes: 0, logKeep: 0, stopGraceMs: 0 },
      tools: { zfs: '/sbin/zfs', rm: '/bin/rm' },
      term: undefined,
    }),
  );
}
