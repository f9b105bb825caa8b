/** One operation on several things: all are tried, one failing does not stop the rest. */
import process from 'node:process';

import { showError } from './show-error.ts';

interface Options {
  readonly json: boolean;
  readonly debug: boolean;
}

type Operation = (reference: string) => Promise<void>;

/** All at once. */
export async function forEach(
  references: readonly string[],
  options: Options,
  operation: Operation,
): Promise<void> {
  showFailures(await Promise.allSettled(references.map(operation)), options);
}

/** One after the other: each may use what the one before it has brought. */
export async function forEachInTurn(
  references: readonly string[],
  options: Options,
  operation: Operation,
): Promise<void> {
  const results: PromiseSettledResult<void>[] = [];
  for (const reference of references)
    results.push(...(await Promise.allSettled([operation(reference)])));
  showFailures(results, options);
}

function showFailures(results: readonly PromiseSettledResult<void>[], options: Options): void {
  let status = 0;
  for (const result of results) {
    if (result.status === 'fulfilled') continue;
    const error: unknown = result.reason;
    status = Math.max(
      status,
      showError(error instanceof Error ? error : new Error(String(error)), options),
    );
  }
  if (status !== 0) process.exitCode = status;
}
