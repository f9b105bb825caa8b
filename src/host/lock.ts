/** Short critical sections between processes (publishing an image, claiming a name). */
import path from 'node:path';

import { HostError } from '../errors.ts';

/** Between two looks, on the average. */
const PAUSE_MS = 37.5;
const PATIENCE_MS = 15_000;

/**
 * Runs `section` while no other process runs one under the same name. Waits some fifteen seconds for the other, or `patienceMs`
 * where much work would be lost; the lock of a killed process goes stale after four seconds and is taken over.
 */
export async function withLock<T>(
  locksDir: string,
  name: string,
  section: () => Promise<T>,
  patienceMs = PATIENCE_MS,
): Promise<T> {
  const { lock } = await import('proper-lockfile');
  let release: () => Promise<void>;
  try {
    release = await lock(path.join(locksDir, name), {
      realpath: false,
      stale: 4000,
      retries: {
        retries: Math.ceil(patienceMs / PAUSE_MS),
        factor: 1,
        minTimeout: 25,
        maxTimeout: 100,
        randomize: true,
      },
    });
  } catch (cause) {
    throw new HostError('IO_FAILED', `cannot lock "${name}" in ${locksDir}`, {
      remedies: ['another jetpack holds it: try again when it is done'],
      cause,
    });
  }
  try {
    return await section();
  } finally {
    await release();
  }
}
