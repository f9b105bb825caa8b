/** Everything that a store has on disk, for comparing before with after. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

import type { TestStore } from './image-store.ts';

export interface StoreState {
  readonly datasets: readonly string[];
  readonly mounts: readonly string[];
  readonly files: readonly string[];
}

export async function stateOf({ zfs, layout }: TestStore): Promise<StoreState> {
  const rows = await zfs.list(layout.dataset.root, { types: ['filesystem', 'snapshot'] });
  const mounts = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .filter((line) => line.includes(layout.dir.root));
  return {
    datasets: rows.map(({ name }) => name).sort(),
    mounts: mounts.map((line) => line.split(' ').slice(0, 2).join(' ')).sort(),
    files: walk(layout.dir.root),
  };
}

function walk(dir: string): string[] {
  return readdirSync(dir, { withFileTypes: true })
    .flatMap((entry) => {
      const file = path.join(dir, entry.name);
      return entry.isDirectory() ? [`${file}/`, ...walk(file)] : [file];
    })
    .sort();
}
