import { boolean, integer, string } from '@oclif/core/flags';
import { string as stringArg } from '@oclif/core/args';

import { BaseCommand, jsonFlag } from '../cli/base-command.ts';
import { parseDuration } from '../cli/duration.ts';
import { UsageError } from '../errors.ts';
import { AppLog, type LogLine } from '../pod/logs.ts';
import { showLines, type LogEntry } from '../cli/log-lines.ts';
import { getPod, getPodApp, readPod, type Pod } from '../pod/store.ts';

const POLL_MS = 100;

/** A duration back from now, or a time. */
function parseSince(text: string, nowMs: number): string {
  if (/^\d{4}-/.test(text)) {
    const ms = Date.parse(text);
    if (Number.isNaN(ms))
      throw new UsageError(
        `--since is a duration like 10m or a time like 2026-01-31T12:00:00Z, not "${text}"`,
      );
    return new Date(ms).toISOString();
  }
  return new Date(nowMs - parseDuration('since', text)).toISOString();
}

export default class Logs extends BaseCommand {
  static override summary = 'Print what the apps of a pod wrote';
  static override description = `What an app wrote to its stderr comes on stderr. With several apps every line begins with the name of its app.`;
  static override examples = [
    '<%= config.bin %> logs web',
    '<%= config.bin %> logs -f --tail=20 web:nginx',
    '<%= config.bin %> logs --since=10m --stream=stderr --timestamps web',
  ];
  static override args = { pod: stringArg({ required: true, description: 'POD or POD:APP' }) };
  static override flags = {
    ...jsonFlag,
    follow: boolean({ char: 'f', summary: 'go on until the pod has ended' }),
    tail: integer({ min: 0, summary: 'only the last so many lines' }),
    since: string({ helpValue: 'DURATION|TIME', summary: 'only what is newer' }),
    stream: string({ options: ['stdout', 'stderr'], summary: 'only this stream' }),
    timestamps: boolean({ summary: 'the time of every line' }),
  };

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(Logs);
    const context = this.createContext(flags);
    context.ensureReady();
    const { layout } = context;
    const one = args.pod.includes(':') ? await getPodApp(layout, args.pod) : undefined;
    const pod = one?.pod ?? (await getPod(layout, args.pod));
    const names = one === undefined ? (pod.meta?.apps ?? []).map((app) => app.name) : [one.app];
    const logs = names.map((name) => ({ name, log: new AppLog(pod.dir, name) }));
    const since =
      flags.since === undefined ? undefined : parseSince(flags.since, context.now().getTime());
    const wanted = (line: LogLine) =>
      (flags.stream === undefined || line.stream === flags.stream) &&
      (since === undefined || line.time >= since);
    const read = (): LogEntry[] =>
      logs.flatMap(({ name, log }) =>
        log
          .read()
          .filter(wanted)
          .map((line) => ({ app: name, line })),
      );
    const options = { prefix: names.length > 1, timestamps: flags.timestamps, json: flags.json };
    const first = read().sort((a, b) =>
      a.line.time < b.line.time ? -1 : a.line.time > b.line.time ? 1 : 0,
    );
    showLines(
      flags.tail === undefined ? first : flags.tail === 0 ? [] : first.slice(-flags.tail),
      options,
    );
    if (!flags.follow) return;
    let now: Pod | undefined = pod;
    while (now?.state === 'running' || now?.state === 'prepared') {
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      now = await readPod(layout, pod.uuid);
      showLines(read(), options);
    }
    showLines(read(), options);
  }
}
