/** "Did you mean" for commands. */
import { UsageError } from '../errors.ts';
import { findNearest } from '../schema/nearest.ts';
import { commandTable, isTopic } from './command-table.ts';

function suggest(argv: readonly string[]): string | undefined {
  const words = argv.filter((word) => !word.startsWith('-'));
  const names = commandTable
    .flatMap((entry) => [entry.id, ...entry.aliases])
    .map((id) => id.replace(':', ' '));
  const near =
    findNearest(words.slice(0, 2).join(' '), names) ?? findNearest(words[0] ?? '', names);
  return near === undefined ? undefined : `jetpack ${near}`;
}

export function unknownCommand(argv: readonly string[]): UsageError {
  const words = argv.filter((word) => !word.startsWith('-'));
  const shown = isTopic(words[0] ?? '') ? words.slice(0, 2).join(' ') : (words[0] ?? '');
  return new UsageError(`there is no command "${shown}"`, {
    remedies: [suggest(argv), 'see the commands with: jetpack --help'].filter(
      (line) => line !== undefined,
    ),
  });
}
