/** How an error is shown, and the exit status that goes with it. */
import { EXIT, JetpackError } from '../errors.ts';
import { printable, tell } from './output.ts';

interface ShowOptions {
  readonly json: boolean;
  readonly debug: boolean;
  readonly failureExit?: number | undefined;
}

/** oclif's parser throws its own errors for bad flags and arguments. */
function isOclifUsage(error: Error): boolean {
  return 'oclif' in error;
}

/** oclif's own words, in ours. */
function readOclif(text: string): string {
  return text
    .replace(/\nSee more help with --help$/, '')
    .replace(/\n+Note: [\s\S]*$/, '')
    .replace(/^Parsing (\S+) *\n\t/, '$1: ')
    .replace(/^Nonexistent flags?: /, 'there is no flag ')
    .replace(/\s*\n\s*/g, ' ')
    .trim();
}

function isDiskFull(error: Error): boolean {
  return 'code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT');
}

/** Prints the error to stderr and returns the exit status for it. */
export function showError(error: Error, { json, debug, failureExit }: ShowOptions): number {
  let fields: { code: string; message: string; remedies: readonly string[] };
  let status: number = EXIT.failed;
  if (error instanceof JetpackError) {
    fields = error.fields();
    status = error.exitCode;
  } else if (isOclifUsage(error)) {
    const message = readOclif(error.message);
    fields = { code: 'USAGE', message, remedies: ['see the usage with --help'] };
    status = EXIT.usage;
  } else if (isDiskFull(error)) {
    fields = {
      code: 'NO_SPACE',
      message: `no space is left: ${error.message}`,
      remedies: ['free space with: jetpack gc, jetpack image rm'],
    };
  } else {
    fields = {
      code: 'INTERNAL',
      message: `unexpected: ${error.message}`,
      remedies: ['run it again with --debug and report what it prints'],
    };
  }
  if (json) tell(JSON.stringify({ error: fields }));
  else {
    // Messages have words of manifests and archives in them.
    const [first, ...rest] = fields.message.split('\n').map(printable);
    tell(
      [
        `jetpack: ${first ?? ''}`,
        ...rest.map((line) => `  ${line}`),
        ...fields.remedies.map((line) => `  try: ${printable(line)}`),
      ].join('\n'),
    );
  }
  if (debug) {
    for (let at: unknown = error; at instanceof Error; at = at.cause) tell(at.stack ?? String(at));
  }
  return failureExit ?? status;
}
