import { readFileSync } from 'node:fs';
import path from 'node:path';

import { string as stringArg } from '@oclif/core/args';

import { BaseCommand, jsonFlag } from '../cli/base-command.ts';
import { printJson } from '../cli/output.ts';
import { PodError } from '../errors.ts';
import { isGone } from '../pod/model.ts';
import { getPod } from '../pod/store.ts';

export default class Manifest extends BaseCommand {
  static override summary = 'Print the reified manifest of a pod';
  static override examples = ['<%= config.bin %> manifest web'];
  static override args = {
    pod: stringArg({ required: true, description: 'UUID, beginning of it, or name' }),
  };
  static override flags = { ...jsonFlag };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(Manifest);
    const { layout, ensureReady } = this.createContext(flags);
    ensureReady();
    const pod = await getPod(layout, args.pod);
    try {
      printJson(JSON.parse(readFileSync(path.join(pod.dir, 'manifest'), 'utf8')));
    } catch (error) {
      if (!isGone(error)) throw error;
      throw new PodError('POD_WRONG_STATE', `pod ${pod.uuid} is ${pod.state} and has no manifest`, {
        remedies: ['jetpack gc'],
      });
    }
  }
}
