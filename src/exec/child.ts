/** The real Exec: node:child_process for what must start fast, execa for what streams. */
import { spawn, spawnSync } from 'node:child_process';
import process from 'node:process';
import type { Readable } from 'node:stream';

import { errnoOf, HostError } from '../errors.ts';
import type { Argv, Exec, Pipe, RunOptions, RunResult } from './exec.ts';

/** All that a program sees of our environment. */
export const TOOL_ENV = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LC_ALL: 'C',
} as const;

const MAX_OUTPUT_BYTES = 256 * 1024 * 1024;
/** For output that is still in a pipe when the program's time is over. */
const PIPES_MS = 500;

function missing(argv: Argv, cause: unknown): HostError {
  const errno = errnoOf(cause);
  if (errno === 'ENOENT' || errno === 'EACCES') {
    return new HostError(
      'TOOL_MISSING',
      `cannot run ${argv[0]}: ${errno === 'ENOENT' ? 'it is not there' : 'it is not executable'}`,
      {
        remedies: ['see what is missing with: jetpack info'],
        cause,
      },
    );
  }
  return new HostError('TOOL_FAILED', `cannot run ${argv[0]}: ${errno ?? String(cause)}`, {
    cause,
  });
}

function runSync(argv: Argv, options: RunOptions = {}): RunResult {
  const [file, ...args] = argv;
  const child = spawnSync(file, args, {
    env: { ...TOOL_ENV, ...options.env },
    encoding: 'utf8',
    maxBuffer: MAX_OUTPUT_BYTES,
    stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    ...(options.input === undefined ? {} : { input: options.input }),
    ...(options.timeoutMs === undefined ? {} : { timeout: options.timeoutMs }),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  if (child.error !== undefined && child.pid === 0) throw missing(argv, child.error);
  return {
    status: child.status ?? undefined,
    signal: child.signal ?? undefined,
    stdout: child.stdout,
    stderr: child.stderr,
  };
}

/** Collects a stream as text, as far as it may grow; beyond that the program is ended. */
function collect(stream: Readable | null, tooMuch: () => void): () => string {
  const chunks: Buffer[] = [];
  let size = 0;
  stream?.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size > MAX_OUTPUT_BYTES) tooMuch();
    else chunks.push(chunk);
  });
  return () => Buffer.concat(chunks).toString('utf8');
}

function run(argv: Argv, options: RunOptions = {}): Promise<RunResult> {
  const [file, ...args] = argv;
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      env: { ...TOOL_ENV, ...options.env },
      stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
      ...(options.timeoutMs === undefined ? {} : { timeout: options.timeoutMs }),
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    });
    const kill = () => void child.kill('SIGKILL');
    // What the program has started and left may keep its output open: that is waited for no longer than for itself.
    const giveUp = () => {
      child.stdout?.destroy();
      child.stderr?.destroy();
    };
    const { timeoutMs } = options;
    const late = timeoutMs === undefined ? undefined : setTimeout(giveUp, timeoutMs + PIPES_MS);
    const stdout = collect(child.stdout, kill);
    const stderr = collect(child.stderr, kill);
    child.once('error', (cause) => {
      clearTimeout(late);
      reject(missing(argv, cause));
    });
    child.once('close', (status, signal) => {
      clearTimeout(late);
      resolve({
        status: status ?? undefined,
        signal: signal ?? undefined,
        stdout: stdout(),
        stderr: stderr(),
      });
    });
    // A program that does not read its input to the end says so by its status.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(options.input);
  });
}

/** Starts asynchronously under the hood; writes to stdin wait in its buffer until the program is there. */
async function startPipe(argv: Argv): Promise<Pipe> {
  const { execa } = await import('execa');
  const [file, ...args] = argv;
  const child = execa(file, args, {
    env: TOOL_ENV,
    extendEnv: false,
    reject: false,
    buffer: { stdout: false, stderr: true },
    stdin: 'pipe',
  });
  const ended = child.then((result) => {
    if (result.exitCode === undefined && result.signal === undefined)
      throw missing(argv, result.cause);
    return { status: result.exitCode, signal: result.signal, stdout: '', stderr: result.stderr };
  });
  // A caller that has lost interest (an earlier error) must not be hit by an unhandled rejection.
  ended.catch(() => undefined);
  return {
    stdin: child.stdin,
    stdout: child.stdout,
    ended,
    kill: () => void child.kill('SIGKILL'),
  };
}

function passThrough(argv: Argv): number {
  const [file, ...args] = argv;
  const child = spawnSync(file, args, { env: TOOL_ENV, stdio: 'inherit' });
  if (child.error !== undefined && child.pid === 0) throw missing(argv, child.error);
  if (child.status !== null) return child.status;
  return 128 + (signalNumber(child.signal) ?? 1);
}

function hold(argv: Argv, count: number): number {
  const [file, ...args] = argv;
  const held = Array.from({ length: count }, (_, i) => 3 + i);
  const child = spawn(file, args, {
    env: TOOL_ENV,
    stdio: ['ignore', 'ignore', 'ignore', ...held],
  });
  // It is told later, and with a reason, when there is no pid.
  child.on('error', () => undefined);
  if (child.pid === undefined) throw missing(argv, undefined);
  return child.pid;
}

function signalNumber(signal: NodeJS.Signals | null): number | undefined {
  const numbers: Readonly<Partial<Record<NodeJS.Signals, number>>> = {
    SIGHUP: 1,
    SIGINT: 2,
    SIGQUIT: 3,
    SIGKILL: 9,
    SIGTERM: 15,
  };
  return signal === null ? undefined : numbers[signal];
}

function replace(argv: Argv, env: Readonly<Record<string, string>> = {}): never {
  const execve = process.execve;
  if (execve === undefined) {
    throw new HostError('HOST_UNSUPPORTED', `Node ${process.version} has no process.execve`, {
      remedies: ['use Node 22.15 or newer'],
    });
  }
  try {
    return execve.call(process, argv[0], [...argv], { ...TOOL_ENV, ...env });
  } catch (error) {
    throw missing(argv, error);
  }
}

export const childExec: Exec = { run, runSync, pipe: startPipe, passThrough, hold, replace };
