import { writeFileSync } from 'node:fs';

import { errnoOf, HostError } from '../errors.ts';

/** Writes a file that the user named (`--save-id`). */
export function saveText(file: string, text: string): void {
  try {
    writeFileSync(file, text);
  } catch (cause) {
    throw new HostError('IO_FAILED', `cannot write ${file}: ${errnoOf(cause) ?? String(cause)}`, {
      cause,
    });
  }
}
