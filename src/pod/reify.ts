/**
 * Reification (spec/pods.md): a request becomes a pod manifest that names every image by id and fills every mount point.
 * Pure: what the host has to say (which volume sources exist) is looked at elsewhere.
 */
import path from 'node:path';

import { PodError } from '../errors.ts';
import type { App, EnvironmentVariable, Isolator } from '../schema/appc.ts';
import type { ImageManifest } from '../schema/image-manifest.ts';
import type { Mount, PodManifest, Volume } from '../schema/pod-manifest.ts';
import { mergeIsolators } from './isolators.ts';

export const AC_VERSION = '0.8.11';

/** An image that a pod is made of, as the store knows it. */
export interface PodImage {
  readonly id: string;
  readonly manifest: ImageManifest;
}

export interface MountRequest {
  readonly volume: string;
  readonly target: string;
}

/** One app as asked for; what is undefined comes from the image. */
export interface AppRequest {
  readonly image: PodImage;
  readonly name: string | undefined;
  /** Replace the image's arguments after its program. */
  readonly args: readonly string[] | undefined;
  /** Replaces the image's program; its arguments are then `args` alone. */
  readonly exec: string | undefined;
  readonly user: string | undefined;
  readonly group: string | undefined;
  readonly workingDir: string | undefined;
  readonly environment: readonly EnvironmentVariable[];
  readonly mounts: readonly MountRequest[];
  readonly readOnlyRootfs: boolean | undefined;
  /** Each replaces the image's isolator of its kind. */
  readonly isolators?: readonly Isolator[] | undefined;
}

export interface PodRequest {
  readonly apps: readonly AppRequest[];
  readonly volumes: readonly Volume[];
  /** For every app, below an app's own `environment`. */
  readonly environment: readonly EnvironmentVariable[];
  /** Of the pod as a whole. */
  readonly isolators?: readonly Isolator[] | undefined;
}

export interface Reified {
  readonly manifest: PodManifest;
  readonly warnings: readonly string[];
}

/** The default name of an app: the last component of the image's name, made an AC Name. */
export function appNameFor(imageName: string): string {
  const last = imageName.slice(imageName.lastIndexOf('/') + 1).toLowerCase();
  const name = last
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 63)
    .replace(/-+$/, '');
  return name === '' ? 'app' : name;
}

function mergeEnvironment(
  ...layers: readonly (readonly EnvironmentVariable[])[]
): EnvironmentVariable[] {
  const merged = new Map<string, string>();
  for (const layer of layers) for (const { name, value } of layer) merged.set(name, value);
  return [...merged].map(([name, value]) => ({ name, value }));
}

function reifyExec(request: AppRequest, app: App | undefined, name: string): readonly string[] {
  const [program, ...imageArgs] = app?.exec ?? [];
  if (request.exec !== undefined) return [request.exec, ...(request.args ?? [])];
  if (program === undefined) {
    throw new PodError(
      'POD_INVALID',
      `app ${name}: image ${request.image.manifest.name} names no program to run`,
      {
        remedies: ['name one with --exec=PROGRAM after the image'],
      },
    );
  }
  return [program, ...(request.args ?? imageArgs)];
}

function reifyApp(request: AppRequest, pod: PodRequest, name: string): App {
  const app = request.image.manifest.app;
  const isolators = mergeIsolators(app?.isolators, request.isolators);
  return {
    ...app,
    ...(isolators === undefined ? {} : { isolators }),
    exec: [...reifyExec(request, app, name)],
    user: request.user ?? app?.user ?? '0',
    group: request.group ?? app?.group ?? '0',
    environment: mergeEnvironment(app?.environment ?? [], pod.environment, request.environment),
    ...(request.workingDir === undefined ? {} : { workingDirectory: request.workingDir }),
  };
}

/** Names every app; two apps of one name are refused, since the user must be able to tell them apart. */
const APP_NAME = /^[a-z0-9]+(-[a-z0-9]+)*$/;

function nameApps(apps: readonly AppRequest[]): readonly string[] {
  const names = apps.map((app) => app.name ?? appNameFor(app.image.manifest.name));
  const bad = names.find((name) => !APP_NAME.test(name) || name.length > 63);
  if (bad !== undefined) {
    throw new PodError('POD_INVALID', `"${bad}" cannot be the name of an app`, {
      remedies: ['1 to 63 lower-case letters, digits and single "-" between them'],
    });
  }
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) {
    throw new PodError('POD_INVALID', `two apps of the pod would be called "${twice}"`, {
      remedies: ['give one of them another name with --name after its image'],
    });
  }
  return names;
}

/** A path inside an app as PLAN.md wants it: normalised, and without a slash at its end unless it is the root. */
export function normaliseTarget(target: string): string {
  const normal = path.posix.normalize(target);
  return normal === '/' ? normal : normal.replace(/\/$/, '');
}

function overlaps(a: string, b: string): boolean {
  const from = normaliseTarget(a);
  const to = normaliseTarget(b);
  return from === to || from.startsWith(`${to}/`) || to.startsWith(`${from}/`);
}

/** What the shim mounts, and what its own steps rely on. */
const RESERVED = ['/proc', '/sys', '/dev'] as const;

function checkMounts(name: string, mounts: readonly Mount[], volumes: readonly Volume[]): void {
  for (const [i, mount] of mounts.entries()) {
    if (!volumes.some((volume) => volume.name === mount.volume)) {
      throw new PodError(
        'POD_VOLUME',
        `app ${name}: the mount at ${mount.path} wants volume "${mount.volume}", which the pod has not`,
        {
          remedies: [
            `--volume ${mount.volume},kind=host,source=/…`,
            `--volume ${mount.volume},kind=empty`,
          ],
        },
      );
    }
    const reserved = RESERVED.find(
      (folder) => overlaps(folder, mount.path) && normaliseTarget(mount.path) !== '/dev/shm',
    );
    if (reserved !== undefined) {
      throw new PodError(
        'POD_VOLUME',
        `app ${name}: the mount at ${mount.path} would hide ${reserved}, which every app needs`,
        {
          remedies: ['give the volume another target'],
        },
      );
    }
    const other = mounts.slice(0, i).find((earlier) => overlaps(earlier.path, mount.path));
    if (other !== undefined) {
      throw new PodError(
        'POD_VOLUME',
        `app ${name}: the mounts at ${other.path} and ${mount.path} overlap`,
        {
          remedies: ['give each volume a target of its own'],
        },
      );
    }
  }
}

/** Throws PodError. The parts of the request were checked where they came in: images by their import, words by the command line. */
export function reify(request: PodRequest): Reified {
  const warnings: string[] = [];
  const volumes: Volume[] = [...request.volumes];
  const names = nameApps(request.apps);
  const apps = request.apps.map((wanted, i) => {
    const name = names[i] ?? '';
    const app = reifyApp(wanted, request, name);
    const mounts: { volume: string; path: string }[] = wanted.mounts.map(({ volume, target }) => ({
      volume,
      path: target,
    }));
    for (const point of app.mountPoints ?? []) {
      if (mounts.some((mount) => normaliseTarget(mount.path) === normaliseTarget(point.path)))
        continue;
      if (!volumes.some((volume) => volume.name === point.name)) {
        volumes.push({ name: point.name, kind: 'empty' });
        warnings.push(
          `app ${name}: no volume for mount point "${point.name}" (${point.path}): an empty one is used`,
        );
      }
      mounts.push({ volume: point.name, path: point.path });
    }
    return {
      name,
      image: {
        id: wanted.image.id,
        name: wanted.image.manifest.name,
        labels: wanted.image.manifest.labels,
      },
      app,
      readOnlyRootFS: wanted.readOnlyRootfs ?? false,
      mounts,
    };
  });
  const twice = volumes.find(
    (volume, i) => volumes.findIndex((other) => other.name === volume.name) !== i,
  );
  if (twice !== undefined)
    throw new PodError('POD_VOLUME', `volume "${twice.name}" is there twice`);
  const manifest = {
    acKind: 'PodManifest',
    acVersion: AC_VERSION,
    apps,
    volumes,
    ...(request.isolators === undefined ? {} : { isolators: request.isolators }),
  } as unknown as PodManifest;
  for (const app of manifest.apps) checkMounts(app.name, app.mounts ?? [], volumes);
  const used = new Set(
    manifest.apps.flatMap((app) => (app.mounts ?? []).map((mount) => mount.volume)),
  );
  for (const { name } of volumes) {
    if (!used.has(name)) warnings.push(`volume "${name}" is mounted nowhere`);
  }
  return { manifest, warnings };
}
