/** An app leaves a mutable pod: the pod's files first, all at once (change.ts), then what belongs to the app alone. */
import { rmSync } from 'node:fs';
import path from 'node:path';

import { PodError, ZfsError } from '../errors.ts';
import { createUuid } from '../host/uuid.ts';
import type { DatasetName } from '../zfs/zfs.ts';
import { replaceFiles, withPodLock } from './change.ts';
import { openForChange } from './changeable.ts';
import { forgetApp, isStarting, stopApp } from './control.ts';
import type { DestroyPorts } from './destroy.ts';
import { withoutApp } from './plan-groups.ts';
import { readPodStatus, type Pod } from './store.ts';

/** Destroys a dataset that nothing names any more; into the trash with one that is still in use. */
async function discard({ zfs, layout }: DestroyPorts, dataset: DatasetName): Promise<void> {
  try {
    await zfs.destroy(dataset, { recursive: true });
  } catch (error) {
    if (!(error instanceof ZfsError)) throw error;
    if (error.code === 'ZFS_MISSING') return;
    if (error.code !== 'ZFS_BUSY' && error.code !== 'ZFS_HAS_CLONES') throw error;
    await zfs.rename(dataset, layout.dataset.trashed(createUuid()));
  }
}

/**
 * Takes away whatever there is of an app that the pod's manifest does not name (any more), a running process included.
 * Idempotent. The pod's lock must be held.
 */
export async function dropApp(ports: DestroyPorts, pod: Pod, name: string): Promise<void> {
  for (let attempt = 0; ; attempt += 1) {
    const forgotten = await forgetApp(pod.dir, name);
    if (forgotten !== 'runs') break;
    if (attempt === 5)
      throw new PodError('POD_CONTROL_FAILED', `app ${name} is started again and again`);
    await stopApp(pod.dir, name, 0).catch((error: unknown) => {
      // It may have ended by itself meanwhile.
      if (!(error instanceof PodError) || error.code !== 'POD_CONTROL_FAILED') throw error;
    });
  }
  await discard(ports, ports.layout.dataset.app(pod.uuid, name));
  const files = [`status/${name}`, `seccomp.${name}.bpf`];
  for (const file of files) rmSync(path.join(pod.dir, file), { force: true });
  removeLogs(pod.dir, name);
}

/** The pod's lock must be held. */
export async function dropVolume(ports: DestroyPorts, uuid: string, key: string): Promise<void> {
  await discard(ports, ports.layout.dataset.podVolume(uuid, key));
}

export interface RemoveAppOptions {
  /** Stop the app first, with this grace; undefined: refuse one that runs. */
  readonly graceMs: number | undefined;
  readonly groupId: number | undefined;
}

/** Its volumes stay with the pod, but for those that are its own. Throws POD_APP_NOT_FOUND, POD_WRONG_STATE. */
export async function removeApp(
  ports: DestroyPorts,
  uuid: string,
  name: string,
  { graceMs, groupId }: RemoveAppOptions,
): Promise<void> {
  await withPodLock(ports.layout, uuid, async () => {
    const now = await openForChange(ports.layout, uuid);
    const app = now.manifest.apps.find((candidate) => candidate.name === name);
    if (app === undefined) {
      throw new PodError('POD_APP_NOT_FOUND', `pod ${uuid} has no app "${name}"`, {
        remedies: [`its apps: ${now.manifest.apps.map((other) => other.name).join(', ')}`],
      });
    }
    const state = readPodStatus(now.pod).apps.find((candidate) => candidate.name === name)?.state;
    const starting = state === 'created' && (await isStarting(now.pod.dir, name));
    if (state === 'running' || state === 'waiting' || starting) {
      if (graceMs === undefined) {
        const what = starting ? 'about to start' : state;
        throw new PodError('POD_WRONG_STATE', `app ${name} of pod ${uuid} is ${what}`, {
          remedies: [`jetpack app stop ${uuid}:${name}`, `jetpack app rm --force ${uuid}:${name}`],
        });
      }
      await stopApp(now.pod.dir, name, graceMs).catch((error: unknown) => {
        if (!(error instanceof PodError) || error.code !== 'POD_CONTROL_FAILED') throw error;
      });
    }
    replaceFiles(
      now.pod.dir,
      {
        plan: withoutApp(now.plan, name),
        manifest: { ...now.manifest, apps: now.manifest.apps.filter((other) => other !== app) },
        meta: { ...now.meta, apps: now.meta.apps.filter((other) => other.name !== name) },
      },
      groupId,
    );
    await dropApp(ports, now.pod, name);
    for (const mount of app.mounts ?? []) {
      if (mount.appVolume?.kind === 'empty')
        await dropVolume(ports, uuid, `${name}.${mount.volume}`);
    }
  });
}

function removeLogs(podDir: string, name: string): void {
  rmSync(path.join(podDir, 'logs', name), { force: true });
  for (let i = 1; i <= 1000; i += 1) {
    const file = path.join(podDir, 'logs', `${name}.${String(i)}`);
    try {
      rmSync(file);
    } catch {
      return;
    }
  }
}
