/** What the runtime makes of every app of a pod and of the pod as a whole. */
import type { PodNetwork } from '../network/network.ts';
import type { AppConfinement, Isolation, PodConfinement, Runtime } from '../runtime/runtime.ts';
import type { PodManifest } from '../schema/pod-manifest.ts';
import { appOf } from './compile.ts';
import { judgeReports } from './isolators.ts';
import { hostPathsOf } from './volumes.ts';

export interface Confinement {
  readonly pod: PodConfinement;
  readonly apps: ReadonlyMap<string, AppConfinement>;
  /** What became of the isolators, line by line. */
  readonly notes: readonly string[];
}

/** Throws what the runtime throws, and POD_LIMIT_UNSUPPORTED where `strict` lets nothing be ignored. */
export async function confine(
  runtime: Runtime,
  uuid: string,
  manifest: PodManifest,
  options: {
    readonly network: PodNetwork;
    readonly isolation: Isolation;
    readonly strict?: boolean | undefined;
    /** `manifest` is a part of a pod: its one app shares what the pod has with others. */
    readonly isPart?: boolean;
  },
): Promise<Confinement> {
  const { network, isolation } = options;
  const { isolators } = manifest;
  const apps = new Map<string, AppConfinement>();
  for (const [index, app] of manifest.apps.entries()) {
    const confinement = await runtime.confineApp({
      name: app.name,
      app: appOf(app),
      at: `apps[${String(index)}].app.isolators`,
      isolation,
      network,
      podIsolators: isolators ?? [],
      alone: manifest.apps.length === 1 && options.isPart !== true,
      hostPaths: hostPathsOf(manifest, [app]),
    });
    apps.set(app.name, confinement);
  }
  const pod = await runtime.confinePod(
    { uuid, isolators, network, hostPaths: hostPathsOf(manifest, manifest.apps) },
    [...apps.values()],
  );
  return { pod, apps, notes: judgeReports(apps, pod.report, options.strict === true) };
}
