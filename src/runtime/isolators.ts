/** What appc's isolators mean on Linux: settings of control groups, capability sets, filters, and refusals. */
import { isIsolatorName, type Isolator, type IsolatorName } from '../schema/appc.ts';
import { Asked } from './asked.ts';
import { capabilitySets } from './capabilities.ts';
import { resourceSettings } from './resource-limits.ts';
import type { AppConfinement, AppToConfine, PodConfinement } from './runtime.ts';
import { compileFilter, type FilterTools, type SeccompIsolator } from './seccomp.ts';

/** Isolators that this runtime enforces on apps. */
const ON_APPS: ReadonlySet<IsolatorName> = new Set<IsolatorName>([
  'resource/cpu',
  'resource/memory',
  'os/linux/capabilities-retain-set',
  'os/linux/capabilities-remove-set',
  'os/linux/seccomp-retain-set',
  'os/linux/seccomp-remove-set',
  'os/linux/no-new-privileges',
  'os/linux/oom-score-adj',
  'os/linux/cpu-shares',
  'jetpack/pids-max',
]);

const ON_PODS: ReadonlySet<IsolatorName> = new Set<IsolatorName>([
  'resource/cpu',
  'resource/memory',
  'jetpack/pids-max',
]);

const SECCOMP: readonly SeccompIsolator[] = [
  'os/linux/seccomp-retain-set',
  'os/linux/seccomp-remove-set',
];

function refuseOthers(asked: Asked, enforced: ReadonlySet<IsolatorName>): void {
  for (const name of asked.names()) {
    if (isIsolatorName(name) && !enforced.has(name))
      asked.refuse(name, 'this jetpack has no means to');
  }
}

/** What the isolators decide of an app's confinement; the rest is the same for all apps. */
export type AskedOfApp = Pick<
  AppConfinement,
  'caps' | 'capsOthers' | 'noNewPrivs' | 'oomScoreAdj' | 'cgroup' | 'diskQuotaBytes' | 'report'
> & {
  /** Null: the app asks for no filter; undefined: it asks for nothing, and gets the default. */
  readonly filter: Uint8Array | null | undefined;
};

/** Throws POD_LIMIT_UNSUPPORTED, POD_INVALID, and ManifestError with the place of a value that nobody can enforce. */
export function enforceOnApp(wanted: AppToConfine, tools: FilterTools): AskedOfApp {
  const { name, app, at, isolation } = wanted;
  const asked = new Asked(`app ${name}`, at, app.isolators ?? []);
  refuseOthers(asked, ON_APPS);
  const cgroup = resourceSettings(asked, 'app');
  const seccomp = SECCOMP.find((isolator) => asked.has(isolator));
  if (!isolation.seccomp) asked.turnedOff(...SECCOMP);
  if (!isolation.capabilities)
    asked.turnedOff('os/linux/capabilities-retain-set', 'os/linux/capabilities-remove-set');
  const filter = seccomp === undefined ? undefined : compileFilter(asked, seccomp, tools);
  return {
    ...capabilitySets(name, {
      retain: asked.value('os/linux/capabilities-retain-set')?.set,
      remove: asked.value('os/linux/capabilities-remove-set')?.set,
    }),
    noNewPrivs: asked.value('os/linux/no-new-privileges') ?? true,
    oomScoreAdj: asked.value('os/linux/oom-score-adj'),
    cgroup,
    filter: seccomp === undefined ? undefined : (filter ?? null),
    report: asked.report(),
  };
}

/** What the isolators decide of the pod's confinement. */
export interface AskedOfPod {
  readonly cgroup: NonNullable<PodConfinement['cgroup']>['settings'];
  readonly report: PodConfinement['report'];
}

/** Throws POD_LIMIT_UNSUPPORTED, and ManifestError with the place of a value that nobody can enforce. */
export function enforceOnPod(isolators: readonly Isolator[]): AskedOfPod {
  const asked = new Asked('the pod', 'isolators', isolators);
  refuseOthers(asked, ON_PODS);
  const cgroup = resourceSettings(asked, 'pod');
  return { cgroup, report: asked.report() };
}
