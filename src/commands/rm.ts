import { boolean } from '@oclif/core/flags';

import { BaseCommand, jsonFlag } from '../cli/base-command.ts';
import { printAnswer, printJson } from '../cli/output.ts';
import { podWords } from '../cli/pod-words.ts';
import { forEach } from '../cli/several.ts';
import { withReserve } from '../host/reserve.ts';
import { destroyPod, destroyPodByForce } from '../pod/destroy.ts';
import { getPod, readPod } from '../pod/store.ts';

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
      await withReserve(context.destroyPorts, async () => {
        // Looked at again: the first try may have come some way.
        const now = await readPod(context.layout, pod.uuid);
        if (now === undefined) return;
        if (!flags.force) return destroyPod(context.destroyPorts, now);
        await destroyPodByForce(context.destroyPorts, now, context.config['stop.grace-ms']);
      });
      removed.push(pod.uuid);
    });
    if (flags.json) printJson({ removed });
    else printAnswer(removed.join('\n'));
  }
}
