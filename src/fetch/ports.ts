/** What the room takes from outside: time, chance, the environment, programs, folders. */
import type { Run } from '../exec/exec.ts';

/** Waiting, for back-off. Tests pass one that only writes down. */
export interface Timing {
  readonly nowMs: () => number;
  /** Rejects with the signal's reason when it is aborted. */
  readonly sleep: (ms: number, signal?: AbortSignal) => Promise<void>;
  /** From 0 (included) to 1 (excluded). */
  readonly random: () => number;
}

export interface RegistryFolders {
  /** `registries.d`, the later over the earlier. */
  readonly registries: readonly string[];
  /** `auth.d`, the later over the earlier: system, local. */
  readonly auth: readonly string[];
  /** `certs.d`: each may have a folder for a host. */
  readonly certs: readonly string[];
}

export interface FetchPorts {
  readonly run: Run;
  readonly timing: Timing;
  /** Proxies, and where files with credentials are. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Of the user, for `~/.docker/config.json`. */
  readonly homeDir: string | undefined;
  readonly folders: RegistryFolders;
  /** Folders that are searched for `docker-credential-NAME`. */
  readonly helperFolders: readonly string[];
  readonly userAgent: string;
  /** Something that does not keep the work from being done. */
  readonly warn: (message: string) => void;
}

export const REGISTRY_FOLDERS: RegistryFolders = {
  registries: ['/usr/lib/jetpack/registries.d', '/etc/jetpack/registries.d'],
  auth: ['/usr/lib/jetpack/auth.d', '/etc/jetpack/auth.d'],
  certs: ['/etc/docker/certs.d', '/etc/containers/certs.d'],
};

/** Where credential helpers are looked for: a fixed path, since they get to see secrets. */
export const HELPER_FOLDERS: readonly string[] = ['/usr/local/bin', '/usr/bin', '/bin'];
