/** The volumes of a reified pod: which there are, what fills a mount, and what the host has to say about their sources. */
import { lstatSync, realpathSync } from 'node:fs';
import path from 'node:path';

import { errnoOf, PodError } from '../errors.ts';
import type { ImageManifest } from '../schema/image-manifest.ts';
import type {
  EmptyVolume,
  HostVolume,
  Mount,
  PodApp,
  PodManifest,
  Volume,
} from '../schema/pod-manifest.ts';

/** Annotations of this kind say that an image was made from one of Docker's. */
const DOCKER_ANNOTATIONS = 'appc.io/docker/';

export function isDockerBorn(manifest: ImageManifest): boolean {
  return (manifest.annotations ?? []).some(({ name }) => name.startsWith(DOCKER_ANNOTATIONS));
}

/** An empty volume of a pod. */
export interface PodVolume {
  /** The last part of its dataset's name: the volume's own, or the app's and the volume's for a volume of one app. */
  readonly key: string;
  readonly volume: EmptyVolume;
}

/** What fills a mount: the app's own volume before the pod's. Undefined only before reification. */
export function volumeOf(manifest: PodManifest, mount: Mount): Volume | undefined {
  return mount.appVolume ?? (manifest.volumes ?? []).find((volume) => volume.name === mount.volume);
}

/** No AC Name has a dot: the keys of two volumes never meet. */
export function volumeKey(app: PodApp, mount: Mount): string {
  return mount.appVolume === undefined ? mount.volume : `${app.name}.${mount.volume}`;
}

/** The empty volumes that some app mounts: each becomes a dataset of the pod. */
export function emptyVolumes(manifest: PodManifest): readonly PodVolume[] {
  const found = new Map<string, PodVolume>();
  for (const app of manifest.apps) {
    for (const mount of app.mounts ?? []) {
      const volume = volumeOf(manifest, mount);
      if (volume?.kind !== 'empty') continue;
      const key = volumeKey(app, mount);
      found.set(key, { key, volume });
    }
  }
  return [...found.values()];
}

interface Placed {
  readonly volume: HostVolume;
  readonly field: string;
}

function* hostVolumes(manifest: PodManifest): Generator<Placed> {
  for (const [i, volume] of (manifest.volumes ?? []).entries())
    if (volume.kind === 'host') yield { volume, field: `volumes[${String(i)}]` };
  for (const [i, app] of manifest.apps.entries()) {
    for (const [k, mount] of (app.mounts ?? []).entries()) {
      if (mount.appVolume?.kind === 'host') {
        yield {
          volume: mount.appVolume,
          field: `apps[${String(i)}].mounts[${String(k)}].appVolume`,
        };
      }
    }
  }
}

export interface SourceRules {
  /** Symbolic links in a source are followed, once, now: asked for by the pod. */
  readonly followLinks: boolean;
  /** Begin errors with the path of the field. */
  readonly origin: 'words' | 'manifest';
}

/**
 * The real place of every source, by its source in the manifest (spec/ace.md, "Volume Setup").
 * Throws POD_VOLUME when one is missing, or when it or one of its parents is a symbolic link and links are not to be
 * followed: whoever can write such a link could point the pod at any place of the host.
 */
export function resolveSources(
  manifest: PodManifest,
  rules: SourceRules,
): ReadonlyMap<string, string> {
  const sources = new Map<string, string>();
  for (const { volume, field } of hostVolumes(manifest)) {
    const at = rules.origin === 'manifest' ? `the pod manifest, ${field}.source: ` : '';
    sources.set(volume.source, resolveSource(volume, at, rules.followLinks));
  }
  return sources;
}

function resolveSource(volume: HostVolume, at: string, followLinks: boolean): string {
  const source = path.posix.normalize(volume.source).replace(/(.)\/$/, '$1');
  let real: string;
  try {
    lstatSync(source);
    real = realpathSync(source);
  } catch (error) {
    const errno = errnoOf(error);
    throw new PodError(
      'POD_VOLUME',
      `${at}volume "${volume.name}": the source ${source} ${errno === 'ENOENT' ? 'is not there' : `cannot be read (${errno ?? 'unknown'})`}`,
      { remedies: [`make it first: mkdir -p ${source}`], cause: error },
    );
  }
  if (real === source || followLinks) return real;
  throw new PodError(
    'POD_VOLUME',
    `${at}volume "${volume.name}": the source ${source} leads through a symbolic link to ${real}`,
    {
      remedies: [
        `name the real place: source=${real}`,
        'or let the pod follow such links: --follow-volume-links',
      ],
    },
  );
}

/** Files and folders of the host that these apps of the pod mount. */
export function hostPathsOf(manifest: PodManifest, apps: readonly PodApp[]): readonly string[] {
  return apps.flatMap((app) =>
    (app.mounts ?? []).flatMap((mount) => {
      const volume = volumeOf(manifest, mount);
      return volume?.kind === 'host' ? [volume.source] : [];
    }),
  );
}
