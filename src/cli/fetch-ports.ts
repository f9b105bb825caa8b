/** What fetching takes from the world. Beside context.ts, since no start of a local image needs any of it. */
import { homedir } from 'node:os';
import process from 'node:process';
import { setTimeout } from 'node:timers/promises';

import { childExec } from '../exec/child.ts';
import { type FetchPorts, HELPER_FOLDERS, REGISTRY_FOLDERS } from '../fetch/ports.ts';
import { tellWarning } from './output.ts';

declare const VERSION: string;

export function createFetchPorts(options: {
  readonly json: boolean;
  readonly now: () => Date;
}): FetchPorts {
  return {
    run: childExec.run,
    timing: {
      nowMs: () => options.now().getTime(),
      async sleep(ms, signal) {
        try {
          await setTimeout(ms, undefined, signal === undefined ? {} : { signal });
        } catch (error) {
          signal?.throwIfAborted();
          throw error;
        }
      },
      random: Math.random,
    },
    environment: process.env,
    homeDir: homedir(),
    folders: REGISTRY_FOLDERS,
    helperFolders: HELPER_FOLDERS,
    userAgent: `jetpack/${VERSION}`,
    warn(message) {
      tellWarning(message, options.json);
    },
  };
}
