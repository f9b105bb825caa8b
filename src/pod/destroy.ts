/** Removing a pod: idempotent, killable at every step, and several at once do no harm to each other. */
import { readdirSync, renameSync, rmdirSync, rmSync } from 'node:fs';
import path from 'node:path';

import { PodError, ZfsError } from '../errors.ts';
import type { Layout } from '../host/layout.ts';
import type { Zfs } from '../zfs/zfs.ts';
import { withPodLock } from './change.ts';
import { stopPod } from './control.ts';
import { isGone, type Marker } from './model.ts';
import { releaseName } from './names.ts';
import { readPod, type Pod } from './store.ts';

export interface DestroyPorts {
  readonly zfs: Zfs;
  readonly layout: Layout;
}

const REMOVABLE: ReadonlySet<Pod['state']> = new Set(['prepared', 'exited', 'garbage']);

/**
 * Takes the pod out of life with one rename of the marker that was seen; whoever loses it to a start or to another remover
 * looks again. `running` without an answer is final: a start takes only `prepared` and `exited`.
 */
function claim(pod: Pod): boolean {
  if (!REMOVABLE.has(pod.state)) return pod.state === 'aborted' || pod.state === 'deleting';
  if (pod.marker === undefined) return false;
  return moveMarker(pod.dir, pod.marker, 'deleting');
}

/** False when the marker is not there any more. */
export function moveMarker(dir: string, from: Marker, to: Marker): boolean {
  try {
    renameSync(path.join(dir, from), path.join(dir, to));
    return true;
  } catch (error) {
    if (isGone(error)) return false;
    throw error;
  }
}

/**
 * Destroys the pod's datasets. What cannot go yet (a clone made of it, or a file system somewhere still in use) is renamed
 * into trash/, so that the pod's UUID and folder are free; `gc` tries again.
 */
async function destroyDatasets({ zfs, layout }: DestroyPorts, uuid: string): Promise<void> {
  const dataset = layout.dataset.pod(uuid);
  try {
    await zfs.destroy(dataset, { recursive: true });
    return;
  } catch (error) {
    if (!(error instanceof ZfsError)) throw error;
    if (error.code === 'ZFS_MISSING') return;
    if (error.code !== 'ZFS_BUSY' && error.code !== 'ZFS_HAS_CLONES') throw error;
  }
  try {
    await zfs.rename(dataset, layout.dataset.trashed(uuid));
  } catch (cause) {
    throw new PodError('POD_CLEANUP_INCOMPLETE', `pod ${uuid}: its file systems are in use`, {
      remedies: [
        `find who uses them: fuser -vm ${layout.dir.rootfs(uuid)}, or a process with a mount namespace of its own`,
        'then: jetpack gc',
      ],
      cause,
    });
  }
}

/** A folder of mount points. Never recursive: something may still be mounted below, and its files are not ours to delete. */
export function removeEmptyFolder(folder: string): void {
  try {
    for (const child of readdirSync(folder)) rmdirSync(path.join(folder, child));
    rmdirSync(folder);
  } catch (error) {
    if (!isGone(error)) throw error;
  }
}

/** Removes a pod that does not run. Throws POD_WRONG_STATE for one that does, or that somebody prepares. */
export async function destroyPod(ports: DestroyPorts, pod: Pod): Promise<void> {
  const { layout } = ports;
  if (!claim(pod)) {
    const now = await readPod(layout, pod.uuid);
    if (now === undefined) return;
    if (now.state !== pod.state) return destroyPod(ports, now);
    throw new PodError(
      'POD_WRONG_STATE',
      `pod ${pod.uuid} is ${now.state}, and only pods that do not run can be removed`,
      {
        remedies:
          now.state === 'running'
            ? [`jetpack stop ${pod.uuid}`, `jetpack rm --force ${pod.uuid}`]
            : ['wait until it is prepared'],
      },
    );
  }
  const destroy = () => destroyDatasets(ports, pod.uuid);
  // Of a mutable pod. A change that has begun is waited for; none begins from now on.
  if (pod.meta?.hostFiles !== undefined) await withPodLock(layout, pod.uuid, destroy);
  else await destroy();
  removeEmptyFolder(layout.dir.rootfs(pod.uuid));
  const name = pod.meta?.name;
  if (name !== undefined) releaseName(layout, name, pod.uuid);
  rmSync(pod.dir, { recursive: true, force: true });
}

/** Stops it first when it runs. */
export async function destroyPodByForce(
  ports: DestroyPorts,
  pod: Pod,
  graceMs: number,
): Promise<void> {
  if (pod.state !== 'running') return destroyPod(ports, pod);
  await stopPod(pod.dir, graceMs);
  const now = await waitUntilStill(ports.layout, pod.uuid);
  if (now !== undefined) await destroyPod(ports, now);
}

/** After `exit=` the supervisor still reaps for a moment; with --rm it removes the pod itself. */
export async function waitUntilStill(
  layout: Layout,
  uuid: string,
  timeoutMs = 10_000,
): Promise<Pod | undefined> {
  const stepMs = 20;
  for (let waitedMs = 0; ; waitedMs += stepMs) {
    const pod = await readPod(layout, uuid);
    if (pod?.state !== 'running') return pod;
    if (waitedMs >= timeoutMs) {
      throw new PodError('POD_WRONG_STATE', `pod ${uuid} still runs after it was stopped`, {
        remedies: [`jetpack status ${uuid}`],
      });
    }
    await new Promise((resolve) => setTimeout(resolve, stepMs));
  }
}
