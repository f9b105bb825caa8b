import { boolean } from '@oclif/core/flags';

import { BaseCommand, jsonFlag } from '../cli/base-command.ts';
import { podJson } from '../cli/pod-rows.ts';
import { printAnswer, printJson, renderAge, renderTable } from '../cli/output.ts';
import { listPods, readPodStatus, type PodStatus } from '../pod/store.ts';

const HEADER = ['UUID', 'NAME', 'STATE', 'APPS', 'IMAGE', 'NET', 'CREATED', 'STARTED'] as const;

/** States that are only on their way in or out. */
const TRANSIENT: ReadonlySet<string> = new Set(['embryo', 'aborted', 'garbage', 'deleting']);

function row(pod: PodStatus, nowMs: number): readonly string[] {
  const ago = (time: string | undefined) =>
    time === undefined ? '-' : `${renderAge(nowMs - Date.parse(time))} ago`;
  return [
    pod.uuid.slice(0, 8),
    pod.meta?.name ?? '-',
    pod.state,
    pod.apps.map((app) => app.name).join(',') || '-',
    [...new Set(pod.apps.map((app) => app.imageName ?? app.imageId.slice(0, 19)))].join(',') || '-',
    pod.meta?.net ?? '-',
    ago(pod.meta?.createdAt),
    ago(pod.startedAt),
  ];
}

export default class List extends BaseCommand {
  static override summary = 'List the pods';
  static override examples = [
    '<%= config.bin %> list',
    '<%= config.bin %> list -q',
    '<%= config.bin %> list --json',
  ];
  static override flags = {
    ...jsonFlag,
    all: boolean({ char: 'a', summary: 'also what is being made or removed' }),
    quiet: boolean({ char: 'q', summary: 'only the UUIDs' }),
    'no-legend': boolean({ summary: 'no header' }),
  };

  override async run(): Promise<void> {
    const { flags } = await this.parse(List);
    const context = this.createContext(flags);
    context.ensureReady();
    const pods = (await listPods(context.layout))
      .filter((pod) => flags.all || !TRANSIENT.has(pod.state))
      .sort((a, b) => ((a.meta?.createdAt ?? '') < (b.meta?.createdAt ?? '') ? 1 : -1));
    if (flags.quiet && !flags.json) {
      printAnswer(pods.map((pod) => `${pod.uuid}\n`).join(''));
      return;
    }
    const statuses = pods.map(readPodStatus);
    if (flags.json) {
      printJson(statuses.map(podJson));
      return;
    }
    const nowMs = context.now().getTime();
    printAnswer(
      renderTable(
        flags['no-legend'] ? undefined : HEADER,
        statuses.map((pod) => row(pod, nowMs)),
      ),
    );
  }
}
