/** gc inside of mutable pods: what a change that was killed has left, beside everything that the pod's manifest names. */
import type { PodManifest } from '../schema/pod-manifest.ts';
import type { DatasetName } from '../zfs/zfs.ts';
import { withPodLock } from './change.ts';
import { openForChange, readStoredManifest } from './changeable.ts';
import type { DestroyPorts } from './destroy.ts';
import { isChangePending } from './pending-change.ts';
import { dropApp, dropVolume } from './remove-app.ts';
import { emptyVolumes } from './volumes.ts';

/** The last parts of the names of the datasets that the pod has. */
function namedBy(manifest: PodManifest): ReadonlySet<string> {
  return new Set([
    ...manifest.apps.map(({ name }) => String(name)),
    ...emptyVolumes(manifest).map(({ key }) => `volume.${key}`),
    // Those that no app mounts any more may have something in them.
    ...(manifest.volumes ?? []).map(({ name }) => `volume.${name}`),
  ]);
}

/** Looked at again under the lock: somebody may be at work on it. */
export function mayHaveLeftovers(podDir: string, children: readonly string[]): boolean {
  if (isChangePending(podDir)) return true;
  const named = namedBy(readStoredManifest(podDir));
  return children.some((child) => !named.has(child));
}

/** Returns the names of the datasets that went, or would go. Nothing is done with a pod that is not mutable. */
export async function collectLeftovers(
  ports: DestroyPorts,
  uuid: string,
  dryRun: boolean,
): Promise<readonly DatasetName[]> {
  const { zfs, layout } = ports;
  return withPodLock(layout, uuid, async () => {
    const now = await openForChange(layout, uuid);
    const named = namedBy(now.manifest);
    const parent = layout.dataset.pod(uuid);
    const rows = await zfs.list(parent, { depth: 1, types: ['filesystem'] });
    const gone: DatasetName[] = [];
    for (const { name } of rows) {
      if (name === parent) continue;
      const child = name.slice(parent.length + 1);
      if (named.has(child)) continue;
      if (!dryRun && child.startsWith('volume.'))
        await dropVolume(ports, uuid, child.slice('volume.'.length));
      else if (!dryRun) await dropApp(ports, now.pod, child);
      gone.push(name);
    }
    return gone;
  });
}
