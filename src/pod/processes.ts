import type { ProcessRow } from '../runtime/runtime.ts';
import type { AppStatus } from './model.ts';

/** The app whose main process the process descends from; undefined for the init and for what was entered or orphaned. */
export function appOfProcess(
  pid: number,
  processes: readonly ProcessRow[],
  apps: readonly AppStatus[],
): string | undefined {
  const parents = new Map(processes.map((row) => [row.pid, row.parentPid]));
  for (
    let at: number | undefined = pid, depth = 0;
    at !== undefined && depth <= processes.length;
    at = parents.get(at), depth += 1
  ) {
    const app = apps.find((candidate) => candidate.pid === at);
    if (app !== undefined) return app.name;
  }
  return undefined;
}
