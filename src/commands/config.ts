import { string as stringArg } from '@oclif/core/args';

import { BaseCommand, jsonFlag } from '../cli/base-command.ts';
import { configSources } from '../cli/context.ts';
import { printAnswer, printJson } from '../cli/output.ts';
import { UsageError } from '../errors.ts';
import { CONFIG_KEYS, loadMergedConfig } from '../host/config.ts';
import { findNearest } from '../schema/nearest.ts';

export default class ConfigCommand extends BaseCommand {
  static override summary = 'Show the merged configuration, or one value of it';
  static override description =
    'Built-in values, then the configuration file (/etc/jetpack/jetpack.conf, JETPACK_CONF or --config), then -o KEY=VALUE.';
  static override examples = [
    '<%= config.bin %> config',
    '<%= config.bin %> config root.zfs',
    '<%= config.bin %> config --json',
  ];
  static override args = { key: stringArg({ description: 'print only this value' }) };
  static override flags = { ...jsonFlag };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(ConfigCommand);
    const { config, origins } = loadMergedConfig(
      configSources({ configFile: flags.config, overrides: flags.option ?? [] }),
    );
    const wanted = args.key;
    if (wanted === undefined) {
      if (flags.json) {
        printJson(config);
        return;
      }
      const lines = CONFIG_KEYS.filter((key) => config[key] !== undefined).map(
        (key) => `${key} = ${String(config[key])}  # ${origins[key] ?? 'built in'}`,
      );
      printAnswer(lines.join('\n'));
      return;
    }
    const key = CONFIG_KEYS.find((known) => known === wanted);
    if (key === undefined) {
      const near = findNearest(wanted, CONFIG_KEYS);
      throw new UsageError(`there is no key "${wanted}"`, {
        remedies: [
          near === undefined ? 'see the keys with: jetpack config' : `jetpack config ${near}`,
        ],
      });
    }
    if (flags.json) printJson(config[key] ?? null);
    else printAnswer(String(config[key] ?? ''));
  }
}
