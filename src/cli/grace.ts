/** How long something has to end by itself before it is killed. */
import { UsageError } from '../errors.ts';
import { parseDuration } from './duration.ts';

/** What the supervisor takes (shim/PLAN.md). */
const MAX_GRACE_MS = 86_400_000;

/** `--time` and `--force` of `stop` and its like, as whole milliseconds. */
export function graceOf(
  { time, force }: { readonly time: string | undefined; readonly force: boolean },
  defaultMs: number,
): number {
  const graceMs = force ? 0 : time === undefined ? defaultMs : parseDuration('time', time);
  if (graceMs > MAX_GRACE_MS) throw new UsageError('--time is at most 24h');
  return Math.round(graceMs);
}
