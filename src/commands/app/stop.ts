import { boolean, string } from '@oclif/core/flags';

import { BaseCommand, jsonFlag } from '../../cli/base-command.ts';
import { graceOf } from '../../cli/grace.ts';
import { printAnswer, printJson } from '../../cli/output.ts';
import { podWords } from '../../cli/pod-words.ts';
import { forEach } from '../../cli/several.ts';
import { getSettledApp } from '../../pod/change.ts';
import { stopApp } from '../../pod/control.ts';

export default class AppStop extends BaseCommand {
  static override summary = 'Stop apps of mutable pods, and leave the pods running';
  static override description =
    'The stop signal, then KILL. Returns when they have ended. An app that does not run is fine.';
  static override usage = ['app stop [--time=DURATION] [--force] POD:APP…'];
  static override strict = false;
  static override examples = [
    '<%= config.bin %> app stop box:web',
    '<%= config.bin %> app stop --time=2s box:web',
  ];
  static override flags = {
    ...jsonFlag,
    time: string({
      helpValue: 'DURATION',
      summary: 'how long the app has to end by itself (default: stop.grace-ms)',
    }),
    force: boolean({ char: 'f', summary: 'KILL at once' }),
  };

  override async run(): Promise<void> {
    const { flags, argv } = await this.parse(AppStop);
    const { layout, config, ensureReady } = this.createContext(flags);
    const graceMs = graceOf(flags, config['stop.grace-ms']);
    ensureReady();
    const stopped: string[] = [];
    await forEach(podWords(argv, 'app'), flags, async (reference) => {
      const { pod, app } = await getSettledApp(layout, reference);
      await stopApp(pod.dir, app, graceMs);
      stopped.push(`${pod.uuid}:${app}`);
    });
    if (flags.json) printJson({ stopped });
    else printAnswer(stopped.join('\n'));
  }
}
