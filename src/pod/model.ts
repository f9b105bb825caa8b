/** What a pod is on disk: its folder's files and what its state is made of. */
import { errnoOf } from '../errors.ts';
import type { IsolatorReport } from '../runtime/runtime.ts';

/** `pods/<uuid>/meta.json`: what `list` shows and `gc` needs, beside the manifest. Written once, by prepare. */
export interface PodMeta {
  readonly uuid: string;
  readonly name?: string | undefined;
  /** RFC 3339, UTC. */
  readonly createdAt: string;
  /** As `--net` takes it. */
  readonly net: string;
  /** Files below `etc/` that are copies of the host's, made anew at every run. */
  readonly hostCopies?: readonly {
    readonly name: 'hostname' | 'hosts' | 'resolv.conf';
    readonly copyOf: readonly string[];
  }[];
  /** Of a mutable pod: which files below `etc/` an app finds below its own. */
  readonly hostFiles?: readonly {
    readonly name: 'hostname' | 'hosts' | 'resolv.conf';
    readonly onlyMissing: boolean;
  }[];
  readonly apps: readonly {
    readonly name: string;
    readonly imageId: string;
    readonly imageName?: string | undefined;
    /** What became of its isolators; absent where it has none. */
    readonly isolators?: IsolatorReport | undefined;
  }[];
  /** The same of the pod's own. */
  readonly isolators?: IsolatorReport | undefined;
}

/** The marker files of PLAN.md: at most one of them exists, and it is only ever renamed. */
export const MARKERS = ['running', 'exited', 'prepared', 'garbage', 'deleting'] as const;
export type Marker = (typeof MARKERS)[number];

export type PodState =
  'embryo' | 'preparing' | 'aborted' | 'prepared' | 'running' | 'exited' | 'garbage' | 'deleting';

/** All that the state depends on. */
export interface StateFacts {
  readonly marker: Marker | undefined;
  /** The lease of the process that prepares or deletes it is held. */
  readonly leased: boolean;
  /** The control socket answers. */
  readonly answers: boolean;
  readonly hasMeta: boolean;
}

/** The state is a pure function of these facts. */
export function podState({ marker, leased, answers, hasMeta }: StateFacts): PodState {
  switch (marker) {
    case undefined:
      if (!leased) return 'aborted';
      return hasMeta ? 'preparing' : 'embryo';
    case 'prepared':
      return answers ? 'running' : 'prepared';
    case 'running':
      return answers ? 'running' : 'exited';
    case 'exited':
    case 'garbage':
    case 'deleting':
      return marker;
  }
}

/** The `key=value` lines of `status/.pod` and `status/<app>`. */
export type StatusLines = Readonly<Record<string, string>>;

export function parseStatusLines(text: string): StatusLines {
  const fields: Record<string, string> = {};
  for (const line of text.split('\n')) {
    const equals = line.indexOf('=');
    if (equals > 0) fields[line.slice(0, equals)] = line.slice(equals + 1);
  }
  return fields;
}

export interface AppStatus {
  readonly name: string;
  readonly imageId: string;
  readonly imageName: string | undefined;
  /** `waiting`: it has ended, and its restart policy starts it again after a pause. */
  readonly state: 'created' | 'running' | 'waiting' | 'exited';
  /** As the host sees it; only while it runs. */
  readonly pid: number | undefined;
  readonly startedAt: string | undefined;
  /** The first time that it said so, or was started. */
  readonly readyAt: string | undefined;
  readonly finishedAt: string | undefined;
  /** 0–255, 128+n for a signal; undefined while it runs, and when the supervisor was killed before it could tell. */
  readonly exitStatus: number | undefined;
  /** How often its restart policy has started it again. */
  readonly restarts: number;
  readonly signal: number | undefined;
  /** Running out of memory was its end. */
  readonly oomKilled: boolean;
  /** How many processes of the app were killed so; as far as is known, for one that runs. */
  readonly oomKills: number;
  readonly error: string | undefined;
}

function positive(text: string | undefined): number | undefined {
  const value = Number(text);
  return text !== undefined && Number.isInteger(value) && value > 0 ? value : undefined;
}

/** Joins what the shim wrote with what is known of the pod: a dead supervisor cannot have living apps. */
export function appStatus(
  app: PodMeta['apps'][number],
  lines: StatusLines,
  podRuns: boolean,
): AppStatus {
  const told = lines['state'];
  const neverStarted = told === undefined || told === 'created';
  const state =
    (told === 'running' || told === 'waiting') && !podRuns
      ? 'exited'
      : told === 'running' || told === 'waiting' || told === 'exited'
        ? told
        : 'created';
  const exit = lines['exit'];
  return {
    name: app.name,
    imageId: app.imageId,
    imageName: app.imageName,
    state: neverStarted ? 'created' : state,
    pid: state === 'running' ? positive(lines['pid']) : undefined,
    startedAt: lines['started'] || undefined,
    readyAt: lines['ready'] || undefined,
    finishedAt: lines['finished'] || undefined,
    exitStatus: state !== 'running' && exit !== undefined && exit !== '' ? Number(exit) : undefined,
    restarts: positive(lines['restarts']) ?? 0,
    signal: positive(lines['signal']),
    oomKilled: lines['oom'] === '1',
    oomKills: positive(lines['oom-kills']) ?? 0,
    error: lines['error'] || undefined,
  };
}

/** Whether an error means that the thing went away meanwhile: somebody else's rename or removal won. */
export function isGone(error: unknown): boolean {
  const errno = errnoOf(error);
  return errno === 'ENOENT' || errno === 'ENOTDIR' || errno === 'ESTALE';
}
