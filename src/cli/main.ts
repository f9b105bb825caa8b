/**
 * Entry of the `jetpack` bundle. Finds the command and starts it with a minimal oclif configuration: no search for package.json,
 * no plugin discovery, no theme (they cost more than the commands). Help loads the full configuration.
 */
import process from 'node:process';

import { Config } from '@oclif/core/config';

import { findCommand, isTopic, type CommandEntry } from './command-table.ts';
import { splitCommand } from './enter-grammar.ts';
import type { PackageJson } from './package-json.ts';
import { showError } from './show-error.ts';

export interface MainOptions {
  readonly argv: readonly string[];
  readonly packageJson: PackageJson;
  readonly root: string;
}

/** Everything that Command and its parser read of a configuration. */
function createLeanConfig({ packageJson, root }: MainOptions): Config {
  const config = new Config({ root, pjson: packageJson });
  const plugin = { name: packageJson.name, hooks: {}, root, pjson: packageJson };
  Object.assign(config, {
    root,
    pjson: packageJson,
    name: packageJson.name,
    version: packageJson.version,
    bin: packageJson.oclif.bin,
    dirname: packageJson.oclif.dirname,
    topicSeparator: ' ',
    rootPlugin: plugin,
    plugins: new Map([[packageJson.name, plugin]]),
  });
  return config;
}

/** The words that are jetpack's own: those after `--`, and after the pod of `exec` and `enter`, belong to a program. */
function ownWords(argv: readonly string[]): readonly string[] {
  const end = argv.indexOf('--');
  const words = end === -1 ? argv : argv.slice(0, end);
  const found = findCommand(words);
  if (found?.entry.id !== 'exec' && found?.entry.id !== 'enter') return words;
  const { own } = splitCommand(found.rest);
  return [...words.slice(0, words.length - found.rest.length), ...own];
}

function wantsHelp(argv: readonly string[]): boolean {
  const own = ownWords(argv);
  return own.includes('--help') || own.includes('-h') || own[0] === 'help' || own.length === 0;
}

/** `--config FILE` and its like may stand before the command: they are put behind it. */
function withGlobalFlagsBehind(argv: readonly string[]): readonly string[] {
  let at = 0;
  while (at < argv.length) {
    const word = argv[at] ?? '';
    if (['--config', '--option', '-o'].includes(word)) at += 2;
    else if (/^(--config=|--option=|-o.|--debug$|--json$)/.test(word)) at += 1;
    else break;
  }
  // Before the arguments of an app, which come after `--`.
  const rest = argv.slice(at);
  const length = findCommand(rest)?.entry.id.split(':').length ?? 1;
  return [...rest.slice(0, length), ...argv.slice(0, at), ...rest.slice(length)];
}

async function run(options: MainOptions): Promise<void> {
  const argv = withGlobalFlagsBehind(options.argv);
  if (wantsHelp(argv)) {
    const { showHelp } = await import('./help.ts');
    return showHelp(
      options,
      argv.filter((word) => word !== '--help' && word !== '-h' && word !== 'help'),
    );
  }
  const found = findCommand(argv);
  if (found === undefined) {
    // `jetpack image` alone: its verbs.
    if (argv.length === 1 && isTopic(argv[0] ?? ''))
      return (await import('./help.ts')).showHelp(options, argv);
    throw (await import('./suggest.ts')).unknownCommand(argv);
  }
  const command = await load(found.entry);
  command.id = found.entry.id;
  await command.start([...found.rest], createLeanConfig(options));
}

interface Startable {
  id: string;
  start(argv: string[], config: Config): Promise<unknown>;
}

async function load(entry: CommandEntry): Promise<Startable> {
  const module = await entry.load();
  return module.default;
}

export async function main(options: MainOptions): Promise<void> {
  try {
    await run(options);
  } catch (error) {
    const thrown = error instanceof Error ? error : new Error(String(error));
    process.exitCode = showError(thrown, {
      json: options.argv.includes('--json'),
      debug: options.argv.includes('--debug') || Boolean(process.env['DEBUG']),
    });
  }
}
