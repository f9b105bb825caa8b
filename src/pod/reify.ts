/**
 * Reification (spec/pods.md): a draft becomes a pod manifest that names every image by id and fills every mount point.
 * Pure: what the host has to say (which volume sources exist) is looked at elsewhere.
 */
import path from 'node:path';

import { PodError, type PodErrorCode } from '../errors.ts';
import type { App } from '../schema/appc.ts';
import type { ImageManifest } from '../schema/image-manifest.ts';
import type { Mount, PodApp, PodManifest, Volume } from '../schema/pod-manifest.ts';
import { rightsOfImage } from './image-rights.ts';
import { OWN_GROUP, STOP_SIGNAL } from './app-annotations.ts';
import { isMutable } from './mutable.ts';
import { NOTIFY } from './services.ts';

export const AC_VERSION = '0.8.11';

/** An image that a pod is made of, as the store knows it. */
export interface PodImage {
  readonly id: string;
  readonly manifest: ImageManifest;
}

/** A pod manifest before reification. */
export interface DraftPod {
  readonly manifest: PodManifest;
  /** Of each app, in the manifest's order. */
  readonly images: readonly PodImage[];
  /** Whose mistakes are told how: those of a manifest by the path of the field. */
  readonly origin: 'words' | 'manifest';
}

export interface Reified {
  readonly manifest: PodManifest;
  readonly warnings: readonly string[];
}

/** Tells faults of one draft: with the path of the field where there is a document that has it. */
class Faults {
  readonly warnings: string[] = [];
  readonly #origin: DraftPod['origin'];

  constructor(origin: DraftPod['origin']) {
    this.#origin = origin;
  }

  place(field: string): string {
    return this.#origin === 'manifest' ? `the pod manifest, ${field}: ` : '';
  }

  refuse(code: PodErrorCode, field: string, message: string, remedies: readonly string[]): never {
    throw new PodError(code, `${this.place(field)}${message}`, { remedies });
  }

  warn(field: string, message: string): void {
    this.warnings.push(`${this.place(field)}${message}`);
  }
}

/** A path inside an app as PLAN.md wants it: normalised, and without a slash at its end unless it is the root. */
export function normaliseTarget(target: string): string {
  const normal = path.posix.normalize(target);
  return normal === '/' ? normal : normal.replace(/\/$/, '');
}

/** One is the other, or lies below it. */
export function overlaps(a: string, b: string): boolean {
  const from = normaliseTarget(a);
  const to = normaliseTarget(b);
  return from === to || from.startsWith(`${to}/`) || to.startsWith(`${from}/`);
}

/** What the shim mounts, and what its own steps rely on. */
const RESERVED = ['/proc', '/sys', '/dev'] as const;

function checkMounts(podApp: PodApp, at: string, volumes: readonly Volume[], faults: Faults): void {
  const { name } = podApp;
  const mounts = podApp.mounts ?? [];
  for (const [i, mount] of mounts.entries()) {
    const where = `${at}.mounts[${String(i)}]`;
    if (mount.appVolume !== undefined && mount.appVolume.name !== mount.volume) {
      faults.refuse(
        'POD_VOLUME',
        `${where}.appVolume.name`,
        `app ${name}: the volume of the mount at ${mount.path} is called "${mount.volume}" and "${mount.appVolume.name}"`,
        ['give both the same name'],
      );
    }
    if (mount.appVolume === undefined && !volumes.some((volume) => volume.name === mount.volume)) {
      faults.refuse(
        'POD_VOLUME',
        `${where}.volume`,
        `app ${name}: the mount at ${mount.path} wants volume "${mount.volume}", which the pod has not`,
        [`--volume ${mount.volume},kind=host,source=/…`, `--volume ${mount.volume},kind=empty`],
      );
    }
    const reserved = RESERVED.find(
      (folder) => overlaps(folder, mount.path) && normaliseTarget(mount.path) !== '/dev/shm',
    );
    if (reserved !== undefined) {
      faults.refuse(
        'POD_VOLUME',
        `${where}.path`,
        `app ${name}: the mount at ${mount.path} would hide ${reserved}, which every app needs`,
        ['give the volume another target'],
      );
    }
    const other = mounts.slice(0, i).find((earlier) => overlaps(earlier.path, mount.path));
    if (other !== undefined) {
      faults.refuse(
        'POD_VOLUME',
        `${where}.path`,
        `app ${name}: the mounts at ${other.path} and ${mount.path} overlap`,
        ['give each volume a target of its own'],
      );
    }
  }
}

function reifyApp(podApp: PodApp, image: PodImage, at: string, faults: Faults): App {
  const { name } = podApp;
  // An app in the pod manifest takes the place of the image's as a whole (spec/pods.md).
  const app = podApp.app ?? image.manifest.app;
  const program = app?.exec?.[0];
  if (app === undefined || program === undefined) {
    faults.refuse(
      'POD_INVALID',
      `${at}.app${podApp.app === undefined ? '' : '.exec'}`,
      `app ${name}: image ${image.manifest.name} names no program to run`,
      ['name one with --exec=PROGRAM after the image', 'or give the app of the pod manifest one'],
    );
  }
  return app;
}

/** The app's mounts, and a new empty volume for every mount point that nothing fills. */
function fillMountPoints(
  podApp: PodApp,
  app: App,
  volumes: Volume[],
  at: string,
  faults: Faults,
): readonly Mount[] {
  const mounts: Mount[] = [...(podApp.mounts ?? [])];
  for (const point of app.mountPoints ?? []) {
    if (mounts.some((mount) => normaliseTarget(mount.path) === normaliseTarget(point.path)))
      continue;
    if (!volumes.some((volume) => volume.name === point.name)) {
      volumes.push({ name: point.name, kind: 'empty' });
      faults.warn(
        `${at}.mounts`,
        `app ${podApp.name}: no volume for mount point "${point.name}" (${point.path}): an empty one is used`,
      );
    }
    mounts.push({ volume: point.name, path: point.path });
  }
  return mounts;
}

/** How an app wants to be stopped, whose group it has, and whether it tells when it is ready, its image may say. */
const INHERITED: readonly string[] = [STOP_SIGNAL, OWN_GROUP, NOTIFY];

/** What a pod manifest names as the user and group of its own app is meant as it stands there. */
function isInherited(name: string, app: App, image: PodImage, origin: DraftPod['origin']): boolean {
  if (name !== OWN_GROUP || origin === 'words') return INHERITED.includes(name);
  return app.user === image.manifest.app?.user && app.group === image.manifest.app.group;
}

function inheritAnnotations(
  podApp: PodApp,
  app: App,
  image: PodImage,
  origin: DraftPod['origin'],
): Pick<PodApp, 'annotations'> {
  const own = podApp.annotations ?? [];
  const inherited = (image.manifest.annotations ?? []).filter(
    ({ name }) =>
      isInherited(name, app, image, origin) && !own.some((other) => other.name === name),
  );
  return inherited.length === 0 ? {} : { annotations: [...inherited, ...own] };
}

/** Where the draft says more of an image than its id, that must be true. */
function checkImage(podApp: PodApp, image: PodImage, at: string, faults: Faults): void {
  const { name, labels = [] } = podApp.image;
  if (name !== undefined && name !== image.manifest.name) {
    faults.warn(
      `${at}.image.name`,
      `app ${podApp.name}: the image of this id is called ${image.manifest.name}, not ${name}`,
    );
  }
  for (const [i, label] of labels.entries()) {
    const own = image.manifest.labels?.find((candidate) => candidate.name === label.name);
    if (own?.value === label.value) continue;
    faults.warn(
      `${at}.image.labels[${String(i)}]`,
      `app ${podApp.name}: the image of this id has ${own === undefined ? `no label ${label.name}` : `${label.name}=${own.value}`}`,
    );
  }
}

/** Ports are names of ports of the apps; no two apps may have one of the same name (spec/pods.md). */
function checkPorts(manifest: PodManifest, faults: Faults): void {
  const owners = new Map<string, string>();
  for (const [i, { name, app }] of manifest.apps.entries()) {
    for (const [k, port] of (app?.ports ?? []).entries()) {
      const other = owners.get(port.name);
      if (other !== undefined && (manifest.ports ?? []).some(({ name }) => name === port.name)) {
        faults.refuse(
          'POD_INVALID',
          `apps[${String(i)}].app.ports[${String(k)}].name`,
          `apps ${other} and ${name} both have a port "${port.name}", and the pod has to know which is meant`,
          ['give one of the ports another name'],
        );
      }
      owners.set(port.name, name);
    }
  }
  for (const [i, port] of (manifest.ports ?? []).entries()) {
    // One that says itself where it leads in the pod needs no app that does.
    if (owners.has(port.name) || typeof port.podPort === 'object') continue;
    faults.refuse(
      'POD_INVALID',
      `ports[${String(i)}].name`,
      `no app of the pod has a port "${port.name}"`,
      owners.size === 0
        ? ['take the port away: the images declare none']
        : [`ports of the apps: ${[...owners.keys()].join(', ')}`],
    );
  }
}

/** Throws PodError. The parts of the draft were checked where they came in: images by their import, words by the command line. */
export function reify(draft: DraftPod): Reified {
  const faults = new Faults(draft.origin);
  const volumes: Volume[] = [...(draft.manifest.volumes ?? [])];
  const apps = draft.manifest.apps.map((podApp, i): PodApp => {
    const at = `apps[${String(i)}]`;
    const image = draft.images[i];
    if (image === undefined) throw new Error(`no image was found for app ${podApp.name}`);
    checkImage(podApp, image, at, faults);
    const app = reifyApp(podApp, image, at, faults);
    const rights = rightsOfImage(image.manifest.app, app);
    if (rights.length > 0) {
      faults.warn(
        `${at}.image`,
        `app ${podApp.name}: its image, not you, asks for what apps do not have by default: ${rights.join(', ')}`,
      );
    }
    const { name, labels } = image.manifest;
    return {
      ...podApp,
      image: { id: image.id as PodApp['image']['id'], name, labels },
      app,
      readOnlyRootFS: podApp.readOnlyRootFS ?? false,
      mounts: [...fillMountPoints(podApp, app, volumes, at, faults)],
      ...inheritAnnotations(podApp, app, image, draft.origin),
    };
  });
  const { annotations = [] } = draft.manifest;
  // Always there: a reader that knows the list from the metadata service finds the same one here.
  const manifest: PodManifest = { ...draft.manifest, apps, volumes, annotations };
  for (const [i, app] of manifest.apps.entries())
    checkMounts(app, `apps[${String(i)}]`, volumes, faults);
  checkPorts(manifest, faults);
  const used = new Set(
    manifest.apps.flatMap((app) =>
      (app.mounts ?? []).flatMap(({ volume, appVolume }) =>
        appVolume === undefined ? [String(volume)] : [],
      ),
    ),
  );
  for (const [i, { name }] of volumes.entries()) {
    if (!used.has(name) && !isMutable(manifest))
      faults.warn(`volumes[${String(i)}]`, `volume "${name}" is mounted nowhere`);
  }
  return { manifest, warnings: faults.warnings };
}
