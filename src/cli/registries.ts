/** The way to registries, for commands: what the room takes from outside is this process's. */
import { randomInt } from 'node:crypto';
import { homedir } from 'node:os';
import process from 'node:process';
import { setTimeout as wait } from 'node:timers/promises';

import type { Exec } from '../exec/exec.ts';
import { HELPER_FOLDERS, REGISTRY_FOLDERS, type Timing } from '../fetch/ports.ts';
import { createRegistries, type Registries } from '../fetch/registries.ts';

declare const VERSION: string;

const FINENESS = 2 ** 32;

export const realTiming: Timing = {
  nowMs: () => Date.now(),
  sleep: async (ms, signal) => {
    await wait(ms, undefined, signal === undefined ? {} : { signal });
  },
  random: () => randomInt(FINENESS) / FINENESS,
};

/** Heavy: it brings the HTTP client with it. Load it when an image is to be fetched or pushed. */
export function openRegistries(exec: Exec, warn: (message: string) => void): Registries {
  return createRegistries({
    run: exec.run,
    timing: realTiming,
    environment: process.env,
    homeDir: homedir(),
    folders: REGISTRY_FOLDERS,
    helperFolders: HELPER_FOLDERS,
    userAgent: `jetpack/${VERSION}`,
    warn,
  });
}
