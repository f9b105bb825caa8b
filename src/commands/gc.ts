import process from 'node:process';

import { boolean, string } from '@oclif/core/flags';

import { BaseCommand, jsonFlag } from '../cli/base-command.ts';
import { parseDuration } from '../cli/duration.ts';
import { findingsOf, printFindings } from '../cli/findings.ts';
import { collectWithReserve } from '../host/reserve.ts';
import { collectImages } from '../image/collect.ts';
import { collectPods, type Finding } from '../pod/collect.ts';

export default class Gc extends BaseCommand {
  static override summary = 'Remove what is no longer needed: exited pods, aborted work, trash';
  static override description = `Tells what it removed and what it kept, and why. What cannot go yet is tried again the next time.`;
  static override examples = [
    '<%= config.bin %> gc',
    '<%= config.bin %> gc --grace-period=0 --expire-prepared=0',
    '<%= config.bin %> gc --dry-run --json',
  ];
  static override flags = {
    ...jsonFlag,
    'grace-period': string({
      default: '30m',
      helpValue: 'DURATION',
      summary: 'keep exited pods for so long',
    }),
    'expire-prepared': string({
      default: '24h',
      helpValue: 'DURATION',
      summary: 'keep prepared pods that were never run for so long',
    }),
    'mark-only': boolean({ summary: 'only mark exited pods as garbage' }),
    'dry-run': boolean({ summary: 'only say what would be done' }),
  };

  override async run(): Promise<void> {
    const { flags } = await this.parse(Gc);
    const context = this.createContext(flags);
    context.ensureReady();
    const options = {
      gracePeriodMs: parseDuration('grace-period', flags['grace-period']),
      expirePreparedMs: parseDuration('expire-prepared', flags['expire-prepared']),
      markOnly: flags['mark-only'],
      dryRun: flags['dry-run'],
      nowMs: context.now().getTime(),
    };
    const collect = async (): Promise<readonly Finding[]> => {
      const pods = await collectPods(context.destroyPorts, options);
      if (options.markOnly) return pods;
      return [...pods, ...findingsOf(await collectImages(context.imagePorts, options))];
    };
    const findings = options.dryRun
      ? await collect()
      : await collectWithReserve(context.destroyPorts, collect);
    printFindings(findings, { json: flags.json, dryRun: options.dryRun });
    if (findings.some(({ action }) => action === 'failed')) process.exitCode = 1;
  }
}
