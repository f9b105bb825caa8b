/** "Did you mean" for commands. */
import { findNearest } from '../schema/nearest.ts';
import { commandTable } from './command-table.ts';

export function suggest(argv: readonly string[]): string | undefined {
  const words = argv.filter((word) => !word.startsWith('-'));
  const names = commandTable
    .flatMap((entry) => [entry.id, ...entry.aliases])
    .map((id) => id.replace(':', ' '));
  const near =
    findNearest(words.slice(0, 2).join(' '), names) ?? findNearest(words[0] ?? '', names);
  return near === undefined ? undefined : `jetpack ${near}`;
}
