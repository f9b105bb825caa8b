import { boolean, string } from '@oclif/core/flags';

import { BaseCommand, jsonFlag } from '../cli/base-command.ts';
import { graceOf } from '../cli/grace.ts';
import { printAnswer, printJson } from '../cli/output.ts';
import { podWords } from '../cli/pod-words.ts';
import { forEach } from '../cli/several.ts';
import { PodError } from '../errors.ts';
import { stopPod } from '../pod/control.ts';
import { waitUntilStill } from '../pod/destroy.ts';
import { getPod } from '../pod/store.ts';

export default class Stop extends BaseCommand {
  static override summary = 'Stop pods: TERM, then KILL';
  static override description =
    'Returns when they have ended. A pod that has ended already is fine.';
  static override usage = ['stop [--time=DURATION] [--force] POD…'];
  static override strict = false;
  static override examples = [
    '<%= config.bin %> stop web',
    '<%= config.bin %> stop --time=2s web db',
    '<%= config.bin %> stop --force web',
  ];
  static override flags = {
    ...jsonFlag,
    time: string({
      helpValue: 'DURATION',
      summary: 'how long the apps have to end by themselves (default: stop.grace-ms)',
    }),
    force: boolean({ char: 'f', summary: 'KILL at once' }),
  };

  override async run(): Promise<void> {
    const { flags, argv } = await this.parse(Stop);
    const { layout, config, ensureReady } = this.createContext(flags);
    const graceMs = graceOf(flags, config['stop.grace-ms']);
    ensureReady();
    const stopped: string[] = [];
    await forEach(podWords(argv), flags, async (reference) => {
      const pod = await getPod(layout, reference);
      if (pod.state !== 'running' && pod.state !== 'exited' && pod.state !== 'garbage') {
        throw new PodError(
          'POD_WRONG_STATE',
          `pod ${pod.uuid} is ${pod.state}: there is nothing to stop`,
        );
      }
      await stopPod(pod.dir, graceMs);
      await waitUntilStill(layout, pod.uuid);
      stopped.push(pod.uuid);
    });
    if (flags.json) printJson({ stopped });
    else printAnswer(stopped.join('\n'));
  }
}
