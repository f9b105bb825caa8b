/** Starting a prepared pod: how the shim is called, and which pods may be started (again). */
import path from 'node:path';

import type { Argv } from '../exec/exec.ts';
import type { Layout } from '../host/layout.ts';
import { PodError } from '../errors.ts';
import { getPod, type Pod } from './store.ts';

export interface ShimRunOptions {
  readonly detach: boolean;
  readonly tty: boolean;
  readonly interactive: boolean;
  readonly remove: boolean;
  readonly json: boolean;
}

export function shimRunArgv(shim: string, planFile: string, options: ShimRunOptions): Argv {
  const flags = (['detach', 'interactive', 'tty', 'remove', 'json'] as const).filter(
    (name) => options[name],
  );
  return [shim, 'run', ...flags.map((name) => `--${name}`), planFile];
}

/** The pod that the word means, if it means one; throws POD_WRONG_STATE when it cannot be started. */
export async function findRestartable(
  layout: Layout,
  reference: string,
): Promise<(Pod & { readonly planFile: string }) | undefined> {
  // Names of images are not refused here: only a whole UUID or the exact name of a pod is taken for one.
  const pod = await getPod(layout, reference, { exact: true }).catch((error: unknown) => {
    if (error instanceof PodError && error.code === 'POD_NOT_FOUND') return undefined;
    throw error;
  });
  if (pod === undefined) return undefined;
  if (pod.state !== 'prepared' && pod.state !== 'exited') {
    throw new PodError(
      'POD_WRONG_STATE',
      `pod ${pod.uuid} is ${pod.state}, and only prepared or exited pods can be run`,
      {
        remedies:
          pod.state === 'running'
            ? [`jetpack attach ${reference}`, `jetpack stop ${reference}`]
            : [`jetpack gc`],
      },
    );
  }
  return { ...pod, planFile: path.join(pod.dir, 'plan') };
}
