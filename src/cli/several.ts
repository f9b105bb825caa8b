/** One operation on several things at once: all are tried, one failing does not stop the rest. */
import process from 'node:process';

import { showError } from './show-error.ts';

export async function forEach(
  references: readonly string[],
  options: { readonly json: boolean; readonly debug: boolean },
  operation: (reference: string) => Promise<void>,
): Promise<void> {
  const results = await Promise.allSettled(references.map(operation));
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
