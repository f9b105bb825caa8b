/** Mutable pods: apps come and go while they run (shim/PLAN.md). An annotation of the pod says so. Pure. */
import { PodError } from '../errors.ts';
import type { PodManifest } from '../schema/pod-manifest.ts';

export const MUTABLE = 'jetpack/mutable';

/** Throws POD_INVALID for a value that is neither. */
export function isMutable(manifest: PodManifest): boolean {
  const value = manifest.annotations?.find(({ name }) => name === MUTABLE)?.value;
  if (value === undefined || value === 'false') return false;
  if (value === 'true') return true;
  throw new PodError('POD_INVALID', `the annotation ${MUTABLE} is true or false, not "${value}"`);
}
