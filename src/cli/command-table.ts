/** Every command: its id (`topic:verb`), the original jetpack's verbs as hidden aliases, and how to load it. */
import type { BaseCommand } from './base-command.ts';

export interface CommandEntry {
  readonly id: string;
  readonly aliases: readonly string[];
  readonly hidden?: boolean;
  readonly load: () => Promise<{ readonly default: typeof BaseCommand }>;
}

function entry(
  id: string,
  load: CommandEntry['load'],
  aliases: readonly string[] = [],
): CommandEntry {
  return { id, aliases, load };
}

export const commandTable: readonly CommandEntry[] = [
  entry('init', () => import('../commands/init.ts')),
  entry('info', () => import('../commands/info.ts')),
  entry('config', () => import('../commands/config.ts')),
  entry('import', () => import('../commands/import.ts')),
  entry('fetch', () => import('../commands/fetch.ts')),
  entry('images', () => import('../commands/images.ts'), ['image:list']),
  entry('image:show', () => import('../commands/image/show.ts'), ['show-image']),
  entry('image:manifest', () => import('../commands/image/manifest.ts'), ['image-manifest']),
  entry('image:rm', () => import('../commands/image/rm.ts'), ['destroy-image']),
  entry('image:export', () => import('../commands/image/export.ts'), ['export']),
  entry('image:push', () => import('../commands/image/push.ts')),
  entry('image:verify', () => import('../commands/image/verify.ts')),
  entry('image:gc', () => import('../commands/image/gc.ts')),
  entry('prepare', () => import('../commands/prepare.ts')),
  entry('run', () => import('../commands/run.ts')),
  entry('list', () => import('../commands/list.ts')),
  entry('status', () => import('../commands/status.ts')),
  entry('logs', () => import('../commands/logs.ts')),
  entry('enter', () => import('../commands/enter.ts'), ['console']),
  entry('exec', () => import('../commands/exec.ts')),
  entry('attach', () => import('../commands/attach.ts')),
  entry('stop', () => import('../commands/stop.ts')),
  entry('kill', () => import('../commands/kill.ts'), ['killall']),
  entry('rm', () => import('../commands/rm.ts'), ['destroy']),
  entry('gc', () => import('../commands/gc.ts')),
  entry('app:add', () => import('../commands/app/add.ts')),
  entry('app:start', () => import('../commands/app/start.ts')),
  entry('app:stop', () => import('../commands/app/stop.ts')),
  entry('app:rm', () => import('../commands/app/rm.ts')),
  entry('app:list', () => import('../commands/app/list.ts')),
  entry('mds', () => import('../commands/mds.ts')),
  entry('ps', () => import('../commands/ps.ts')),
  entry('manifest', () => import('../commands/manifest.ts')),
];

/** The command that the words begin with, the longer id first, and the words after it. */
export function findCommand(
  argv: readonly string[],
): { readonly entry: CommandEntry; readonly rest: readonly string[] } | undefined {
  for (const length of [2, 1]) {
    const words = argv.slice(0, length);
    if (words.length < length || words.some((word) => word.startsWith('-'))) continue;
    const id = words.join(':');
    const found = commandTable.find(
      (candidate) => candidate.id === id || candidate.aliases.includes(id),
    );
    if (found !== undefined) return { entry: found, rest: argv.slice(length) };
  }
  return undefined;
}

/** Whether the word alone stands for several commands: `image`. */
export function isTopic(word: string): boolean {
  return commandTable.some(({ id }) => id.startsWith(`${word}:`));
}
