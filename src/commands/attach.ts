import { string as stringArg } from '@oclif/core/args';
import { boolean } from '@oclif/core/flags';

import { BaseCommand } from '../cli/base-command.ts';
import { isTerminal } from '../cli/output.ts';
import { EXIT, PodError } from '../errors.ts';
import { getPodApp } from '../pod/store.ts';

export default class Attach extends BaseCommand {
  static override summary = "Attach to a running app's output, and to its terminal if it has one";
  static override description =
    'Returns with the exit status of the app. Ctrl-P Ctrl-Q leaves it running.';
  static override examples = ['<%= config.bin %> attach web', '<%= config.bin %> attach pod:app'];
  static override args = { pod: stringArg({ required: true, description: 'POD or POD:APP' }) };
  static override flags = {
    tty: boolean({
      char: 't',
      summary: 'the terminal in raw mode (default where there is one)',
      allowNo: true,
    }),
  };

  protected override readonly failureExit = EXIT.beforeApp;

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(Attach);
    const context = this.createContext(flags);
    context.ensureReady();
    const { pod, app } = await getPodApp(context.layout, args.pod);
    if (pod.state !== 'running')
      throw new PodError('POD_WRONG_STATE', `pod ${pod.uuid} does not run (it is ${pod.state})`);
    const tty = (flags.tty as boolean | undefined) ?? isTerminal(0);
    context.exec.replace([context.runtime.shim, 'attach', ...(tty ? ['--tty'] : []), pod.dir, app]);
  }
}
