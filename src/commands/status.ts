import process from 'node:process';

import { string } from '@oclif/core/flags';
import { string as stringArg } from '@oclif/core/args';

import { BaseCommand, jsonFlag } from '../cli/base-command.ts';
import { parseDuration } from '../cli/duration.ts';
import { podJson } from '../cli/pod-rows.ts';
import { printAnswer, printJson } from '../cli/output.ts';
import { PodError } from '../errors.ts';
import { waitForPod, waitUntilReady } from '../pod/control.ts';
import { waitUntilStill } from '../pod/destroy.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { getPod, readPodStatus, type Pod, type PodStatus } from '../pod/store.ts';

const FOREVER = 'forever';

/** These flags may stand alone; oclif's flags always take a value, so the bare word gets one. */
function withDefaultWait(argv: readonly string[]): string[] {
  return argv.map((word) =>
    word === '--wait' || word === '--wait-ready' ? `${word}=${FOREVER}` : word,
  );
}

function timeoutOf(flag: string, text: string): number | undefined {
  return text === FOREVER ? undefined : parseDuration(flag, text);
}

function refusePrepared(pod: Pod, reference: string): void {
  if (pod.state !== 'prepared') return;
  throw new PodError(
    'POD_WRONG_STATE',
    `pod ${pod.uuid} was never started: there is nothing to wait for`,
    { remedies: [`jetpack run -d ${reference}`] },
  );
}

async function waitReady(pod: Pod, timeoutMs: number | undefined): Promise<void> {
  const end = await waitUntilReady(pod.dir, timeoutMs);
  if (end?.kind === 'ready') return;
  const how =
    end === undefined
      ? `does not run (it is ${pod.state})`
      : end.kind === 'never'
        ? `cannot become ready: ${end.why}`
        : end.kind === 'exit'
          ? `has ended, with exit status ${String(end.status)}, before it was ready`
          : 'was killed before it was ready';
  throw new PodError('POD_NOT_READY', `pod ${pod.uuid} ${how}`, {
    remedies: [`jetpack logs ${pod.uuid}`],
  });
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
    ['ready', pod.readyAt],
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
  static override description = `With --wait it returns when the pod has ended, with --wait-ready when the pod is ready: all its apps have been started, and those whose image or pod manifest has the annotation appc.io/executor/supports-systemd-notify=true have said so by sd_notify(3).
The exit status of this command is 0 whatever the pod's was, and 1 when the time is over (POD_TIMEOUT) or the pod ended before it was ready (POD_NOT_READY).`;
  static override examples = [
    '<%= config.bin %> status web',
    '<%= config.bin %> status --wait web',
    '<%= config.bin %> status --wait=30s --json web',
    '<%= config.bin %> status --wait-ready=1m web',
  ];
  static override args = {
    pod: stringArg({ required: true, description: 'UUID, beginning of it, or name' }),
  };
  static override flags = {
    ...jsonFlag,
    wait: string({ helpValue: '[DURATION]', summary: 'wait until it has ended' }),
    'wait-ready': string({ helpValue: '[DURATION]', summary: 'wait until it is ready' }),
  };

  override async run(): Promise<void> {
    this.argv = withDefaultWait(this.argv);
    const { args, flags } = await this.parse(Status);
    const { layout, runtime, ensureReady } = this.createContext(flags);
    ensureReady();
    let pod = await getPod(layout, args.pod);
    const { 'wait-ready': ready } = flags;
    if (ready !== undefined) {
      refusePrepared(pod, args.pod);
      await waitReady(pod, timeoutOf('wait-ready', ready));
      pod = await getPod(layout, pod.uuid);
    }
    if (flags.wait !== undefined) {
      refusePrepared(pod, args.pod);
      await waitForPod(pod.dir, timeoutOf('wait', flags.wait));
      pod = (await waitUntilStill(layout, pod.uuid)) ?? { ...pod, state: 'deleting' };
    }
    const status = countKills(readPodStatus(pod), runtime);
    if (flags.json) printJson(podJson(status));
    else printAnswer(render(status));
    process.exitCode = 0;
  }
}
