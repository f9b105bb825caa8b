import { boolean, string } from '@oclif/core/flags';

import { BaseCommand, jsonFlag } from '../../cli/base-command.ts';
import { graceOf } from '../../cli/grace.ts';
import { printAnswer, printJson } from '../../cli/output.ts';
import { podWords } from '../../cli/pod-words.ts';
import { forEach } from '../../cli/several.ts';
import { getSettledApp } from '../../pod/change.ts';
import { removeApp } from '../../pod/remove-app.ts';

export default class AppRm extends BaseCommand {
  static override summary = 'Remove apps from mutable pods, with their root file systems and logs';
  static override description = `An app that runs is refused, unless --force stops it first. Processes that it left behind are killed; those with a mount namespace of their own, which takes a filter weaker than the default, end with the pod. The pod's volumes stay.`;
  static override usage = ['app rm [--force] [--time=DURATION] POD:APP…'];
  static override strict = false;
  static override examples = [
    '<%= config.bin %> app rm box:web',
    '<%= config.bin %> app rm --force box:web',
  ];
  static override flags = {
    ...jsonFlag,
    force: boolean({ char: 'f', summary: 'stop it first when it runs' }),
    time: string({
      helpValue: 'DURATION',
      dependsOn: ['force'],
      summary: 'how long it then has to end by itself (default: stop.grace-ms)',
    }),
  };

  override async run(): Promise<void> {
    const { flags, argv } = await this.parse(AppRm);
    const { layout, config, destroyPorts, preparePorts, ensureReady } = this.createContext(flags);
    const graceMs = flags.force
      ? graceOf({ time: flags.time, force: false }, config['stop.grace-ms'])
      : undefined;
    ensureReady();
    const removed: string[] = [];
    await forEach(podWords(argv, 'app'), flags, async (reference) => {
      const { pod, app } = await getSettledApp(layout, reference);
      const { groupId } = preparePorts;
      await removeApp(destroyPorts, pod.uuid, app, { graceMs, groupId });
      removed.push(`${pod.uuid}:${app}`);
    });
    if (flags.json) printJson({ removed });
    else printAnswer(removed.join('\n'));
  }
}
