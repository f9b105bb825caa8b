/**
 * What jetpack reads in the annotations of a pod's app: its restart policy, its stop signal, and whose group it has. The command line's flags
 * become such annotations, so a pod manifest can say the same. Pure.
 */
import process from 'node:process';

import { PodError } from '../errors.ts';
import type { App } from '../schema/appc.ts';
import type { PodApp } from '../schema/pod-manifest.ts';
import type { PlanRestart } from './plan.ts';

export const RESTART = 'jetpack/restart';
export const STOP_SIGNAL = 'jetpack/stop-signal';
/** `true`: the group is the user's own in the image's /etc/passwd; `app.group` is for who does not know this annotation. */
export const OWN_GROUP = 'jetpack/own-group';

const MAX_RESTARTS = 1_000_000;

/** `no`, `always`, `on-failure` or `on-failure:N`; undefined for anything else. */
export function findRestart(text: string): PlanRestart | undefined {
  if (text === 'no' || text === 'always' || text === 'on-failure') return { policy: text };
  const match = /^on-failure:([1-9]\d{0,6})$/.exec(text);
  const max = Number(match?.[1]);
  return max <= MAX_RESTARTS ? { policy: 'on-failure', max } : undefined;
}

/** As C libraries count them: the two before belong to them. */
const FIRST_REAL_TIME = 34;
const LAST_REAL_TIME = 64;

/** `SIGRTMIN`, `SIGRTMIN+3`, `SIGRTMAX-1`. */
function findRealTimeSignal(name: string): number | undefined {
  const [, edge, more = '0'] = /^SIGRT(MIN|MAX)([+-]\d{1,2})?$/.exec(name) ?? [];
  if (edge === undefined) return undefined;
  const signal = (edge === 'MIN' ? FIRST_REAL_TIME : LAST_REAL_TIME) + Number(more);
  return signal >= FIRST_REAL_TIME && signal <= LAST_REAL_TIME ? signal : undefined;
}

/** `TERM`, `SIGTERM`, `term`, `SIGRTMIN+3` or `15`; undefined when there is no such signal. */
export function findSignal(text: string): number | undefined {
  if (/^([1-9]|[1-5]\d|6[0-4])$/.test(text)) return Number(text);
  // Loaded only for names: most pods name no signal.
  const { signals } = process.getBuiltinModule('node:os').constants;
  const upper = text.toUpperCase();
  const wanted = upper.startsWith('SIG') ? upper : `SIG${upper}`;
  return (
    Object.entries(signals).find(([name]) => name === wanted)?.[1] ?? findRealTimeSignal(wanted)
  );
}

function valueOf(app: PodApp, name: string): string | undefined {
  return app.annotations?.find((annotation) => annotation.name === name)?.value;
}

/** Throws PodError POD_INVALID for a policy that does not exist. */
export function restartOf(app: PodApp): PlanRestart | undefined {
  const text = valueOf(app, RESTART);
  if (text === undefined) return undefined;
  const found = findRestart(text);
  if (found !== undefined) return found;
  throw new PodError('POD_INVALID', `app ${app.name}: "${text}" is no restart policy`, {
    remedies: ['no, on-failure, on-failure:5 or always'],
  });
}

/** The group as the plan has it. */
export function groupOf(podApp: PodApp, app: App): string {
  return valueOf(podApp, OWN_GROUP) === 'true' && app.group === '0' ? ':' : app.group;
}

/** Throws PodError POD_INVALID for a signal that does not exist. */
export function stopSignalOf(app: PodApp): number | undefined {
  const text = valueOf(app, STOP_SIGNAL);
  if (text === undefined) return undefined;
  const found = findSignal(text);
  if (found !== undefined) return found;
  throw new PodError('POD_INVALID', `app ${app.name}: there is no signal "${text}"`, {
    remedies: ['a name like TERM or QUIT, or a number from 1 to 64'],
  });
}
