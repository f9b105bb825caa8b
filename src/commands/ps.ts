import { string as stringArg } from '@oclif/core/args';

import { BaseCommand, jsonFlag } from '../cli/base-command.ts';
import { printAnswer, printJson, renderBytes, renderTable } from '../cli/output.ts';
import { PodError } from '../errors.ts';
import { appOfProcess } from '../pod/processes.ts';
import { getPod, readPodStatus } from '../pod/store.ts';

export default class Ps extends BaseCommand {
  static override summary = 'List the processes of a pod';
  static override description =
    'PID is the number on the host, POD that inside the pod; number 1 is the init of the pod.';
  static override examples = ['<%= config.bin %> ps web', '<%= config.bin %> ps --json web'];
  static override args = {
    pod: stringArg({ required: true, description: 'UUID, beginning of it, or name' }),
  };
  static override flags = { ...jsonFlag };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(Ps);
    const { layout, runtime, ensureReady } = this.createContext(flags);
    ensureReady();
    const pod = readPodStatus(await getPod(layout, args.pod));
    if (pod.initPid === undefined)
      throw new PodError('POD_WRONG_STATE', `pod ${pod.uuid} does not run (it is ${pod.state})`);
    const processes = runtime.processes(pod.initPid);
    const rows = processes.map((row) => ({
      ...row,
      app: appOfProcess(row.pid, processes, pod.apps),
    }));
    if (flags.json) {
      printJson(rows);
      return;
    }
    printAnswer(
      renderTable(
        ['PID', 'POD', 'APP', 'UID', 'STATE', 'CPU', 'MEMORY', 'COMMAND'],
        rows.map((row) => [
          String(row.pid),
          String(row.podPid),
          row.app ?? '-',
          String(row.uid),
          row.state,
          `${(row.cpuMs / 1000).toFixed(2)}s`,
          renderBytes(row.residentBytes),
          row.command,
        ]),
      ),
    );
  }
}
