/** Client of the supervisor's control socket (shim/PLAN.md, "Control socket"). */
import { connect } from 'node:net';
import path from 'node:path';

import { errnoOf, PodError } from '../errors.ts';

/** How a pod ended, as far as the socket could tell: with a status, or the stream ended without one. */
export type Ending = { readonly kind: 'exit'; readonly status: number } | { readonly kind: 'lost' };

/**
 * Sends one request and reads the whole answer. Returns undefined when nobody answers (the pod does not run).
 * `timeoutMs` bounds the wait for the answer's end; then it throws `timedOut`, or else POD_CONTROL_FAILED.
 */
export function request(
  podDir: string,
  line: string,
  timeoutMs?: number,
  timedOut?: () => Error,
): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path: path.join(podDir, 'control') });
    const chunks: Buffer[] = [];
    const fail = (why: string, cause?: unknown) => {
      socket.destroy();
      reject(
        new PodError(
          'POD_CONTROL_FAILED',
          `the supervisor in ${podDir} did not do "${line}": ${why}`,
          { cause },
        ),
      );
    };
    if (timeoutMs !== undefined) {
      socket.setTimeout(timeoutMs, () => {
        if (timedOut === undefined) return fail(`no answer in ${String(timeoutMs)} ms`);
        socket.destroy();
        reject(timedOut());
      });
    }
    socket.once('error', (error) => {
      const errno = errnoOf(error);
      if (errno === 'ECONNREFUSED' || errno === 'ENOENT') resolve(undefined);
      // The supervisor ended between our connect and its answer.
      else if (errno === 'ECONNRESET' || errno === 'EPIPE')
        resolve(Buffer.concat(chunks).toString('utf8'));
      else fail(errno ?? error.message, error);
    });
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.once('end', () => resolve(Buffer.concat(chunks).toString('utf8')));
    socket.write(`${line}\n`);
  });
}

function parseEnding(answer: string): Ending {
  const match = /^exit=(\d+)$/m.exec(answer);
  return match?.[1] === undefined ? { kind: 'lost' } : { kind: 'exit', status: Number(match[1]) };
}

function refuse(answer: string, what: string): void {
  const match = /^error (.*)$/m.exec(answer);
  if (match !== null)
    throw new PodError(
      'POD_CONTROL_FAILED',
      `the supervisor refused to ${what}: ${match[1] ?? ''}`,
    );
}

/** From KILL to the end of a pod, with its handlers. */
const END_MS = 30_000;

/** Asks for a stop and waits for the end. Undefined: it did not run. */
export async function stopPod(podDir: string, graceMs: number): Promise<Ending | undefined> {
  const answer = await request(podDir, `stop ${String(graceMs)}`, graceMs + END_MS);
  if (answer === undefined) return undefined;
  refuse(answer, 'stop');
  return parseEnding(answer);
}

export async function signalPod(podDir: string, signal: number, app?: string): Promise<boolean> {
  const answer = await request(
    podDir,
    `kill ${String(signal)}${app === undefined ? '' : ` ${app}`}`,
    10_000,
  );
  if (answer === undefined) return false;
  refuse(answer, 'kill');
  return true;
}

function timeout(what: string, timeoutMs: number | undefined): () => Error {
  return () =>
    new PodError('POD_TIMEOUT', `${what} after ${String((timeoutMs ?? 0) / 1000)} s`, {
      remedies: ['wait longer, or without a time', 'look at it with: jetpack logs'],
    });
}

/** Of a mutable pod. Throws POD_CONTROL_FAILED with the supervisor's words when the app cannot be started. */
export async function startApp(podDir: string, app: string): Promise<boolean> {
  const answer = await request(podDir, `app-start ${app}`);
  if (answer === undefined) return false;
  refuse(answer, `start app ${app}`);
  return true;
}

/** Its exit status; undefined when there is nothing to stop. */
export async function stopApp(
  podDir: string,
  app: string,
  graceMs: number,
): Promise<Ending | undefined> {
  const answer = await request(podDir, `app-stop ${String(graceMs)} ${app}`, graceMs + END_MS);
  if (answer === undefined || /^error (no such app|the app does not run)$/m.test(answer))
    return undefined;
  refuse(answer, `stop app ${app}`);
  return parseEnding(answer);
}

/** Whether an app of a mutable pod was asked to start and does not run yet: it is built, or its pre-start handler runs. */
export async function isStarting(podDir: string, app: string): Promise<boolean> {
  const answer = await request(podDir, 'status', 10_000);
  // The supervisor lists no app that was never asked to start.
  return answer?.includes(`\napp=${app}\nstate=created\n`) === true;
}

export type Forgotten = 'forgotten' | 'unknown' | 'runs' | 'pod-does-not-run';

/** Makes the supervisor let go of an app that has ended: what is mounted for it goes away. */
export async function forgetApp(podDir: string, app: string): Promise<Forgotten> {
  const answer = await request(podDir, `app-forget ${app}`, END_MS);
  if (answer === undefined) return 'pod-does-not-run';
  if (answer === 'error no such app\n') return 'unknown';
  if (answer === 'error the app runs\n') return 'runs';
  // A pod that stops lets go of all its apps.
  if (/^error the pod (is stopping|has ended)$/m.test(answer)) return 'pod-does-not-run';
  refuse(answer, `forget app ${app}`);
  return 'forgotten';
}

/** Waits until the pod has ended. Undefined: it did not run. Throws POD_TIMEOUT when the time is over. */
export async function waitForPod(podDir: string, timeoutMs?: number): Promise<Ending | undefined> {
  const late = timeout('the pod has not ended', timeoutMs);
  const answer = await request(podDir, 'wait', timeoutMs, late);
  if (answer === undefined) return undefined;
  refuse(answer, 'wait');
  return parseEnding(answer);
}

/**
 * Waits until the pod is ready; `ready` also when it has been before. Otherwise how it ended without. Undefined: it did not run.
 * Throws POD_TIMEOUT when the time is over.
 */
export async function waitUntilReady(
  podDir: string,
  timeoutMs?: number,
): Promise<
  | { readonly kind: 'ready' }
  /** The pod goes on, but an app that was to tell has ended. */
  | { readonly kind: 'never'; readonly why: string }
  | Ending
  | undefined
> {
  const late = timeout('the pod is not ready', timeoutMs);
  const answer = await request(podDir, 'wait-ready', timeoutMs, late);
  if (answer === undefined) return undefined;
  const never = /^error (.* before it was ready)$/m.exec(answer);
  if (never !== null) return { kind: 'never', why: never[1] ?? '' };
  refuse(answer, 'wait until it is ready');
  return /^ready$/m.test(answer) ? { kind: 'ready' } : parseEnding(answer);
}
