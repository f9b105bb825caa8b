import process from 'node:process';

import { string } from '@oclif/core/flags';
import { string as stringArg } from '@oclif/core/args';

import { BaseCommand, jsonFlag } from '../cli/base-command.ts';
import { parseDuration } from '../cli/duration.ts';
import { podJson } from '../cli/pod-rows.ts';
import { printAnswer, printJson } from '../cli/output.ts';
import { PodError } from '../errors.ts';
import { waitForPod } from '../pod/control.ts';
import { waitUntilStill } from '../pod/destroy.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { getPod, readPodStatus, type PodStatus } from '../pod/store.ts';

/** `--wait` may stand alone; oclif's flags always take a value, so the bare word gets one. */
function withDefaultWait(argv: readonly string[]): string[] {
  return argv.map((word) => (word === '--wait' ? '--wait=forever' : word));
}

/** An app that runs may have lost children; only the kernel knows before it ends. */
function countKills(status: PodStatus, runtime: Runtime): PodStatus {
  const apps = status.apps.map((app) =>
    app.state === 'running'
      ? { ...app, oomKills: runtime.oomKills(status.uuid, app.name) ?? app.oomKills }
      : app,
  );
  return { ...status, apps };
}

function render(pod: PodStatus): string {
  const lines: [string, string | number | undefined][] = [
    ['uuid', pod.uuid],
    ['name', pod.meta?.name],
    ['state', pod.state],
    ['created', pod.meta?.createdAt],
    ['started', pod.startedAt],
    ['finished', pod.finishedAt],
    ['net', pod.meta?.net],
    ['exit', pod.exitStatus],
    ['pid', pod.initPid],
  ];
  const text = lines
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${key}=${String(value)}`);
  if (pod.supervisorKilled) text.push('reason=the supervisor was killed, and the pod with it');
  for (const app of pod.apps) {
    const parts = [`app-${app.name}=${app.state}`];
    if (app.pid !== undefined) parts.push(`pid=${String(app.pid)}`);
    if (app.restarts > 0) parts.push(`restarts=${String(app.restarts)}`);
    if (app.exitStatus !== undefined) parts.push(`exit=${String(app.exitStatus)}`);
    if (app.signal !== undefined) parts.push(`signal=${String(app.signal)}`);
    if (app.oomKilled) parts.push('oom-killed');
    if (app.oomKills > 0) parts.push(`oom-kills=${String(app.oomKills)}`);
    if (app.error !== undefined) parts.push(`error=${app.error}`);
    text.push(parts.join(' '));
  }
  return text.join('\n');
}

export default class Status extends BaseCommand {
  static override summary = 'Show the state of a pod and of its apps';
  static override description = `With --wait it returns when the pod has ended. The exit status of this command is 0 whatever the pod's was.`;
  static override examples = [
    '<%= config.bin %> status web',
    '<%= config.bin %> status --wait web',
    '<%= config.bin %> status --wait=30s --json web',
  ];
  static override args = {
    pod: stringArg({ required: true, description: 'UUID, beginning of it, or name' }),
  };
  static override flags = {
    ...jsonFlag,
    wait: string({ helpValue: '[DURATION]', summary: 'wait until it has ended' }),
  };

  override async run(): Promise<void> {
    this.argv = withDefaultWait(this.argv);
    const { args, flags } = await this.parse(Status);
    const { layout, runtime, ensureReady } = this.createContext(flags);
    ensureReady();
    let pod = await getPod(layout, args.pod);
    if (flags.wait !== undefined) {
      const timeoutMs = flags.wait === 'forever' ? undefined : parseDuration('wait', flags.wait);
      if (pod.state === 'prepared') {
        throw new PodError(
          'POD_WRONG_STATE',
          `pod ${pod.uuid} was never started: it will not end`,
          {
            remedies: [`jetpack run -d ${args.pod}`],
          },
        );
      }
      await waitForPod(pod.dir, timeoutMs);
      pod = (await waitUntilStill(layout, pod.uuid)) ?? { ...pod, state: 'deleting' };
    }
    const status = countKills(readPodStatus(pod), runtime);
    if (flags.json) printJson(podJson(status));
    else printAnswer(render(status));
    process.exitCode = 0;
  }
}
