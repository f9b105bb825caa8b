/** The pod manifest and the host's facts, compiled into the plan. Pure. */
import type { Argv } from '../exec/exec.ts';
import path from 'node:path';

import type { Layout } from '../host/layout.ts';
import type { PodNetwork } from '../network/network.ts';
import type { AppConfinement, PodConfinement } from '../runtime/runtime.ts';
import type { App } from '../schema/appc.ts';
import type { HostVolume, Mount, PodApp, PodManifest } from '../schema/pod-manifest.ts';
import { planHostFileMounts, type HostFile } from './host-files.ts';
import type { PodMetadata } from './metadata.ts';
import { groupOf, restartOf, stopSignalOf } from './app-annotations.ts';
import { isMutable } from './mutable.ts';
import type { Plan, PlanApp, PlanMount } from './plan.ts';
import { listensOf, notifiesOf } from './services.ts';
import { normaliseTarget } from './reify.ts';
import { emptyVolumes, volumeKey, volumeOf } from './volumes.ts';

/** What appc demands of every process of an app, main and event handlers alike (spec/ace.md). */
const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

const DEFAULT_STOP_SIGNAL = 15;

export interface CompileInput {
  readonly uuid: string;
  readonly manifest: PodManifest;
  readonly layout: Layout;
  readonly hostname: string;
  readonly network: PodNetwork;
  readonly hostFiles: readonly HostFile[];
  /** The real place of every host volume's source. */
  readonly sources: ReadonlyMap<string, string>;
  /** Empty volumes that begin with what the image has at their place, by key. */
  readonly seeded: ReadonlySet<string>;
  readonly name: string | undefined;
  readonly metadata: PodMetadata;
  /** `zfs`: the shim mounts the datasets; `dir`: they are mounted below layout.dir.rootfs. */
  readonly rootfsKind: 'zfs' | 'dir';
  readonly confinement: {
    readonly pod: PodConfinement;
    readonly apps: ReadonlyMap<string, AppConfinement>;
  };
  readonly settings: {
    readonly logMaxBytes: number;
    readonly logKeep: number;
    readonly stopGraceMs: number;
  };
  readonly tools: { readonly zfs: Argv; readonly rm: string };
  /** Set TERM for an app on a terminal. */
  readonly term: string | undefined;
}

/** Without `app` an image cannot run, so a reified manifest always has one. */
export function appOf(podApp: PodApp): App {
  return podApp.app ?? { user: '0', group: '0' };
}

/**
 * A variable of the image or the user may replace PATH and TERM; who runs the app, what it is called and which service tells
 * about it they may not: no image may send its app to another service.
 */
function environmentOf(name: string, app: App, { term, metadata }: AppInput): readonly string[] {
  const merged = new Map([['PATH', DEFAULT_PATH]]);
  if (term !== undefined) merged.set('TERM', term);
  for (const variable of app.environment ?? []) merged.set(variable.name, variable.value);
  merged.set('AC_APP_NAME', name);
  merged.set('AC_METADATA_URL', metadata.url);
  merged.set('container', 'jetpack');
  return [...merged].map(([key, value]) => `${key}=${value}`);
}

function planHostMount(
  volume: HostVolume,
  target: string,
  readOnly: boolean,
  input: AppInput,
): PlanMount {
  const options: PlanMount['options'][number][] = [];
  if (readOnly) options.push('ro');
  if (volume.recursive !== false) options.push('rec');
  const source = input.sources.get(volume.source) ?? volume.source;
  return { kind: 'bind', source, target, options };
}

function planMount(podApp: PodApp, mount: Mount, input: AppInput): PlanMount {
  const { layout, uuid } = input;
  const volume = volumeOf(input.manifest, mount);
  const target = normaliseTarget(mount.path);
  const point = appOf(podApp).mountPoints?.find(
    (candidate) => normaliseTarget(candidate.path) === target,
  );
  const readOnly = volume?.readOnly ?? point?.readOnly ?? false;
  if (volume?.kind === 'host') return planHostMount(volume, target, readOnly, input);
  const key = volumeKey(podApp, mount);
  const options: PlanMount['options'][number][] = readOnly ? ['ro'] : [];
  if (input.seeded.has(key)) options.push('copy');
  return input.rootfsKind === 'zfs'
    ? { kind: 'zfs', source: layout.dataset.podVolume(uuid, key), target, options }
    : {
        kind: 'bind',
        source: path.join(layout.dir.rootfs(uuid), `volume.${key}`),
        target,
        options,
      };
}

function planMounts(podApp: PodApp, input: AppInput): readonly PlanMount[] {
  const mounts = (podApp.mounts ?? []).map((mount) => planMount(podApp, mount, input));
  const files = planHostFileMounts(
    input.hostFiles,
    input.layout.dir.pod(input.uuid),
    mounts.map(({ target }) => target),
  );
  return [...files, ...mounts];
}

function handlerOf(app: App, name: 'pre-start' | 'post-stop'): readonly string[] | undefined {
  return app.eventHandlers?.find((handler) => handler.name === name)?.exec;
}

/** Where the filter of an app is, or will be, when it has one of its own. */
export function filterFile(
  { seccomp }: AppConfinement,
  podDir: string,
  app: string,
): string | undefined {
  if (seccomp === undefined) return undefined;
  return 'file' in seccomp ? seccomp.file : path.join(podDir, `seccomp.${app}.bpf`);
}

/** What the plan of an app is made of. */
export type AppInput = Pick<
  CompileInput,
  | 'uuid'
  | 'manifest'
  | 'layout'
  | 'hostFiles'
  | 'sources'
  | 'seeded'
  | 'metadata'
  | 'rootfsKind'
  | 'term'
> & { readonly confinement: Pick<CompileInput['confinement'], 'apps'> };

export function compileApp(podApp: PodApp, input: AppInput): PlanApp {
  const app = appOf(podApp);
  const confinement = input.confinement.apps.get(podApp.name);
  if (confinement === undefined) throw new Error(`app ${podApp.name} was not confined`);
  const { layout, uuid } = input;
  const source =
    input.rootfsKind === 'zfs'
      ? layout.dataset.app(uuid, podApp.name)
      : path.join(layout.dir.rootfs(uuid), podApp.name);
  return {
    name: podApp.name,
    rootfs: { kind: input.rootfsKind, source, readOnly: podApp.readOnlyRootFS ?? false },
    exec: app.exec ?? [],
    env: environmentOf(podApp.name, app, input),
    passwdEnv: true,
    cwd: normaliseTarget(
      app.workingDirectory === undefined || app.workingDirectory === ''
        ? '/'
        : app.workingDirectory,
    ),
    user: app.user,
    group: groupOf(podApp, app),
    groups: app.supplementaryGIDs ?? [],
    caps: confinement.caps,
    capsOthers: confinement.capsOthers,
    noNewPrivs: confinement.noNewPrivs,
    seccomp: filterFile(confinement, layout.dir.pod(uuid), podApp.name),
    oomScoreAdj: confinement.oomScoreAdj,
    execLabel: confinement.execLabel,
    cgroup: confinement.cgroup,
    mask: confinement.mask,
    readonly: confinement.readonly,
    mounts: planMounts(podApp, input),
    preStart: handlerOf(app, 'pre-start'),
    postStop: handlerOf(app, 'post-stop'),
    stopSignal: stopSignalOf(podApp) ?? DEFAULT_STOP_SIGNAL,
    notify: notifiesOf(podApp),
    listen: listensOf(podApp, input.manifest),
    restart: restartOf(podApp),
  };
}

/** What zfs-fuse keeps mounted in the host for the pod. */
function hostMounts({ layout, uuid, manifest }: CompileInput): readonly string[] {
  return [
    ...manifest.apps.map((app) => layout.dataset.app(uuid, app.name)),
    ...emptyVolumes(manifest).map(({ key }) => layout.dataset.podVolume(uuid, key)),
  ];
}

function planMetadata({ metadata: { port, relay, warn } }: CompileInput): Plan['metadata'] {
  return relay === undefined ? undefined : { port, ...relay, warn };
}

export function compilePlan(input: CompileInput): Plan {
  const { layout, uuid, tools, name } = input;
  const mutable = isMutable(input.manifest);
  const leftovers = [
    ...(input.rootfsKind === 'dir' ? [layout.dir.rootfs(uuid)] : []),
    ...(name === undefined ? [] : [layout.dir.podName(name)]),
    layout.dir.pod(uuid),
  ];
  return {
    uuid,
    dir: layout.dir.pod(uuid),
    hostname: input.hostname,
    mutable,
    net: input.network,
    metadata: planMetadata(input),
    cgroup: input.confinement.pod.cgroup,
    netRate: input.confinement.pod.netRate,
    sysctls: input.confinement.pod.sysctls ?? [],
    ...input.settings,
    reap: [],
    remove: [
      // zfs-fuse lets go of a file system only some time after it unmounted it: asked early, the destroy waits less.
      // A mutable pod may have others by then.
      ...(input.rootfsKind === 'dir' && !mutable
        ? hostMounts(input).map((dataset) => [...tools.zfs, 'unmount', dataset])
        : []),
      [...tools.zfs, 'destroy', '-r', layout.dataset.pod(uuid)],
      [tools.rm, '-rf', '--one-file-system', '--', ...leftovers],
    ],
    apps: input.manifest.apps.map((app) => compileApp(app, input)),
  };
}
