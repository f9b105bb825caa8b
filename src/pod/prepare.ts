/**
 * Prepare: a request becomes a pod on disk that the shim can start without us. Steps run in order; the first that fails
 * undoes the ones before it in reverse. A SIGKILL leaves a pod without marker and without lease, which `gc` removes.
 */
import type { Argv } from '../exec/exec.ts';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { PodError } from '../errors.ts';
import { makeFolder, writeNewFile } from '../host/exact-mode.ts';
import type { Layout } from '../host/layout.ts';
import { takeLease } from '../host/lease.ts';
import { createUuid } from '../host/uuid.ts';
import { checkNetwork } from '../network/namespace.ts';
import { renderNetwork, type PodNetwork } from '../network/network.ts';
import type { AppConfinement, Isolation, Runtime } from '../runtime/runtime.ts';
import type { PodManifest } from '../schema/pod-manifest.ts';
import type { Zfs } from '../zfs/zfs.ts';
import { compilePlan, filterFile } from './compile.ts';
import type { PodMeta } from './model.ts';
import { checkPlan } from './check-plan.ts';
import { confine } from './confine.ts';
import { reportField } from './isolators.ts';
import {
  createSecret,
  METADATA_FILE,
  metadataToken,
  metadataUrl,
  type PodMetadata,
} from './metadata.ts';
import { planHostFiles, writeNewHostFiles, type HostFile, type NameService } from './host-files.ts';
import { isMutable } from './mutable.ts';
import { claimName, releaseName } from './names.ts';
import { encodePlan, type Plan } from './plan.ts';
import { podDatasetSteps } from './pod-datasets.ts';
import { checkForwards } from './ports.ts';
import { reify, type DraftPod } from './reify.ts';
import { seededVolumes } from './seeded-volumes.ts';
import { runSteps, type Step } from './steps.ts';
import { resolveSources } from './volumes.ts';

export interface PreparePorts {
  readonly zfs: Zfs;
  /** The same, without blocking: for several commands at once. */
  readonly zfsAtOnce: Zfs;
  readonly runtime: Runtime;
  readonly layout: Layout;
  readonly tools: { readonly zfs: Argv; readonly rm: string };
  readonly settings: {
    readonly logMaxBytes: number;
    readonly logKeep: number;
    readonly stopGraceMs: number;
  };
  /** Of the metadata service; `relay` is its account, where the host has it. */
  readonly metadata: Omit<PodMetadata, 'url'>;
  readonly groupId: number | undefined;
  now(): Date;
}

export interface PrepareOptions {
  readonly draft: DraftPod;
  readonly name: string | undefined;
  readonly hostname: string | undefined;
  readonly network: PodNetwork;
  readonly nameService: NameService;
  /** Symbolic links in the sources of host volumes are followed. */
  readonly followVolumeLinks: boolean;
  readonly isolation: Isolation;
  /** Refuse isolators that would be ignored. */
  readonly strict?: boolean;
  readonly term: string | undefined;
  /** Told as soon as the UUID is known, before anything exists (`--save-id`). */
  readonly onUuid?: (uuid: string) => void;
}

export interface PreparedPod {
  readonly uuid: string;
  readonly dir: string;
  readonly planFile: string;
  readonly warnings: readonly string[];
}

/** Everything that will be done, decided before any of it is. */
export interface PreparePlan {
  readonly uuid: string;
  readonly manifest: PodManifest;
  readonly plan: Plan;
  readonly meta: PodMeta;
  readonly warnings: readonly string[];
  /** What became of the isolators, line by line. */
  readonly notes: readonly string[];
  readonly steps: readonly Step[];
}

const POD_NAME = /^[a-zA-Z0-9]([a-zA-Z0-9_.-]{0,61}[a-zA-Z0-9])?$/;
const HOSTNAME = /^[A-Za-z0-9]([A-Za-z0-9.-]{0,62}[A-Za-z0-9])?$/;

function checkNames({ name, hostname }: PrepareOptions): void {
  if (name !== undefined && (!POD_NAME.test(name) || /^[0-9a-f]{8}-/.test(name))) {
    throw new PodError('POD_INVALID', `"${name}" cannot be the name of a pod`, {
      remedies: [
        '1 to 63 letters, digits, "_", "." and "-", a letter or digit at both ends, not like a UUID',
      ],
    });
  }
  if (hostname !== undefined && !HOSTNAME.test(hostname)) {
    throw new PodError('POD_INVALID', `"${hostname}" cannot be a host name`, {
      remedies: ['1 to 64 letters, digits, "." and "-"'],
    });
  }
}

function fileSteps(
  ports: PreparePorts,
  uuid: string,
  manifest: PodManifest,
  plan: Plan,
  meta: PodMeta,
  metadata: PodMetadata,
  hostFiles: readonly HostFile[],
): readonly Step[] {
  const dir = ports.layout.dir.pod(uuid);
  const write = (name: string, content: string | Buffer, mode: number) =>
    writeNewFile(path.join(dir, name), content, mode, mode === 0o440 ? ports.groupId : undefined);
  return [
    {
      title: `write ${dir}/{manifest,meta.json,${METADATA_FILE},plan}`,
      run: () => {
        mkdirSync(path.join(dir, 'logs'), { mode: 0o700 });
        mkdirSync(path.join(dir, 'status'), { mode: 0o750 });
        writeNewHostFiles(dir, hostFiles);
        write('manifest', `${JSON.stringify(manifest)}\n`, 0o440);
        write('meta.json', `${JSON.stringify(meta)}\n`, 0o440);
        write(METADATA_FILE, `${metadata.url}\n`, 0o440);
        write('plan', encodePlan(plan), 0o400);
      },
    },
    // The marker comes last: until then the pod counts as being prepared, or aborted.
    { title: `mark ${dir} as prepared`, run: () => write('prepared', '', 0o400) },
  ];
}

/** The filters of apps that bring one. */
function filterSteps(dir: string, apps: ReadonlyMap<string, AppConfinement>): readonly Step[] {
  return [...apps].flatMap(([app, confinement]) => {
    const { seccomp } = confinement;
    const file = filterFile(confinement, dir, app);
    if (seccomp === undefined || file === undefined || 'file' in seccomp) return [];
    return [
      {
        title: `write ${file}`,
        run: () => writeFileSync(file, seccomp.program, { mode: 0o400, flag: 'wx' }),
      },
    ];
  });
}

/** Decides everything and checks all that can be checked without changing anything. */
export async function planPrepare(
  ports: PreparePorts,
  options: PrepareOptions,
): Promise<PreparePlan> {
  checkNames(options);
  const uuid = createUuid();
  const { draft, network } = options;
  const { manifest, warnings: faults } = reify(draft);
  const warnings = [...faults, ...checkForwards(manifest, network, draft.origin)];
  const sources = resolveSources(manifest, {
    followLinks: options.followVolumeLinks,
    origin: draft.origin,
  });
  checkNetwork(network);
  const { runtime, layout } = ports;
  const { pod, apps, notes } = await confine(runtime, uuid, manifest, options);
  const rootfsKind = runtime.rootfsKind(layout.dir.root);
  const token = metadataToken(uuid, createSecret());
  const metadata = { ...ports.metadata, url: metadataUrl(ports.metadata.port, token) };
  const hostname = options.hostname ?? `jetpack-${uuid}`;
  const hostFiles = planHostFiles(options.nameService, network, hostname);
  const plan = compilePlan({
    uuid,
    manifest,
    layout,
    hostname,
    network,
    hostFiles,
    sources,
    seeded: seededVolumes(manifest, draft.images),
    name: options.name,
    metadata,
    rootfsKind,
    confinement: { pod, apps },
    settings: ports.settings,
    tools: ports.tools,
    term: options.term,
  });
  checkPlan(plan);
  const meta: PodMeta = {
    uuid,
    name: options.name,
    createdAt: ports.now().toISOString(),
    net: renderNetwork(network),
    hostCopies: hostFiles.flatMap(({ name, content }) =>
      'copyOf' in content ? [{ name, copyOf: content.copyOf }] : [],
    ),
    ...(isMutable(manifest)
      ? { hostFiles: hostFiles.map(({ name, onlyMissing }) => ({ name, onlyMissing })) }
      : {}),
    apps: manifest.apps.map(({ name, image }) => ({
      name,
      imageId: image.id,
      imageName: image.name,
      ...reportField(apps.get(name)?.report),
    })),
    ...reportField(pod.report),
  };
  const dir = layout.dir.pod(uuid);
  const { name } = options;
  const steps: Step[] = [
    {
      title: `mkdir ${dir}`,
      run: () => {
        // The metadata service looks up files of it by their names; it need not list them.
        makeFolder(dir, 0o710, ports.groupId);
      },
      undo: () => rmSync(dir, { recursive: true, force: true }),
    },
    ...(name === undefined
      ? []
      : [
          {
            title: `take the name "${name}"`,
            run: () => claimName(layout, name, uuid),
            undo: () => releaseName(layout, name, uuid),
          },
        ]),
    ...podDatasetSteps(ports, uuid, manifest, rootfsKind, apps),
    ...(pod.cgroup === undefined
      ? []
      : [{ title: `parents of ${pod.cgroup.path}`, run: () => runtime.ensureConfinement(pod) }]),
    ...filterSteps(dir, apps),
    ...fileSteps(ports, uuid, manifest, plan, meta, metadata, hostFiles),
  ];
  return { uuid, manifest, plan, meta, warnings, notes, steps };
}

/** Runs the steps under the pod's lease. On failure everything done is undone, and the first error is thrown. */
export async function executePrepare(
  ports: PreparePorts,
  prepared: PreparePlan,
  onUuid?: (uuid: string) => void,
): Promise<PreparedPod> {
  const { uuid, steps, warnings } = prepared;
  const lease = await takeLease(ports.layout.dir.lease(uuid));
  try {
    onUuid?.(uuid);
    await runSteps(steps);
  } finally {
    lease.release();
  }
  const dir = ports.layout.dir.pod(uuid);
  return { uuid, dir, planFile: path.join(dir, 'plan'), warnings };
}
