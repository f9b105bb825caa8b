/**
 * Changes of a pod that was prepared before. Its files are replaced together: the new ones are written aside, one rename of
 * their folder is the point of no return, and whoever comes after a crash finishes what it finds. So a pod is the old one
 * or the new one, whatever is killed when. Changes of one pod come one after the other, by a lock.
 */
import { existsSync, mkdirSync, renameSync, rmdirSync, rmSync } from 'node:fs';
import path from 'node:path';

import { errnoOf } from '../errors.ts';
import { writeNewFile } from '../host/exact-mode.ts';
import type { Layout } from '../host/layout.ts';
import { withLock } from '../host/lock.ts';
import type { PodManifest } from '../schema/pod-manifest.ts';
import { isGone, type PodMeta } from './model.ts';
import { CHANGE, isChangePending } from './pending-change.ts';
import { getPod, getPodApp, type Pod } from './store.ts';

/** Being written: means nothing. */
const UNFINISHED = '.change';

/** In the order in which they take their places; the plan, which is what runs, comes first. */
const FILES = ['plan', 'manifest', 'meta.json'] as const;

export interface PodFiles {
  readonly plan: Buffer;
  readonly manifest: PodManifest;
  readonly meta: PodMeta;
}

/** Idempotent. The lock of the pod must be held. */
export function finishChange(podDir: string): void {
  const from = path.join(podDir, CHANGE);
  if (!existsSync(from)) return;
  for (const name of FILES) {
    try {
      renameSync(path.join(from, name), path.join(podDir, name));
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error;
    }
  }
  rmdirSync(from);
}

/** The lock of the pod must be held. */
export function replaceFiles(podDir: string, files: PodFiles, groupId: number | undefined): void {
  const aside = path.join(podDir, UNFINISHED);
  rmSync(aside, { recursive: true, force: true });
  mkdirSync(aside, { mode: 0o700 });
  const write = (name: (typeof FILES)[number], content: string | Buffer, mode: number) =>
    writeNewFile(path.join(aside, name), content, mode, mode === 0o440 ? groupId : undefined);
  write('plan', files.plan, 0o400);
  write('manifest', `${JSON.stringify(files.manifest)}\n`, 0o440);
  write('meta.json', `${JSON.stringify(files.meta)}\n`, 0o440);
  renameSync(aside, path.join(podDir, CHANGE));
  finishChange(podDir);
}

/** Runs `section` alone on this pod, after whatever was interrupted before has been finished. */
export async function withPodLock<T>(
  layout: Layout,
  uuid: string,
  section: () => Promise<T>,
): Promise<T> {
  return withLock(layout.dir.locks, `pod-${uuid}`, async () => {
    try {
      finishChange(layout.dir.pod(uuid));
    } catch (error) {
      if (!isGone(error)) throw error;
    }
    return section();
  });
}

/** For those who only read the files of the pod. */
export async function settlePod(layout: Layout, uuid: string): Promise<void> {
  if (isChangePending(layout.dir.pod(uuid)))
    await withPodLock(layout, uuid, () => Promise.resolve());
}

/** `POD[:APP]`, after an interrupted change of the pod has been finished. Throws what `getPodApp` throws. */
export async function getSettledApp(
  layout: Layout,
  reference: string,
): Promise<{ readonly pod: Pod; readonly app: string }> {
  const colon = reference.lastIndexOf(':');
  const { uuid } = await getPod(layout, colon === -1 ? reference : reference.slice(0, colon));
  await settlePod(layout, uuid);
  return getPodApp(layout, reference);
}
