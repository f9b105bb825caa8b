/**
 * The plan: the pod manifest, compiled into the flat file that the shim reads (shim/PLAN.md, version 1).
 * Pure: values in, bytes out.
 */

import type { PodNetwork } from '../network/network.ts';

export interface PlanMount {
  readonly kind: 'bind' | 'zfs';
  readonly source: string;
  readonly target: string;
  readonly options: readonly ('ro' | 'rec' | 'nosuid' | 'noexec' | 'nodev' | 'copy' | 'missing')[];
}

export interface CgroupSetting {
  readonly file: string;
  readonly value: string;
}

/** When the supervisor starts an app again; `max`: how often in a row. */
export type PlanRestart =
  | { readonly policy: 'no' | 'always' | 'on-failure' }
  | { readonly policy: 'on-failure'; readonly max: number };

/** A listening socket that the app is given. */
export interface PlanListen {
  readonly name: string;
  readonly protocol: 'tcp' | 'udp';
  readonly port: number;
}

export interface PlanApp {
  readonly name: string;
  readonly rootfs: {
    readonly kind: 'zfs' | 'dir';
    readonly source: string;
    readonly readOnly: boolean;
  };
  readonly exec: readonly string[];
  readonly env: readonly string[];
  /** Add USER, LOGNAME, HOME and SHELL of the image's passwd. */
  readonly passwdEnv: boolean;
  readonly cwd: string;
  readonly user: string;
  readonly group: string;
  readonly groups: readonly number[];
  /** Capability sets as bit masks: for uid 0 (and everybody's bounding set), and for all other users. */
  readonly caps: bigint;
  readonly capsOthers: bigint;
  readonly noNewPrivs: boolean;
  readonly seccomp: string | undefined;
  readonly oomScoreAdj: number | undefined;
  /** What a security module of the kernel is to take the app's program for. */
  readonly execLabel?:
    { readonly module: 'apparmor' | 'selinux'; readonly label: string } | undefined;
  readonly cgroup: readonly CgroupSetting[];
  readonly mask: readonly string[];
  readonly readonly: readonly string[];
  readonly mounts: readonly PlanMount[];
  readonly preStart: readonly string[] | undefined;
  readonly postStop: readonly string[] | undefined;
  readonly stopSignal: number;
  /** It tells by sd_notify(3) when it is ready. */
  readonly notify: boolean;
  readonly listen: readonly PlanListen[];
  /** Undefined: never. */
  readonly restart?: PlanRestart | undefined;
}

export interface Plan {
  readonly uuid: string;
  readonly dir: string;
  readonly hostname: string;
  /** Apps come and go while it runs. */
  readonly mutable?: boolean;
  readonly net: PodNetwork;
  readonly cgroup:
    { readonly path: string; readonly settings: readonly CgroupSetting[] } | undefined;
  /** With a network namespace to join: a limit of what goes through its interfaces, and who sets it. */
  readonly netRate?:
    { readonly tc: string; readonly nft: string; readonly bytesPerSecond: number } | undefined;
  /** Kernel parameters of the pod's own namespaces. */
  readonly sysctls?: readonly (readonly [key: string, value: string])[];
  /** The metadata service: its port, and the account that a relay to it runs as. */
  readonly metadata:
    | {
        readonly port: number;
        readonly uid: number;
        readonly gid: number;
        readonly warn: boolean;
      }
    | undefined;
  readonly logMaxBytes: number;
  readonly logKeep: number;
  readonly stopGraceMs: number;
  /** Commands after the last app is gone: always; and only with `--rm`. */
  readonly reap: readonly (readonly string[])[];
  readonly remove: readonly (readonly string[])[];
  readonly apps: readonly PlanApp[];
}

type PlanRecord = readonly [key: string, ...fields: string[]];

const bit = (value: boolean): string => (value ? '1' : '0');
const mask = (bits: bigint): string => bits.toString(16).padStart(16, '0');

function* appRecords(app: PlanApp): Generator<PlanRecord> {
  yield ['app', app.name];
  yield ['rootfs', app.rootfs.kind, app.rootfs.source, app.rootfs.readOnly ? 'ro' : 'rw'];
  yield ['exec', ...app.exec];
  yield ['env', ...app.env];
  yield ['passwd-env', bit(app.passwdEnv)];
  yield ['cwd', app.cwd];
  yield ['user', app.user];
  yield ['group', app.group];
  yield ['groups', ...app.groups.map(String)];
  yield ['caps', mask(app.caps), mask(app.capsOthers)];
  yield ['no-new-privs', bit(app.noNewPrivs)];
  if (app.seccomp !== undefined) yield ['seccomp', app.seccomp];
  if (app.oomScoreAdj !== undefined) yield ['oom-score-adj', String(app.oomScoreAdj)];
  if (app.execLabel !== undefined) yield ['exec-label', app.execLabel.module, app.execLabel.label];
  for (const { file, value } of app.cgroup) yield ['cgroup-set', file, value];
  for (const path of app.mask) yield ['mask', path];
  for (const path of app.readonly) yield ['readonly', path];
  for (const mount of app.mounts) {
    yield [
      'mount',
      mount.kind,
      mount.source,
      mount.target,
      mount.options.length === 0 ? '-' : mount.options.join(','),
    ];
  }
  if (app.preStart !== undefined) yield ['pre-start', ...app.preStart];
  if (app.postStop !== undefined) yield ['post-stop', ...app.postStop];
  yield ['stop-signal', String(app.stopSignal)];
  if (app.notify) yield ['notify', '1'];
  for (const { name, protocol, port } of app.listen) yield ['listen', name, protocol, String(port)];
  const { restart } = app;
  if (restart !== undefined)
    yield ['restart', restart.policy, ...('max' in restart ? [String(restart.max)] : [])];
}

function* planRecords(plan: Plan): Generator<PlanRecord> {
  yield ['jetpack-plan', '1'];
  yield ['uuid', plan.uuid];
  yield ['dir', plan.dir];
  yield ['hostname', plan.hostname];
  yield plan.net.kind === 'ns' ? ['net', 'ns', plan.net.path] : ['net', plan.net.kind];
  if (plan.mutable === true) yield ['mutable', '1'];
  if (plan.cgroup !== undefined) {
    yield ['cgroup', plan.cgroup.path];
    for (const { file, value } of plan.cgroup.settings) yield ['cgroup-set', file, value];
  }
  if (plan.metadata !== undefined) {
    const { port, uid, gid, warn } = plan.metadata;
    yield ['metadata', String(port), String(uid), String(gid), bit(warn)];
  }
  if (plan.netRate !== undefined) {
    const { tc, nft, bytesPerSecond } = plan.netRate;
    yield ['net-rate', tc, nft, String(bytesPerSecond)];
  }
  for (const [key, value] of plan.sysctls ?? []) yield ['sysctl', key, value];
  yield ['log-max', String(plan.logMaxBytes)];
  yield ['log-keep', String(plan.logKeep)];
  yield ['stop-grace', String(plan.stopGraceMs)];
  for (const argv of plan.reap) yield ['reap', ...argv];
  for (const argv of plan.remove) yield ['remove', ...argv];
  for (const app of plan.apps) yield* appRecords(app);
  yield ['end'];
}

/** The bytes of the plan file. Fields must be free of NUL, which manifests are (their schema refuses it). */
export function encodePlan(plan: Plan): Buffer {
  return encode(planRecords(plan));
}

/** The group of one app. */
export function encodePlanApp(app: PlanApp): Buffer {
  return encode(appRecords(app));
}

function encode(records: Iterable<PlanRecord>): Buffer {
  const parts: string[] = [];
  for (const [key, ...fields] of records) {
    parts.push(
      key,
      '\0',
      String(fields.length),
      '\0',
      ...fields.flatMap((field) => [field, '\0']),
      '\n',
    );
  }
  return Buffer.from(parts.join(''), 'utf8');
}
