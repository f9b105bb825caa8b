/** What a dry run calls before the code cache is made: loads every command and parses a line, so that their code is in it. */
import { commandTable } from './command-table.ts';
import { parseRunWords } from './run-grammar.ts';

export async function warmUp(): Promise<void> {
  for (const entry of commandTable) await entry.load();
  parseRunWords(['-d', '--rm', '--net=none', 'image', '--user', '0', '--', 'true']);
}
