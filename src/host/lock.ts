/** Short critical sections between processes (publishing an image, claiming a name). */
import path from 'node:path';

import { HostError } from '../errors.ts';

/**
 * Runs `section` while no other process runs one under the same name. Waits some fifteen seconds for the other; the lock of
 * a killed process goes stale after four seconds and is taken over, so keep sections well below that.
 */
export async function withLock<T>(
  locksDir: string,
  name: string,
  section: () => Promise<T>,
): Promise<T> {
  const { lock } = await import('proper-lockfile');
  let release: () => Promise<void>;
  try {
    release = await lock(path.join(locksDir, name), {
      realpath: false,
      stale: 4000,
      retries: { retries: 400, factor: 1, minTimeout: 25, maxTimeout: 100, randomize: true },
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
