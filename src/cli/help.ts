/** Help: the only part of the program that loads oclif's whole configuration and every command class. */
import type { Interfaces } from '@oclif/core';
import { Config } from '@oclif/core/config';
import { Help } from '@oclif/core/help';

import { commandTable, findCommand, isTopic } from './command-table.ts';
import type { MainOptions } from './main.ts';
import { unknownCommand } from './suggest.ts';

export async function createFullConfig({ packageJson, root }: MainOptions): Promise<Config> {
  const commands = await Promise.all(
    commandTable.map(async (entry) => {
      const { default: command } = await entry.load();
      return {
        id: entry.id,
        args: Object.fromEntries(
          Object.entries(command.args).map(([name, arg]) => [name, { ...arg, name }]),
        ),
        flags: { ...command.baseFlags, ...command.flags },
        aliases: [],
        hiddenAliases: entry.aliases,
        summary: command.summary,
        description: command.description,
        examples: command.examples,
        usage: command.usage,
        hidden: entry.hidden ?? false,
        strict: command.strict,
        pluginName: packageJson.name,
        pluginAlias: packageJson.name,
        pluginType: 'core',
        load: () => Promise.resolve(command),
      };
    }),
  );
  const plugin = {
    _base: '',
    alias: packageJson.name,
    name: packageJson.name,
    version: packageJson.version,
    type: 'core',
    isRoot: true,
    valid: true,
    moduleType: 'commonjs',
    root,
    hooks: {},
    topics: [{ name: 'image', description: 'work with the images in the store' }],
    pjson: packageJson,
    commands,
    commandIDs: commandTable.map((entry) => entry.id),
    commandsDir: undefined,
    hasManifest: true,
    options: { root },
    load: () => Promise.resolve(),
    findCommand: () => undefined,
  } as unknown as Interfaces.Plugin;
  return Config.load({
    root,
    pjson: packageJson,
    plugins: new Map([[packageJson.name, plugin]]),
    devPlugins: false,
    userPlugins: false,
  });
}

export async function showHelp(options: MainOptions, argv: readonly string[]): Promise<void> {
  const words = argv.filter((word) => !word.startsWith('-'));
  const found = findCommand(words);
  const topic = words[0];
  if (found === undefined && topic !== undefined && !isTopic(topic)) throw unknownCommand(words);
  const config = await createFullConfig(options);
  config.userAgent = `jetpack ${options.packageJson.version}`;
  const help = new Help(config);
  if (found === undefined) return help.showHelp(words.slice(0, 1));
  return help.showHelp([found.entry.id]);
}
