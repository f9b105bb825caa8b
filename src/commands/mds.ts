import path from 'node:path';
import process from 'node:process';

import { boolean } from '@oclif/core/flags';

import { BaseCommand } from '../cli/base-command.ts';
import { configSources } from '../cli/context.ts';

export default class Mds extends BaseCommand {
  static override summary = 'Run the metadata service: become the program jetpack-mds';
  static override description = `In the foreground, as the user of mds.user; see jetpack-mds(8) and docs/metadata.md.
A service manager that passes sockets must start jetpack-mds itself.`;
  static override examples = [
    '<%= config.bin %> mds',
    '<%= config.bin %> mds -o mds.listen=127.0.0.1,::1,br0 --quiet',
  ];
  static override flags = { quiet: boolean({ summary: 'no access log on standard output' }) };

  override async run(): Promise<void> {
    const { flags } = await this.parse(Mds);
    const overrides = flags.option ?? [];
    const { file } = configSources({ configFile: flags.config, overrides });
    this.createContext(flags).exec.replace([
      process.execPath,
      path.join(__dirname, 'mds.cjs'),
      ...(file === undefined ? [] : ['--config', file]),
      ...overrides.flatMap((option) => ['-o', option]),
      ...(flags.quiet ? ['--quiet'] : []),
    ]);
  }
}
