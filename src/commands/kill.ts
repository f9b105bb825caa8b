import { string } from '@oclif/core/flags';

import { BaseCommand, jsonFlag } from '../cli/base-command.ts';
import { podWords } from '../cli/pod-words.ts';
import { forEach } from '../cli/several.ts';
import { PodError, UsageError } from '../errors.ts';
import { findSignal } from '../pod/app-annotations.ts';
import { signalPod } from '../pod/control.ts';
import { getPod } from '../pod/store.ts';

/** `TERM`, `SIGTERM`, `term` or `15`. */
function parseSignal(text: string): number {
  const found = findSignal(text);
  if (found === undefined)
    throw new UsageError(`there is no signal "${text}"`, {
      remedies: ['a name like TERM or HUP, or a number'],
    });
  return found;
}

export default class Kill extends BaseCommand {
  static override summary = 'Send a signal to the apps of pods';
  static override description = 'To the main process of every app, or of one: POD:APP.';
  static override usage = ['kill [-s SIGNAL] POD[:APP]…'];
  static override strict = false;
  static override examples = [
    '<%= config.bin %> kill web',
    '<%= config.bin %> kill -s HUP web:nginx',
  ];
  static override flags = {
    ...jsonFlag,
    signal: string({ char: 's', default: 'KILL', summary: 'name or number' }),
  };

  override async run(): Promise<void> {
    const { flags, argv } = await this.parse(Kill);
    const signal = parseSignal(flags.signal);
    const { layout, ensureReady } = this.createContext(flags);
    ensureReady();
    await forEach(podWords(argv), flags, async (reference) => {
      const [word = '', app] = reference.split(':');
      const pod = await getPod(layout, word);
      if (app !== undefined && pod.meta?.apps.some(({ name }) => name === app) !== true) {
        throw new PodError('POD_APP_NOT_FOUND', `pod ${pod.uuid} has no app "${app}"`);
      }
      if (await signalPod(pod.dir, signal, app)) return;
      throw new PodError('POD_WRONG_STATE', `pod ${pod.uuid} does not run (it is ${pod.state})`);
    });
  }
}
