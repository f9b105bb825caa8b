/** JSON files that may have secrets in them: nothing of their text gets into a message. */
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';

import { errnoOf, FetchError, ManifestError } from '../../errors.ts';

const MAX_BYTES = 4 * 1024 * 1024;

export interface SecretFile {
  readonly value: unknown;
  /** Whether others than the owner and the group may read it. */
  readonly isWorldReadable: boolean;
}

/** Undefined when there is no such file. Throws FETCH_CREDENTIALS. */
export function readSecretJson(file: string): SecretFile | undefined {
  let fd: number;
  try {
    // Without waiting for whoever writes to a FIFO.
    fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    if (['ENOENT', 'ENOTDIR'].includes(errnoOf(cause) ?? '')) return undefined;
    throw unreadable(file, errnoOf(cause) ?? 'unknown');
  }
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw unreadable(file, 'it is no file');
    if (stat.size > MAX_BYTES) throw unreadable(file, 'it is too large');
    return {
      value: parseSecretJson(file, readFileSync(fd, 'utf8')),
      isWorldReadable: (stat.mode & 0o004) !== 0,
    };
  } finally {
    closeSync(fd);
  }
}

/** Without the cause: what the parser of JSON says has a piece of the text in it. */
function parseSecretJson(file: string, text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw unreadable(file, 'it is not JSON');
  }
}

function unreadable(file: string, why: string): FetchError {
  return new FetchError('FETCH_CREDENTIALS', `cannot read the credentials in ${file}: ${why}`, {
    remedies: ['correct the file, or take it away', 'what belongs into it: docs/registries.md'],
  });
}

/** A fault of such a file; the schema's words name fields, not what is in them. */
export function credentialsFault(error: unknown): unknown {
  if (!(error instanceof ManifestError)) return error;
  return new FetchError('FETCH_CREDENTIALS', error.message, {
    remedies: ['what belongs into it: docs/registries.md'],
  });
}
