/**
 * Which empty volumes begin with what the image has at their place. Images of Docker rely on that: their entry points
 * expect the content and the owner of a volume's folder. Images of appc start with an empty one (spec/pods.md). Pure.
 */
import type { PodManifest } from '../schema/pod-manifest.ts';
import { appOf } from './compile.ts';
import { normaliseTarget, type PodImage } from './reify.ts';
import { isDockerBorn, volumeKey, volumeOf } from './volumes.ts';

/** The keys of the volumes. One whose owner or mode was chosen is left as it was asked for. */
export function seededVolumes(
  manifest: PodManifest,
  images: readonly PodImage[],
): ReadonlySet<string> {
  const keys = new Set<string>();
  for (const [i, app] of manifest.apps.entries()) {
    const image = images[i];
    if (image === undefined || !isDockerBorn(image.manifest)) continue;
    const points = (appOf(app).mountPoints ?? []).map((point) => normaliseTarget(point.path));
    for (const mount of app.mounts ?? []) {
      const volume = volumeOf(manifest, mount);
      if (volume?.kind !== 'empty' || !points.includes(normaliseTarget(mount.path))) continue;
      if ([volume.mode, volume.uid, volume.gid].some((chosen) => chosen !== undefined)) continue;
      keys.add(volumeKey(app, mount));
    }
  }
  return keys;
}
