/**
 * Entry of the `jetpack` bundle. Finds the command and starts it with a minimal oclif configuration: no search for package.json,
 * no plugin discovery, no theme (PERF: they cost more than the commands). Help loads the full configuration.
 */
import process from 'node:process';

import { Config } from '@oclif/core/config';

import { UsageError } from '../errors.ts';
import { findCommand, type CommandEntry } from './command-table.ts';
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

function wantsHelp(argv: readonly string[]): boolean {
  const end = argv.indexOf('--');
  const own = end === -1 ? argv : argv.slice(0, end);
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
    const { suggest } = await import('./suggest.ts');
    throw new UsageError(`there is no command "${argv[0] ?? ''}"`, {
      remedies: [suggest(argv), 'see the commands with: jetpack --help'].filter(
        (line) => line !== undefined,
      ),
    });
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
