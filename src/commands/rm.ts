import { boolean } from '@oclif/core/flags';

import { BaseCommand, jsonFlag } from '../cli/base-command.ts';
import { printAnswer, printJson } from '../cli/output.ts';
import { podWords } from '../cli/pod-words.ts';
import { forEach } from '../cli/several.ts';
import { destroyPod, destroyPodByForce } from '../pod/destroy.ts';
import { getPod } from '../pod/store.ts';

export default class Rm extends BaseCommand {
  static override summary = 'Remove pods that do not run';
  static override description =
    'Their root file systems and empty volumes are destroyed; images and named volumes stay.';
  static override usage = ['rm [--force] POD…'];
  static override strict = false;
  static override examples = [
    '<%= config.bin %> rm web',
    '<%= config.bin %> rm --force web db',
    '<%= config.bin %> rm --force $(<%= config.bin %> list -q)',
  ];
  static override flags = {
    ...jsonFlag,
    force: boolean({ char: 'f', summary: 'stop those that run first' }),
  };

  override async run(): Promise<void> {
    const { flags, argv } = await this.parse(Rm);
    const context = this.createContext(flags);
    context.ensureReady();
    const removed: string[] = [];
    await forEach(podWords(argv), flags, async (reference) => {
      const pod = await getPod(context.layout, reference);
      if (flags.force)
        await destroyPodByForce(context.destroyPorts, pod, context.config['stop.grace-ms']);
      else await destroyPod(context.destroyPorts, pod);
      removed.push(pod.uuid);
    });
    if (flags.json) printJson({ removed });
    else printAnswer(removed.join('\n'));
  }
}
