import { string as stringArg } from '@oclif/core/args';
import { boolean } from '@oclif/core/flags';

import { BaseCommand, jsonFlag } from '../../cli/base-command.ts';
import { printAnswer, printJson, renderTable } from '../../cli/output.ts';
import { podJson } from '../../cli/pod-rows.ts';
import { settlePod } from '../../pod/change.ts';
import { getPod, readPodStatus } from '../../pod/store.ts';

const HEADER = ['APP', 'STATE', 'EXIT', 'RESTARTS', 'PID', 'IMAGE'] as const;

export default class AppList extends BaseCommand {
  static override summary = 'List the apps of a pod';
  static override examples = [
    '<%= config.bin %> app list box',
    '<%= config.bin %> app list -q box',
  ];
  static override args = {
    pod: stringArg({ required: true, description: 'UUID, beginning of it, or name' }),
  };
  static override flags = {
    ...jsonFlag,
    quiet: boolean({ char: 'q', summary: 'only the names' }),
    'no-legend': boolean({ summary: 'no header' }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(AppList);
    const { layout, ensureReady } = this.createContext(flags);
    ensureReady();
    const { uuid } = await getPod(layout, args.pod);
    await settlePod(layout, uuid);
    const pod = readPodStatus(await getPod(layout, uuid));
    if (flags.json) printJson(podJson(pod).apps);
    else if (flags.quiet) printAnswer(pod.apps.map(({ name }) => `${name}\n`).join(''));
    else {
      printAnswer(
        renderTable(
          flags['no-legend'] ? undefined : HEADER,
          pod.apps.map((app) => [
            app.name,
            app.state,
            app.exitStatus === undefined ? '-' : String(app.exitStatus),
            String(app.restarts),
            app.pid === undefined ? '-' : String(app.pid),
            app.imageName ?? app.imageId.slice(0, 19),
          ]),
        ),
      );
    }
  }
}
