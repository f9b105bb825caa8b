/**
 * The port through which every other program is started: argv arrays only, absolute paths,
 * `LC_ALL=C` and an explicit environment. Adapters: `child.ts` (real), test/support/fake-exec.ts (transcripts).
 */

/** argv[0] is the absolute path of the program. */
export type Argv = readonly [string, ...string[]];

export interface RunOptions {
  /** Bytes for its stdin; default: none (/dev/null). */
  readonly input?: string | Uint8Array;
  /** Kill it after so long. Default: no limit. */
  readonly timeoutMs?: number;
  readonly cwd?: string;
  /** Variables beyond those that every program gets. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface RunResult {
  /** Exit status; undefined when a signal ended it. */
  readonly status: number | undefined;
  readonly signal: string | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end. Rejects with HostError TOOL_MISSING when it is not there; a failure of the program is a result. */
export type Run = (argv: Argv, options?: RunOptions) => RunResult | Promise<RunResult>;

/** A program whose input and output are streams (decompressors). */
export interface Pipe {
  readonly stdin: NodeJS.WritableStream;
  readonly stdout: NodeJS.ReadableStream;
  /** Settles when the program has ended. */
  readonly ended: Promise<RunResult>;
  kill(): void;
}

export interface Exec {
  /** Asynchronous. */
  readonly run: Run;
  /** Blocking, and cheaper to start: for the way of `run`, where nothing else is going on. */
  readonly runSync: (argv: Argv, options?: RunOptions) => RunResult;
  readonly pipe: (argv: Argv) => Promise<Pipe>;
  /** Runs with the caller's stdin, stdout and stderr and returns its exit status (128+n for a signal). */
  readonly passThrough: (argv: Argv) => number;
  /**
   * Starts a program that holds `count` of our descriptors, from 3 on, while we replace ourselves; returns its process id.
   * The program ends when we do.
   */
  readonly hold: (argv: Argv, count: number) => number;
  /** Replaces this process, stdio and terminal untouched. Returns only by throwing. */
  readonly replace: (argv: Argv, env?: Readonly<Record<string, string>>) => never;
}
