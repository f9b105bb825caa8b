import { BaseCommand, jsonFlag } from '../cli/base-command.ts';
import { runHotCommand } from '../cli/run-main.ts';
import { appFlags, podFlags } from './run.ts';

export default class Prepare extends BaseCommand {
  static override summary = 'Prepare a pod to be run later, and print its UUID';
  static override description = `Takes the same words as run. A prepared pod is complete: jetpack run UUID starts it, and so can a service without this program.`;
  static override usage = [
    'prepare [POD FLAGS] IMAGE [APP FLAGS] [-- ARGS… [---]] [IMAGE …]',
    'prepare [POD FLAGS] --pod-manifest=FILE',
  ];
  static override strict = false;
  static override examples = [
    '<%= config.bin %> prepare --name=web nginx',
    '<%= config.bin %> manifest web | <%= config.bin %> prepare --name=web2 --pod-manifest=-',
    '<%= config.bin %> run -d $(<%= config.bin %> prepare busybox -- sleep 60)',
  ];
  static override flags = { ...jsonFlag, ...podFlags, ...appFlags };

  override run(): Promise<void> {
    this.parsed = true;
    return runHotCommand('prepare', this.argv);
  }
}
