/** A mutable pod as it is before a change. */
import { readFileSync } from 'node:fs';
import path from 'node:path';

import { PodError } from '../errors.ts';
import type { Layout } from '../host/layout.ts';
import type { PodManifest } from '../schema/pod-manifest.ts';
import type { PodMeta } from './model.ts';
import { isMutable } from './mutable.ts';
import { readPod, type Pod } from './store.ts';

/** What a change starts from. The pod's lock must be held. */
export interface ChangeablePod {
  readonly pod: Pod;
  readonly meta: PodMeta;
  readonly manifest: PodManifest;
  readonly plan: Buffer;
}

/** Ours, and written only by root: its shape was checked when it was made. */
export function readStoredManifest(podDir: string): PodManifest {
  const manifest: unknown = JSON.parse(readFileSync(path.join(podDir, 'manifest'), 'utf8'));
  return manifest as PodManifest;
}

/** Throws POD_WRONG_STATE for a pod that cannot be changed (now). */
export async function openForChange(layout: Layout, uuid: string): Promise<ChangeablePod> {
  const pod = await readPod(layout, uuid);
  const changeable: readonly Pod['state'][] = ['running', 'prepared', 'exited'];
  if (pod?.meta === undefined || !changeable.includes(pod.state)) {
    throw new PodError(
      'POD_WRONG_STATE',
      `pod ${uuid} is ${pod?.state ?? 'gone'}: its apps cannot be changed`,
    );
  }
  const manifest = readStoredManifest(pod.dir);
  if (!isMutable(manifest)) {
    throw new PodError('POD_WRONG_STATE', `pod ${uuid} was not made with --mutable`, {
      remedies: ['make a pod that can be changed: jetpack run --mutable …'],
    });
  }
  return { pod, meta: pod.meta, manifest, plan: readFileSync(path.join(pod.dir, 'plan')) };
}
