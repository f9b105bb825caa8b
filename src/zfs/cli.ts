/** The ZFS port on the programs zfs(8) and zpool(8), of OpenZFS and of zfs-fuse. What they do and say: docs/tools.md. */
import { ZfsError } from '../errors.ts';
import type { Argv, Run, RunResult } from '../exec/exec.ts';
import {
  cloneArgv,
  createArgv,
  DEFAULT_TYPES,
  destroyArgv,
  existsArgv,
  getArgv,
  holdArgv,
  holdsArgv,
  listArgv,
  listByGetArgv,
  mountArgv,
  poolCreateArgv,
  poolImportArgv,
  poolsArgv,
  releaseArgv,
  renameArgv,
  rollbackArgv,
  setArgv,
  snapshotArgv,
  unmountArgv,
} from './argv.ts';
import { culpritOf, wordsOf, zfsFailure, type Attempt } from './failure.ts';
import {
  parseGet,
  parseHolds,
  parseLines,
  parseList,
  parseListByGet,
  UnexpectedOutput,
} from './parse.ts';
import type { DatasetName, Zfs } from './zfs.ts';

export interface ZfsPrograms {
  readonly run: Run;
  /** The programs, by absolute paths, behind what they are started by, if anything (one-at-a-time.ts). */
  readonly zfs: Argv;
  readonly zpool: Argv;
  /** setfattr(1), which only finding out about extended attributes on zfs-fuse needs. */
  readonly setfattr?: string;
  /** For tests. */
  readonly sleep?: (ms: number) => Promise<unknown>;
}

const BUSY_TIMEOUT_MS = 3000;
const FIRST_PAUSE_MS = 5;
const LONGEST_PAUSE_MS = 100;

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

export function createZfs(programs: ZfsPrograms): Zfs {
  const { run, zfs, zpool, sleep = pause } = programs;
  /** Not known before the first listing: whether `zfs list` takes -p. */
  let listIsParsable: boolean | undefined;

  const tryZfs = async (args: readonly string[]) => run([...zfs, ...args]);

  /** stdout of a command that must succeed. */
  async function must(program: Argv, args: readonly string[], attempt: Attempt): Promise<string> {
    const result = await run([...program, ...args]);
    if (result.status !== 0) throw zfsFailure(result, attempt);
    return result.stdout;
  }

  function read<T>(attempt: Attempt, parse: () => T): T {
    try {
      return parse();
    } catch (cause) {
      if (!(cause instanceof UnexpectedOutput)) throw cause;
      const message = `cannot ${attempt.what}: the answer of zfs is not understood: ${cause.message}`;
      throw new ZfsError('ZFS_FAILED', attempt.dataset, message, { cause });
    }
  }

  /** A failure that leaves the new file system behind unmounted must leave nothing. */
  async function makeFileSystem(
    args: readonly string[],
    name: DatasetName,
    attempt: Attempt,
  ): Promise<void> {
    const result = await tryZfs(args);
    if (result.status === 0) return;
    const failure = zfsFailure(result, attempt);
    if (/successfully (?:created|cloned), but not (?:mounted|shared)/.test(result.stderr)) {
      await destroy(name).catch((error: unknown) => {
        throw new ZfsError(
          failure.code,
          name,
          `${failure.message}; and then it cannot be destroyed`,
          {
            cause: error,
            remedies: [`remove it with: zfs destroy ${name}`],
          },
        );
      });
    }
    throw failure;
  }

  /**
   * Tries again while the dataset is busy. zfs-fuse lets go of an unmounted file system some milliseconds late, so that a
   * destroy or rename of a mounted one always fails the first time; on any implementation a mount namespace that is just
   * ending may still have a copy of the mount.
   */
  async function insist(
    args: readonly string[],
    attempt: Attempt,
    options: {
      readonly busyTimeoutMs: number | undefined;
      readonly beforeRetry?: () => Promise<unknown>;
    },
  ): Promise<void> {
    const { busyTimeoutMs = BUSY_TIMEOUT_MS, beforeRetry } = options;
    let obstacle: string | undefined;
    let waitedMs = 0;
    let pauseMs = FIRST_PAUSE_MS;
    for (;;) {
      const result = await tryZfs(args);
      if (result.status === 0) return;
      const failure = zfsFailure(result, attempt);
      if (failure.code !== 'ZFS_BUSY' || isHeld(result)) throw failure;
      // zfs-fuse unmounts one file system of a tree per try: another obstacle means that we are getting on.
      const now = culpritOf(result.stderr);
      if (now !== obstacle) {
        obstacle = now;
        waitedMs = 0;
        pauseMs = FIRST_PAUSE_MS;
      }
      if (waitedMs >= busyTimeoutMs) throw failure;
      await beforeRetry?.();
      await sleep(pauseMs);
      waitedMs += pauseMs;
      pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
    }
  }

  async function destroy(
    name: DatasetName,
    options: { readonly recursive?: boolean; readonly busyTimeoutMs?: number } = {},
  ): Promise<void> {
    const attempt = { what: `destroy ${name}`, dataset: name };
    await insist(destroyArgv(name, options), attempt, { busyTimeoutMs: options.busyTimeoutMs });
  }

  return {
    create(name, options) {
      const attempt = { what: `create ${name}`, dataset: name };
      return makeFileSystem(createArgv(name, options), name, attempt);
    },

    clone(snapshot, name, options) {
      const attempt = { what: `clone ${snapshot} as ${name}`, dataset: name };
      return makeFileSystem(cloneArgv(snapshot, name, options), name, attempt);
    },

    async snapshot(name, properties) {
      await must(zfs, snapshotArgv(name, properties), { what: `snapshot ${name}`, dataset: name });
    },

    async rename(from, to, options = {}) {
      const attempt = { what: `rename ${from} to ${to}`, dataset: from };
      // zfs-fuse mounts it again when its own unmount came too late for the rename; a separate one comes in time.
      await insist(renameArgv(from, to), attempt, {
        busyTimeoutMs: options.busyTimeoutMs,
        beforeRetry: () => tryZfs(unmountArgv(from, {})),
      });
    },

    destroy,

    async rollback(snapshot) {
      const attempt = { what: `roll back to ${snapshot}`, dataset: snapshot };
      await must(zfs, rollbackArgv(snapshot), attempt);
    },

    async list(root, options = {}) {
      const attempt = { what: `list ${root}`, dataset: root };
      if (listIsParsable !== false) {
        const result = await tryZfs(listArgv(root, options));
        if (result.status === 0) {
          listIsParsable = true;
          return read(attempt, () => parseList(result.stdout));
        }
        if (!/invalid option '?p/.test(result.stderr)) return emptyIfMissing(result, attempt);
        listIsParsable = false;
      }
      const result = await tryZfs(listByGetArgv(root, options));
      if (result.status !== 0) return emptyIfMissing(result, attempt);
      const types = options.types ?? DEFAULT_TYPES;
      return read(attempt, () =>
        parseListByGet(result.stdout)
          .filter((row) => types.includes(row.type))
          .sort((a, b) => (a.name < b.name ? -1 : 1)),
      );
    },

    async exists(name) {
      const result = await tryZfs(existsArgv(name));
      if (result.status === 0) return true;
      const failure = zfsFailure(result, { what: `look for ${name}`, dataset: name });
      if (failure.code === 'ZFS_MISSING') return false;
      throw failure;
    },

    async get(name, properties) {
      const attempt = { what: `read properties of ${name}`, dataset: name };
      const stdout = await must(zfs, getArgv(name, properties), attempt);
      return read(attempt, () => parseGet(stdout));
    },

    async set(name, properties) {
      const attempt = { what: `set properties of ${name}`, dataset: name };
      const entries = Object.entries(properties);
      if (entries.length === 0) return;
      const result = await tryZfs(setArgv(name, properties));
      if (result.status === 0) return;
      // zfs-fuse takes all but the first assignment for names of datasets.
      if (entries.length === 1 || !/'[^']+=.*': invalid dataset name/.test(result.stderr)) {
        throw zfsFailure(result, attempt);
      }
      for (const [key, value] of entries) await must(zfs, setArgv(name, { [key]: value }), attempt);
    },

    async mount(name) {
      const result = await tryZfs(mountArgv(name));
      if (result.status === 0 || result.stderr.includes('already mounted')) return;
      throw zfsFailure(result, { what: `mount ${name}`, dataset: name });
    },

    async unmount(name, options = {}) {
      const result = await tryZfs(unmountArgv(name, options));
      if (result.status === 0 || result.stderr.includes('not currently mounted')) return;
      throw zfsFailure(result, { what: `unmount ${name}`, dataset: name });
    },

    async hold(tag, snapshot) {
      const attempt = { what: `hold ${snapshot} as ${tag}`, dataset: snapshot };
      await must(zfs, holdArgv(tag, snapshot), attempt);
    },

    async release(tag, snapshot) {
      const attempt = { what: `release the hold ${tag} of ${snapshot}`, dataset: snapshot };
      await must(zfs, releaseArgv(tag, snapshot), attempt);
    },

    async holds(snapshot) {
      const attempt = { what: `list the holds of ${snapshot}`, dataset: snapshot };
      const stdout = await must(zfs, holdsArgv(snapshot), attempt);
      return read(attempt, () => parseHolds(stdout));
    },

    async availableBytes(name) {
      const attempt = { what: `ask for the free space of ${name}`, dataset: name };
      const stdout = await must(zfs, getArgv(name, ['available']), attempt);
      return read(attempt, () => {
        const bytes = Number(parseGet(stdout)['available']);
        if (!Number.isFinite(bytes)) throw new UnexpectedOutput(stdout);
        return bytes;
      });
    },

    async pools() {
      return parseLines(await must(zpool, poolsArgv(), { what: 'list the pools', dataset: '' }));
    },

    async createPool(pool, vdev, properties = {}) {
      const attempt = { what: `create the pool ${pool} on ${vdev}`, dataset: pool };
      await must(zpool, poolCreateArgv(pool, vdev, properties), attempt);
    },

    async importPool(pool, dir) {
      const attempt = { what: `import the pool ${pool} from ${dir}`, dataset: pool };
      await must(zpool, poolImportArgv(pool, dir), attempt);
    },

    async features(scratch) {
      const { detectFeatures } = await import('./features.ts');
      return detectFeatures({ ...programs, destroy }, scratch);
    },
  };
}

function emptyIfMissing(result: RunResult, attempt: Attempt): readonly [] {
  const failure = zfsFailure(result, attempt);
  if (failure.code === 'ZFS_MISSING') return [];
  throw failure;
}

/** A held snapshot stays so however long one waits; zfs-fuse does not tell the two apart. */
function isHeld(result: RunResult): boolean {
  return wordsOf(result).includes('being held');
}
