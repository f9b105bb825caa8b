/** The fake at the exec border: a transcript recorded from the real tools is replayed; any other command line fails the test. */
import type { Run, RunResult } from '../../src/exec/exec.ts';

export interface Exchange {
  /** The whole command line, argv[0] without its folder, words with spaces in single quotes. */
  readonly command: string;
  readonly status?: number;
  readonly stdout?: string;
  readonly stderr?: string;
}

export interface FakeRun {
  readonly run: Run;
  /** Throws when a part of the transcript was not asked for. */
  finish(): void;
}

/** `argv` as a transcript writes it. */
export function commandLine(argv: readonly string[]): string {
  return argv
    .map((word, index) => (index === 0 ? (word.split('/').at(-1) ?? word) : word))
    .map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`))
    .join(' ');
}

/** Commands must come exactly in the transcript's order. */
export function replay(transcript: readonly Exchange[]): FakeRun {
  let next = 0;
  return {
    run(argv): RunResult {
      const line = commandLine(argv);
      const exchange = transcript[next];
      if (exchange?.command !== line) {
        const expected = exchange === undefined ? 'nothing more' : exchange.command;
        throw new Error(
          `unexpected command, number ${String(next + 1)}:\n  ${line}\nexpected:\n  ${expected}`,
        );
      }
      next += 1;
      return {
        status: exchange.status ?? 0,
        signal: undefined,
        stdout: exchange.stdout ?? '',
        stderr: exchange.stderr ?? '',
      };
    },
    finish() {
      const rest = transcript.slice(next);
      if (rest.length > 0) {
        throw new Error(
          `never run:\n${rest.map((exchange) => `  ${exchange.command}`).join('\n')}`,
        );
      }
    },
  };
}
