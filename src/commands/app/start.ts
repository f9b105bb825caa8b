import { BaseCommand, jsonFlag } from '../../cli/base-command.ts';
import { printAnswer, printJson } from '../../cli/output.ts';
import { podWords } from '../../cli/pod-words.ts';
import { forEach } from '../../cli/several.ts';
import { PodError } from '../../errors.ts';
import { getSettledApp } from '../../pod/change.ts';
import { startApp } from '../../pod/control.ts';

export default class AppStart extends BaseCommand {
  static override summary = 'Start apps of mutable pods: new ones, and those that have ended';
  static override description = 'Returns when they run. The pod must run.';
  static override usage = ['app start POD:APP…'];
  static override strict = false;
  static override examples = ['<%= config.bin %> app start box:web'];
  static override flags = { ...jsonFlag };

  override async run(): Promise<void> {
    const { flags, argv } = await this.parse(AppStart);
    const { layout, ensureReady } = this.createContext(flags);
    ensureReady();
    const started: string[] = [];
    await forEach(podWords(argv, 'app'), flags, async (reference) => {
      const { pod, app } = await getSettledApp(layout, reference);
      if (!(await startApp(pod.dir, app))) {
        throw new PodError('POD_WRONG_STATE', `pod ${pod.uuid} is ${pod.state}: start it first`, {
          remedies: [`jetpack run -d ${pod.uuid}`],
        });
      }
      started.push(`${pod.uuid}:${app}`);
    });
    if (flags.json) printJson({ started });
    else printAnswer(started.join('\n'));
  }
}
