/** Finding and reading pods. Nothing here starts a program; nothing but `list` reads more than one pod. */
import { readdirSync, readFileSync, readlinkSync, statSync, type Stats } from 'node:fs';
import path from 'node:path';

import { errnoOf, PodError } from '../errors.ts';
import { isAnswered } from '../host/lease.ts';
import type { Layout } from '../host/layout.ts';
import {
  appStatus,
  isGone,
  MARKERS,
  parseStatusLines,
  type PodMeta,
  podState,
  type AppStatus,
  type Marker,
  type PodState,
  type StatusLines,
} from './model.ts';

export function isPodUuid(text: string): boolean {
  return UUID.test(text);
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

export interface Pod {
  readonly uuid: string;
  readonly dir: string;
  readonly state: PodState;
  /** As it was seen: whoever takes the pod out of life renames this one and no other. */
  readonly marker: Marker | undefined;
  /** Missing for a pod whose prepare did not come so far, or whose deletion has begun. */
  readonly meta: PodMeta | undefined;
  /** Last change of the state marker, ms since the epoch: for an exited pod the time of its exit. */
  readonly changedAtMs: number;
}

export interface PodStatus extends Pod {
  readonly apps: readonly AppStatus[];
  readonly startedAt: string | undefined;
  /** When all its apps were ready; undefined if they have not been. */
  readonly readyAt: string | undefined;
  readonly finishedAt: string | undefined;
  /** The pod's own exit status; undefined unless it exited and the supervisor lived to tell. */
  readonly exitStatus: number | undefined;
  /** The supervisor was killed, and took the pod with it. */
  readonly supervisorKilled: boolean;
  readonly supervisorPid: number | undefined;
  readonly initPid: number | undefined;
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}

function readMeta(dir: string): PodMeta | undefined {
  const text = readText(path.join(dir, 'meta.json'));
  if (text === undefined) return undefined;
  try {
    // Ours, and written only by root: checked for damage, not for its shape.
    const meta = JSON.parse(text) as PodMeta;
    return Array.isArray(meta.apps) ? meta : undefined;
  } catch {
    return undefined;
  }
}

/** Without looking at the pod's state. */
export function readPodMeta(layout: Layout, uuid: string): PodMeta | undefined {
  return readMeta(layout.dir.pod(uuid));
}

function statOf(file: string): Stats | undefined {
  return statSync(file, { throwIfNoEntry: false });
}

/** The marker that is there. Asking for each by its name is several times faster than reading the folder where that is FUSE. */
function findMarker(
  dir: string,
): { readonly marker: Marker; readonly changedAtMs: number } | undefined {
  for (const marker of MARKERS) {
    const stat = statOf(path.join(dir, marker));
    if (stat !== undefined) return { marker, changedAtMs: stat.mtimeMs };
  }
  return undefined;
}

/** Reads one pod; undefined when its folder is not there (any more). */
export async function readPod(layout: Layout, uuid: string): Promise<Pod | undefined> {
  const dir = layout.dir.pod(uuid);
  for (let attempt = 0; ; attempt += 1) {
    const found = findMarker(dir);
    const marker = found?.marker;
    const leased = marker === undefined && (await isAnswered(layout.dir.lease(uuid)));
    const mayAnswer = marker === 'running' || marker === 'prepared';
    const control = path.join(dir, 'control');
    const answers = mayAnswer && statOf(control) !== undefined && (await isAnswered(control));
    // A rename between two of our looks shows no marker, or one without its socket: look again before believing that.
    const isDoubtful = (marker === undefined && !leased) || (marker === 'running' && !answers);
    if (isDoubtful && attempt < 2) continue;
    // A marker was in it: one look less at every pod of a list.
    const changedAtMs = found?.changedAtMs ?? statOf(dir)?.mtimeMs;
    if (changedAtMs === undefined) return undefined;
    const meta = readMeta(dir);
    const state = podState({ marker, leased, answers, hasMeta: meta !== undefined });
    return { uuid, dir, state, marker, meta, changedAtMs };
  }
}

/** Every pod's UUID, in no order. */
export function listPodUuids(layout: Layout): readonly string[] {
  try {
    return readdirSync(layout.dir.pods).filter((name) => UUID.test(name));
  } catch (error) {
    if (isGone(error)) return [];
    throw error;
  }
}

export async function listPods(layout: Layout): Promise<readonly Pod[]> {
  const pods: Pod[] = [];
  for (const uuid of listPodUuids(layout)) {
    const pod = await readPod(layout, uuid);
    if (pod !== undefined) pods.push(pod);
  }
  return pods;
}

function uuidOfName(layout: Layout, name: string): string | undefined {
  try {
    return readlinkSync(layout.dir.podName(name));
  } catch (error) {
    if (isGone(error) || errnoOf(error) === 'EINVAL') return undefined;
    throw error;
  }
}

/**
 * By UUID, by name, or by an unambiguous prefix of the UUID, in this order.
 * Throws POD_NOT_FOUND or POD_AMBIGUOUS (which lists the candidates).
 */
export async function getPod(
  layout: Layout,
  reference: string,
  options: { /** No prefixes. */ readonly exact?: boolean } = {},
): Promise<Pod> {
  const wanted = reference.toLowerCase();
  const direct = UUID.test(wanted) ? wanted : uuidOfName(layout, reference);
  if (direct !== undefined) {
    const pod = await readPod(layout, direct);
    if (pod !== undefined) return pod;
  }
  const isPrefix = options.exact !== true && /^[0-9a-f-]{2,36}$/.test(wanted);
  const matches = isPrefix ? listPodUuids(layout).filter((uuid) => uuid.startsWith(wanted)) : [];
  const [only, ...more] = matches;
  if (only !== undefined && more.length === 0) {
    const pod = await readPod(layout, only);
    if (pod !== undefined) return pod;
  }
  if (more.length > 0) {
    throw new PodError(
      'POD_AMBIGUOUS',
      `"${reference}" is the beginning of ${String(matches.length)} pods:\n${matches.join('\n')}`,
      {
        remedies: ['give more of the UUID, or the name'],
      },
    );
  }
  throw new PodError('POD_NOT_FOUND', `there is no pod "${reference}"`, {
    remedies: ['see the pods with: jetpack list'],
  });
}

/** `POD[:APP]`; the app may be left out where the pod has only one. */
export async function getPodApp(
  layout: Layout,
  reference: string,
): Promise<{ readonly pod: Pod; readonly app: string }> {
  const colon = reference.lastIndexOf(':');
  const pod = await getPod(layout, colon === -1 ? reference : reference.slice(0, colon));
  const names = (pod.meta?.apps ?? []).map((app) => app.name);
  if (colon !== -1) {
    const app = reference.slice(colon + 1);
    if (names.includes(app)) return { pod, app };
    throw new PodError('POD_APP_NOT_FOUND', `pod ${pod.uuid} has no app "${app}"`, {
      remedies: [`its apps: ${names.join(', ')}`],
    });
  }
  const [only, ...more] = names;
  if (only !== undefined && more.length === 0) return { pod, app: only };
  throw new PodError(
    'POD_APP_NOT_FOUND',
    `pod ${pod.uuid} has ${String(names.length)} apps: say which`,
    {
      remedies: names.map((name) => `${reference}:${name}`),
    },
  );
}

function readStatusFile(dir: string, name: string): StatusLines {
  return parseStatusLines(readText(path.join(dir, 'status', name)) ?? '');
}

function pidOf(text: string | undefined): number | undefined {
  const pid = Number(text);
  return Number.isInteger(pid) && pid > 0 ? pid : undefined;
}

/** Adds what the supervisor wrote down. */
export function readPodStatus(pod: Pod): PodStatus {
  // Before the first start there is nothing to read.
  const started = pod.state !== 'prepared';
  const readStatus = (name: string) => (started ? readStatusFile(pod.dir, name) : {});
  const lines = readStatus('.pod');
  const runs = pod.state === 'running';
  const ended = pod.state === 'exited' || pod.state === 'garbage';
  const exit = lines['exit'];
  const told = exit !== undefined && exit !== '';
  return {
    ...pod,
    apps: (pod.meta?.apps ?? []).map((app) => appStatus(app, readStatus(app.name), runs)),
    startedAt: lines['started'] || undefined,
    readyAt: lines['ready'] || undefined,
    finishedAt: runs ? undefined : lines['finished'] || undefined,
    exitStatus: ended && told ? Number(exit) : undefined,
    supervisorKilled: ended && !told,
    supervisorPid: runs ? pidOf(lines['supervisor']) : undefined,
    initPid: runs ? pidOf(lines['init']) : undefined,
  };
}
