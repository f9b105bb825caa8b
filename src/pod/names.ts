/** Names of pods: one symbolic link to the UUID for each, so that taking a name is one atomic step. */
import { readlinkSync, symlinkSync, unlinkSync } from 'node:fs';

import { errnoOf, PodError } from '../errors.ts';
import type { Layout } from '../host/layout.ts';
import { withLock } from '../host/lock.ts';
import { isGone } from './model.ts';
import { readPod } from './store.ts';

/** Takes the name for this pod. A name whose pod is gone (its deletion was interrupted) is taken over. */
export async function claimName(layout: Layout, name: string, uuid: string): Promise<void> {
  const link = layout.dir.podName(name);
  for (let attempt = 0; attempt < 3; attempt += 1) {
    try {
      symlinkSync(uuid, link);
      return;
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST') throw error;
    }
    const owner = findOwner(link);
    if (owner === undefined) continue;
    if ((await readPod(layout, owner)) !== undefined) {
      throw new PodError('POD_NAME_TAKEN', `pod ${owner} is called "${name}" already`, {
        remedies: ['take another name', `remove that pod: jetpack rm ${name}`],
      });
    }
    await dropStaleName(layout, link, owner);
  }
  throw new PodError('POD_RACE', `others are taking the name "${name}" at the same time`, {
    remedies: ['try again'],
  });
}

function findOwner(link: string): string | undefined {
  try {
    return readlinkSync(link);
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}

/** Under a lock, and looked at again: what somebody else has put there meanwhile must stay. */
export async function dropStaleName(layout: Layout, link: string, owner: string): Promise<void> {
  await withLock(layout.dir.locks, 'pod-names', () => {
    // A link that was taken again names another pod, since UUIDs are never used twice.
    if (findOwner(link) === owner) unlinkSync(link);
    return Promise.resolve();
  });
}

/** Gives the name back, unless it is another pod's by now. Idempotent. */
export function releaseName(layout: Layout, name: string, uuid: string): void {
  const link = layout.dir.podName(name);
  try {
    if (readlinkSync(link) === uuid) unlinkSync(link);
  } catch (error) {
    if (!isGone(error) && errnoOf(error) !== 'EINVAL') throw error;
  }
}
