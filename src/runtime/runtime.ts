/** The port to a platform's way of running pods. Siblings: linux.ts, later freebsd.ts. */
import type { PodNetwork } from '../network/network.ts';
import type { CgroupSetting } from '../pod/plan.ts';
import type { App, Isolator } from '../schema/appc.ts';

/** Parts of the isolation that `--insecure-options` may turn off. */
export interface Isolation {
  readonly capabilities: boolean;
  readonly seccomp: boolean;
  readonly paths: boolean;
}

/** A value that could not be enforced as it was asked for, and what is enforced instead. */
export interface Adjustment {
  readonly isolator: string;
  readonly from: string;
  readonly to: string;
}

/** What became of an app's or a pod's isolators: nothing is ignored in silence. An adjusted one is enforced, too. */
export interface IsolatorReport {
  readonly enforced: readonly string[];
  readonly adjusted: readonly Adjustment[];
  readonly ignored: readonly string[];
}

/** What the isolation of an app depends on, beside the host. */
export interface AppToConfine {
  readonly name: string;
  readonly app: App;
  /** Where its isolators stand in the pod manifest, for errors: `apps[1].app.isolators`. */
  readonly at: string;
  readonly isolation: Isolation;
  readonly network: PodNetwork;
  /** Those of the pod: some are for every app that has none of its own. */
  readonly podIsolators: readonly Isolator[];
  /** It is the only app of its pod: what the pod shares is its own. */
  readonly alone: boolean;
  /** Files and folders of the host that it mounts. */
  readonly hostPaths: readonly string[];
}

/** What the isolation of the pod as a whole depends on. */
export interface PodToConfine {
  readonly uuid: string;
  readonly isolators: readonly Isolator[] | undefined;
  readonly network: PodNetwork;
  /** Files and folders of the host that its apps mount. */
  readonly hostPaths: readonly string[];
}

/** A filter of system calls: a file that is there, or a program that the pod's folder will hold. */
export type SeccompFilter = { readonly file: string } | { readonly program: Uint8Array };

/** A limit of what goes through the pod's interfaces, each way, and the programs that set it. */
export interface NetworkRate {
  readonly tc: string;
  readonly nft: string;
  readonly bytesPerSecond: number;
}

/** A label that a security module of the kernel gives the app's program. */
export interface ExecLabel {
  readonly module: 'apparmor' | 'selinux';
  readonly label: string;
}

/** The part of an app's plan that follows from the platform and the app's isolators. */
export interface AppConfinement {
  readonly caps: bigint;
  readonly capsOthers: bigint;
  readonly noNewPrivs: boolean;
  readonly seccomp: SeccompFilter | undefined;
  readonly oomScoreAdj: number | undefined;
  readonly execLabel?: ExecLabel | undefined;
  /** Of the only app of a pod. */
  readonly netRate?: NetworkRate | undefined;
  readonly cgroup: readonly CgroupSetting[];
  readonly mask: readonly string[];
  readonly readonly: readonly string[];
  /** How much the app's root file system may grow to, in bytes; undefined: no limit. */
  readonly diskQuotaBytes?: number | undefined;
  readonly report: IsolatorReport;
}

export interface PodConfinement {
  /** The pod's own cgroup; undefined where the host has no usable hierarchy (and no limit was asked for). */
  readonly cgroup:
    { readonly path: string; readonly settings: readonly CgroupSetting[] } | undefined;
  /** Kernel parameters of the pod's own namespaces. */
  readonly sysctls?: readonly (readonly [key: string, value: string])[];
  readonly netRate?: NetworkRate | undefined;
  readonly report: IsolatorReport;
}

export interface ProcessRow {
  readonly pid: number;
  readonly parentPid: number;
  /** Its number inside the pod. */
  readonly podPid: number;
  readonly uid: number;
  readonly state: string;
  readonly residentBytes: number;
  readonly cpuMs: number;
  readonly command: string;
}

export interface Runtime {
  /** What the labels os and arch of a runnable image must say. */
  readonly platform: { readonly os: string; readonly arch: string };
  /** The shim's program. */
  readonly shim: string;
  /** How a pod's root file systems reach it: mounted by the shim (`zfs`), or by the ZFS daemon in the host (`dir`). */
  rootfsKind(rootDir: string): 'zfs' | 'dir';
  /**
   * Throws ManifestError, with the place, for a value that cannot be enforced anywhere, and PodError POD_LIMIT_UNSUPPORTED
   * for one that this host cannot enforce.
   */
  confineApp(wanted: AppToConfine): Promise<AppConfinement>;
  /** Throws as confineApp does. `apps` is what it answered. */
  confinePod(wanted: PodToConfine, apps: readonly AppConfinement[]): Promise<PodConfinement>;
  /** Makes ready what `confinePod` refers to (parents of cgroups). Idempotent. */
  ensureConfinement(pod: PodConfinement): void;
  /** How many processes of a running app the kernel has killed for lack of memory; undefined where nobody counts them. */
  oomKills(uuid: string, app: string): number | undefined;
  /** The processes of the pod whose init is `initPid`. */
  processes(initPid: number): readonly ProcessRow[];
}
