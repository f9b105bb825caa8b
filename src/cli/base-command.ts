/** What all commands share: global flags, the context, and how errors are shown. */
import process from 'node:process';

import { Command } from '@oclif/core/command';
import { boolean, string } from '@oclif/core/flags';
import type { Config } from '@oclif/core/config';

import { createContext, type Context, type GlobalOptions } from './context.ts';
import { showError } from './show-error.ts';

export const globalFlags = {
  config: string({ helpGroup: 'GLOBAL', helpValue: 'FILE', summary: 'configuration file' }),
  option: string({
    char: 'o',
    helpGroup: 'GLOBAL',
    helpValue: 'KEY=VALUE',
    multiple: true,
    multipleNonGreedy: true,
    summary: 'override one configuration value',
  }),
  debug: boolean({ helpGroup: 'GLOBAL', summary: 'show causes and stack traces of errors' }),
};

export const jsonFlag = { json: boolean({ summary: 'print the answer, and errors, as JSON' }) };

export interface GlobalFlags {
  readonly config?: string | undefined;
  readonly option?: readonly string[] | undefined;
  readonly debug?: boolean | undefined;
}

export abstract class BaseCommand extends Command {
  static override baseFlags = globalFlags;

  /** The status when jetpack itself fails; `run`, `exec` and `enter` say 125, since 1 and 2 may be the app's. */
  protected readonly failureExit: number | undefined = undefined;

  /** Instantiates and runs without loading oclif's configuration a second time. */
  static start(
    this: new (argv: string[], config: Config) => BaseCommand,
    argv: string[],
    config: Config,
  ): Promise<unknown> {
    return new this(argv, config)._run();
  }

  /** The ports and paths that operations work with. */
  protected createContext(flags: GlobalFlags, extra: Partial<GlobalOptions> = {}): Context {
    return createContext({ configFile: flags.config, overrides: flags.option ?? [], ...extra });
  }

  override catch(error: Error): Promise<void> {
    const before = !this.argv.includes('--')
      ? this.argv
      : this.argv.slice(0, this.argv.indexOf('--'));
    process.exitCode = showError(error, {
      json: before.includes('--json'),
      debug: before.includes('--debug') || Boolean(process.env['DEBUG']),
      failureExit: this.failureExit,
    });
    return Promise.resolve();
  }
}
