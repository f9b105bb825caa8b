/** Whether a change of a pod (change.ts) was interrupted after its point of no return. Small, since every start asks. */
import { existsSync } from 'node:fs';
import path from 'node:path';

/** The folder of a change that is complete, and not yet in its place. */
export const CHANGE = 'change';

export function isChangePending(podDir: string): boolean {
  return existsSync(path.join(podDir, CHANGE));
}
