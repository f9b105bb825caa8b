/** What appc's isolators mean on Linux: settings of control groups, capability sets, filters, and refusals. */
import { amountOf, isIsolatorName, type Isolator, type IsolatorName } from '../schema/appc.ts';
import { Asked } from './asked.ts';
import { blockSettings } from './block-limits.ts';
import { capabilityBit, capabilitySets } from './capabilities.ts';
import { networkRate } from './network-limits.ts';
import { resourceSettings } from './resource-limits.ts';
import type { AppConfinement, AppToConfine, PodConfinement, PodToConfine } from './runtime.ts';
import { execLabelOf } from './security-modules.ts';
import { sysctlsOf } from './sysctl.ts';
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
  'os/linux/apparmor-profile',
  'os/linux/selinux-context',
  'resource/block-bandwidth',
  'resource/block-iops',
  'resource/network-bandwidth',
  'jetpack/disk-quota',
  'jetpack/pids-max',
]);

const ON_PODS: ReadonlySet<IsolatorName> = new Set<IsolatorName>([
  'resource/cpu',
  'resource/memory',
  'os/linux/apparmor-profile',
  'os/linux/selinux-context',
  'os/unix/sysctl',
  'resource/block-bandwidth',
  'resource/block-iops',
  'resource/network-bandwidth',
  'jetpack/pids-max',
]);

const SECCOMP: readonly SeccompIsolator[] = [
  'os/linux/seccomp-retain-set',
  'os/linux/seccomp-remove-set',
];

const CAPABILITIES = [
  'os/linux/capabilities-retain-set',
  'os/linux/capabilities-remove-set',
] as const;

function refuseOthers(asked: Asked, enforced: ReadonlySet<IsolatorName>): void {
  for (const name of asked.names()) {
    if (isIsolatorName(name) && !enforced.has(name))
      asked.refuse(name, 'this jetpack has no means to');
  }
}

/** What the isolators decide of an app's confinement; the rest is the same for all apps. */
export type AskedOfApp = Pick<
  AppConfinement,
  | 'caps'
  | 'capsOthers'
  | 'noNewPrivs'
  | 'oomScoreAdj'
  | 'execLabel'
  | 'netRate'
  | 'cgroup'
  | 'diskQuotaBytes'
  | 'report'
> & {
  /** Null: the app asks for no filter; undefined: it asks for nothing, and gets the default. */
  readonly filter: Uint8Array | null | undefined;
};

function ofPod(isolators: readonly Isolator[]): Asked {
  return new Asked('the pod', 'isolators', isolators);
}

function checkCapabilities(asked: Asked): void {
  for (const name of CAPABILITIES) {
    for (const [index, capability] of (asked.value(name)?.set ?? []).entries()) {
      if (capabilityBit(capability) === undefined)
        asked.impossible(
          name,
          `.set[${String(index)}]`,
          `there is no capability "${capability}" (capabilities(7))`,
        );
    }
  }
}

/** The root file system of an app needs some room for itself. */
const LEAST_QUOTA_BYTES = 1024 * 1024;

function quotaOf(asked: Asked): number | undefined {
  const name = 'jetpack/disk-quota';
  const quota = asked.value(name);
  if (quota === undefined) return undefined;
  const bytes = amountOf(quota.limit);
  if (bytes < LEAST_QUOTA_BYTES) asked.impossible(name, '.limit', 'is less than 1Mi');
  // More than any pool has is no limit.
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** Throws POD_LIMIT_UNSUPPORTED, POD_INVALID, and ManifestError with the place of a value that nobody can enforce. */
export function enforceOnApp(wanted: AppToConfine, tools: FilterTools): AskedOfApp {
  const { name, app, at, isolation } = wanted;
  const asked = new Asked(`app ${name}`, at, app.isolators ?? []);
  refuseOthers(asked, ON_APPS);
  const cgroup = [...resourceSettings(asked, 'app'), ...blockSettings(asked, wanted.hostPaths)];
  checkCapabilities(asked);
  const seccomp = SECCOMP.find((isolator) => asked.has(isolator));
  if (!isolation.seccomp) asked.turnedOff(...SECCOMP);
  if (!isolation.capabilities) asked.turnedOff(...CAPABILITIES);
  const filter = seccomp === undefined ? undefined : compileFilter(asked, seccomp, tools);
  return {
    ...capabilitySets(name, {
      retain: asked.value('os/linux/capabilities-retain-set')?.set,
      remove: asked.value('os/linux/capabilities-remove-set')?.set,
    }),
    noNewPrivs: asked.value('os/linux/no-new-privileges') ?? true,
    oomScoreAdj: asked.value('os/linux/oom-score-adj'),
    execLabel: execLabelOf(asked) ?? execLabelOf(ofPod(wanted.podIsolators)),
    netRate: networkRate(asked, wanted.network, !wanted.alone),
    cgroup,
    diskQuotaBytes: quotaOf(asked),
    filter: seccomp === undefined ? undefined : (filter ?? null),
    report: asked.report(),
  };
}

/** What the isolators decide of the pod's confinement. */
export interface AskedOfPod {
  readonly cgroup: NonNullable<PodConfinement['cgroup']>['settings'];
  readonly sysctls: NonNullable<PodConfinement['sysctls']>;
  readonly netRate: PodConfinement['netRate'];
  readonly report: PodConfinement['report'];
}

/** Throws POD_LIMIT_UNSUPPORTED, and ManifestError with the place of a value that nobody can enforce. */
export function enforceOnPod(
  pod: PodToConfine & { readonly isolators: readonly Isolator[] },
): AskedOfPod {
  const asked = ofPod(pod.isolators);
  refuseOthers(asked, ON_PODS);
  const sysctls = sysctlsOf(asked, pod);
  const cgroup = [...resourceSettings(asked, 'pod'), ...blockSettings(asked, pod.hostPaths)];
  // Of no effect here: it is for the apps that have none of their own, and must be possible for them.
  execLabelOf(asked);
  const netRate = networkRate(asked, pod.network, false);
  return { cgroup, sysctls, netRate, report: asked.report() };
}
