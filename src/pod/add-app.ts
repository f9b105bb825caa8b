/**
 * A new app for a mutable pod: its root and its new volumes first, then the pod's files, all at once (change.ts). Killed
 * before that, it leaves datasets that no manifest names: the next change of the name, or `gc`, removes them.
 */
import { writeFileSync } from 'node:fs';

import { PodError } from '../errors.ts';
import { parseNetwork } from '../network/network.ts';
import type { Isolation } from '../runtime/runtime.ts';
import type { PodApp, PodManifest, Volume } from '../schema/pod-manifest.ts';
import { cloneSeal } from './app-root.ts';
import { replaceFiles, withPodLock } from './change.ts';
import { openForChange, type ChangeablePod } from './changeable.ts';
import { checkPlanApp, checkPlanSize } from './check-plan.ts';
import { compileApp, filterFile } from './compile.ts';
import { composePod, type PodRequest } from './compose.ts';
import { confine } from './confine.ts';
import { removeEmptyFolder } from './destroy.ts';
import type { HostFile } from './host-files.ts';
import { reportField } from './isolators.ts';
import { findMetadataUrl } from './metadata.ts';
import type { PodMeta } from './model.ts';
import { hasCgroup, withApp } from './plan-groups.ts';
import { createVolume } from './pod-datasets.ts';
import type { PreparePorts } from './prepare.ts';
import { reify, type PodImage } from './reify.ts';
import { dropApp, dropVolume } from './remove-app.ts';
import { seededVolumes } from './seeded-volumes.ts';
import { listensOf } from './services.ts';
import { runSteps, type Step } from './steps.ts';
import { emptyVolumes, resolveSources } from './volumes.ts';

export interface AddAppOptions {
  /** One app; its volumes are those that are new, and those of the pod go by their names. */
  readonly request: PodRequest;
  readonly isolation: Isolation;
  readonly followVolumeLinks: boolean;
  readonly strict: boolean;
}

export interface AddedApp {
  readonly name: string;
  readonly warnings: readonly string[];
  readonly notes: readonly string[];
}

/** The app as the manifest of the pod will have it, beside the pod's volumes and those that are new. */
function reifyOne(
  manifest: PodManifest,
  request: PodRequest,
): {
  readonly app: PodApp;
  readonly images: readonly PodImage[];
  readonly one: PodManifest;
  readonly newVolumes: readonly Volume[];
  readonly warnings: readonly string[];
} {
  const old = manifest.volumes ?? [];
  const twice = request.volumes.find(({ name }) => old.some((volume) => volume.name === name));
  if (twice !== undefined) {
    throw new PodError('POD_VOLUME', `the pod has a volume "${twice.name}" already`, {
      remedies: [`mount that one: --mount=volume=${twice.name},target=/…`, 'take another name'],
    });
  }
  const wanted = request.apps.flatMap(({ mounts, image }) => [
    ...mounts.map(({ volume }) => volume),
    ...(image.manifest.app?.mountPoints ?? []).map(({ name }) => String(name)),
  ]);
  const used = old.filter(({ name }) => wanted.includes(name));
  const draft = composePod({ ...request, volumes: [...used, ...request.volumes] });
  const reified = reify(draft);
  const [app] = reified.manifest.apps;
  if (app === undefined) throw new Error('an app was asked for');
  if (manifest.apps.some(({ name }) => name === app.name)) {
    throw new PodError('POD_INVALID', `the pod has an app "${app.name}" already`, {
      remedies: ['give this one another name with --name after its image'],
    });
  }
  const volumes = reified.manifest.volumes ?? [];
  const warnings = reified.warnings.filter(
    (warning) => !old.some(({ name }) => warning === `volume "${name}" is mounted nowhere`),
  );
  return {
    app,
    images: draft.images,
    one: { ...reified.manifest, isolators: manifest.isolators },
    newVolumes: volumes.filter(({ name }) => !old.some((volume) => volume.name === name)),
    warnings,
  };
}

function hostFilesOf(meta: PodMeta): readonly HostFile[] {
  return (meta.hostFiles ?? []).map((file) => ({ ...file, content: { text: '' } }));
}

function checkServices(app: PodApp, manifest: PodManifest): void {
  if (listensOf(app, manifest).length === 0) return;
  throw new PodError(
    'POD_SOCKETS',
    `app ${app.name} wants sockets of the service manager, which gives them only at the start of the pod`,
    { remedies: ['put the app into the pod when it is made'] },
  );
}

/** Throws PodError; then nothing has changed. */
export async function addApp(
  ports: PreparePorts,
  uuid: string,
  options: AddAppOptions,
): Promise<AddedApp> {
  return withPodLock(ports.layout, uuid, async () => {
    const plan = await planAddition(ports, await openForChange(ports.layout, uuid), options);
    await runSteps(plan.steps);
    return plan.added;
  });
}

/** Decides everything and checks all that can be checked without changing anything. The pod's lock must be held. */
export async function planAddition(
  ports: PreparePorts,
  now: ChangeablePod,
  { request, isolation, followVolumeLinks, strict }: AddAppOptions,
): Promise<{ readonly added: AddedApp; readonly steps: readonly Step[] }> {
  const { layout, runtime, zfs } = ports;
  const { uuid, dir } = now.pod;
  const { app, one, images, newVolumes, warnings } = reifyOne(now.manifest, request);
  checkServices(app, one);
  const sources = resolveSources(one, { followLinks: followVolumeLinks, origin: 'words' });
  const network = parseNetwork(now.meta.net);
  const { apps, notes } = await confine(runtime, uuid, one, {
    network,
    isolation,
    strict,
    isPart: true,
  });
  const rootfsKind = runtime.rootfsKind(layout.dir.root);
  const compiled = compileApp(app, {
    uuid,
    manifest: one,
    layout,
    hostFiles: hostFilesOf(now.meta),
    sources,
    seeded: seededVolumes(one, images),
    metadata: { ...ports.metadata, url: findMetadataUrl(dir) ?? '' },
    rootfsKind,
    confinement: { apps },
    term: undefined,
  });
  if (compiled.cgroup.length > 0 && !hasCgroup(now.plan)) {
    throw new PodError(
      'POD_LIMIT_UNSUPPORTED',
      `app ${app.name} has limits, and the pod was made without a control group`,
    );
  }
  checkPlanApp(compiled);
  const plan = withApp(now.plan, compiled);
  checkPlanSize(now.manifest.apps.length + 1, plan.length);
  const confinement = apps.get(app.name);
  const filter = confinement && filterFile(confinement, dir, app.name);
  const seccomp = confinement?.seccomp;
  const meta: PodMeta = {
    ...now.meta,
    apps: [
      ...now.meta.apps,
      {
        name: app.name,
        imageId: app.image.id,
        imageName: app.image.name,
        ...reportField(confinement?.report),
      },
    ],
  };
  const manifest: PodManifest = {
    ...now.manifest,
    apps: [...now.manifest.apps, app],
    volumes: [...(now.manifest.volumes ?? []), ...newVolumes],
  };
  const before = new Set(emptyVolumes(now.manifest).map(({ key }) => key));
  const unused = new Set((now.manifest.volumes ?? []).map(({ name }) => String(name)));
  const volumes = emptyVolumes(one).filter(({ key }) => !before.has(key));
  const clone = layout.dataset.app(uuid, app.name);
  const seal = layout.dataset.seal(app.image.id);
  const steps: readonly Step[] = [
    {
      title: `what an earlier app "${app.name}" left`,
      run: () => dropApp(ports, now.pod, app.name),
    },
    {
      title: `zfs clone ${seal} ${clone}`,
      run: () =>
        cloneSeal(zfs, seal, clone, {
          parents: false,
          quotaBytes: confinement?.diskQuotaBytes,
        }),
      undo: () => dropApp(ports, now.pod, app.name),
    },
    ...volumes.map((volume): Step => {
      // A volume of the pod that no app mounts keeps what it has, if it ever had something.
      const kept = unused.has(volume.key);
      return {
        title: `zfs create ${layout.dataset.podVolume(uuid, volume.key)}`,
        run: async () => {
          const dataset = layout.dataset.podVolume(uuid, volume.key);
          if (kept && (await zfs.exists(dataset))) return;
          await dropVolume(ports, uuid, volume.key);
          await createVolume(ports, uuid, volume, rootfsKind);
          if (rootfsKind === 'zfs') removeEmptyFolder(layout.dir.rootfs(uuid));
        },
        ...(kept ? {} : { undo: () => dropVolume(ports, uuid, volume.key) }),
      };
    }),
    ...(filter === undefined || seccomp === undefined || 'file' in seccomp
      ? []
      : [
          {
            title: `write ${filter}`,
            run: () => {
              writeFileSync(filter, seccomp.program, { mode: 0o400 });
            },
          },
        ]),
    {
      title: `replace ${dir}/{plan,manifest,meta.json}`,
      run: () => {
        replaceFiles(dir, { plan, manifest, meta }, ports.groupId);
      },
    },
  ];
  return { added: { name: app.name, warnings, notes }, steps };
}
