/** The unified control group hierarchy of Linux (cgroups(7)). */
import { readFileSync } from 'node:fs';
import path from 'node:path';

/** The unified hierarchy and its controllers; undefined where there is none. */
export function findCgroup2():
  { readonly root: string; readonly controllers: readonly string[] } | undefined {
  for (const root of ['/sys/fs/cgroup', '/sys/fs/cgroup/unified']) {
    try {
      const controllers = readFileSync(path.join(root, 'cgroup.controllers'), 'utf8').trim();
      return { root, controllers: controllers === '' ? [] : controllers.split(' ') };
    } catch {
      continue;
    }
  }
  return undefined;
}
