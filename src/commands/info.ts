import process from 'node:process';

import { BaseCommand, jsonFlag } from '../cli/base-command.ts';
import { gatherInfo, type Finding } from '../cli/host-info.ts';
import { printAnswer, printJson, renderTable } from '../cli/output.ts';

function row({ what, value, lack }: Finding): readonly string[] {
  return [
    lack === undefined ? 'ok' : lack.fatal ? 'MISSING' : 'lacks',
    what,
    value,
    lack?.cost ?? '',
  ];
}

export default class Info extends BaseCommand {
  static override summary = 'Show what this host has, what it lacks, and what each lack costs';
  static override description = 'Exit status 1 when pods cannot run here.';
  static override examples = ['<%= config.bin %> info', '<%= config.bin %> info --json'];
  static override flags = { ...jsonFlag };

  override async run(): Promise<void> {
    const { flags } = await this.parse(Info);
    const findings = await gatherInfo(this.createContext(flags), this.config.version);
    const canRun = !findings.some(({ lack }) => lack?.fatal === true);
    if (flags.json) printJson({ canRun, findings });
    else
      printAnswer(
        renderTable(undefined, findings.map(row)) +
          (canRun ? 'Pods can run here.\n' : 'Pods cannot run here yet.\n'),
      );
    process.exitCode = canRun ? 0 : 1;
  }
}
