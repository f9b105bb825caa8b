/** The datasets of a pod: a clone for each app's root, a file system for each empty volume. */
import { chmodSync, chownSync } from 'node:fs';
import path from 'node:path';

import type { Layout } from '../host/layout.ts';
import type { PodManifest } from '../schema/pod-manifest.ts';
import type { Zfs } from '../zfs/zfs.ts';
import type { AppConfinement } from '../runtime/runtime.ts';
import { cloneSeal } from './app-root.ts';
import { removeEmptyFolder } from './destroy.ts';
import type { Step } from './steps.ts';
import { emptyVolumes, type PodVolume } from './volumes.ts';

export interface DatasetPorts {
  readonly zfs: Zfs;
  /** The same, without blocking: for several commands at once. */
  readonly zfsAtOnce: Zfs;
  readonly layout: Layout;
}

/** How a pod's root file systems reach it: mounted by the shim, or by zfs-fuse in the host. */
export type RootfsKind = 'zfs' | 'dir';

function isPlain({ mode, uid, gid }: PodVolume['volume']): boolean {
  return (mode === undefined || /^0?755$/.test(mode)) && (uid ?? 0) === 0 && (gid ?? 0) === 0;
}

/** A new empty volume, with the mode and owner that it shall have. */
export async function createVolume(
  { zfs, layout }: Pick<DatasetPorts, 'zfs' | 'layout'>,
  uuid: string,
  { key, volume }: PodVolume,
  kind: RootfsKind,
): Promise<void> {
  const dataset = layout.dataset.podVolume(uuid, key);
  const folder = path.join(layout.dir.rootfs(uuid), `volume.${key}`);
  if (isPlain(volume)) return zfs.create(dataset, {});
  // Where the shim mounts, it is mounted here for a moment to get its mode and owner.
  const detour = kind === 'zfs';
  await zfs.create(dataset, detour ? { properties: { mountpoint: folder } } : {});
  chownSync(folder, volume.uid ?? 0, volume.gid ?? 0);
  chmodSync(folder, Number.parseInt(volume.mode ?? '0755', 8));
  if (detour) await zfs.set(dataset, { mountpoint: 'legacy' });
}

export function* podDatasetSteps(
  { zfs, zfsAtOnce, layout }: DatasetPorts,
  uuid: string,
  manifest: PodManifest,
  kind: RootfsKind,
  confined: ReadonlyMap<string, AppConfinement>,
): Generator<Step> {
  const pod = layout.dataset.pod(uuid);
  const undo = async () => {
    await zfs.destroy(pod, { recursive: true });
    removeEmptyFolder(layout.dir.rootfs(uuid));
  };
  const volumes = emptyVolumes(manifest);
  // Kernel ZFS makes the parent in the same command, since nothing of it is mounted; zfs-fuse would mount it.
  const separate = kind === 'dir' || manifest.apps.length === 0;
  if (separate) {
    yield {
      title: `zfs create ${pod}`,
      run: () => zfs.create(pod, { properties: { canmount: 'off' } }),
      undo,
    };
  }
  // For few nothing is to be gained: the way without blocking costs some milliseconds itself. And zfs-fuse, which mounts
  // what it makes, was seen to hang for ever under two clones at once (docs/tools.md).
  const atOnce = kind === 'zfs' && manifest.apps.length + volumes.length > 2;
  const at = atOnce ? zfsAtOnce : zfs;
  for (const [i, app] of manifest.apps.entries()) {
    const clone = layout.dataset.app(uuid, app.name);
    const seal = layout.dataset.seal(app.image.id);
    const title = `zfs clone ${seal} ${clone}`;
    const quotaBytes = confined.get(app.name)?.diskQuotaBytes;
    const parents = !separate && i === 0;
    const by = parents ? zfs : at;
    const run = () => cloneSeal(by, seal, clone, { parents, quotaBytes });
    yield parents ? { title, run, undo } : { title, run, atOnce };
  }
  for (const volume of volumes) {
    yield {
      title: `zfs create ${layout.dataset.podVolume(uuid, volume.key)}`,
      run: () => createVolume({ zfs: at, layout }, uuid, volume, kind),
      atOnce,
    };
  }
  const detours = kind === 'zfs' && volumes.some(({ volume }) => !isPlain(volume));
  if (detours) {
    const folder = layout.dir.rootfs(uuid);
    yield {
      title: `rmdir ${folder}`,
      run: () => {
        removeEmptyFolder(folder);
      },
    };
  }
}
