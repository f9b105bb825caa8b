/** The composition root: the only place that constructs adapters. Everything is made when first asked for. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';

import { HostError } from '../errors.ts';
import { childExec } from '../exec/child.ts';
import type { Argv, Exec, Run } from '../exec/exec.ts';
import { ACCOUNT } from '../host/accounts.ts';
import { loadConfig, rootDatasetOf, type Config, type ConfigSources } from '../host/config.ts';
import { findAccount, findGroupId } from '../host/local-accounts.ts';
import { createLayout, type Layout } from '../host/layout.ts';
import type { ImagePorts } from '../image/ports.ts';
import type { DestroyPorts } from '../pod/destroy.ts';
import type { PreparePorts } from '../pod/prepare.ts';
import { LinuxRuntime } from '../runtime/linux.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { createZfs } from '../zfs/cli.ts';
import { oneAtATime } from '../zfs/one-at-a-time.ts';
import type { Zfs } from '../zfs/zfs.ts';

export interface GlobalOptions {
  readonly configFile: string | undefined;
  readonly overrides: readonly string[];
  /** Start zfs blocking: cheaper on the way of `run`, where nothing else goes on. */
  readonly blocking?: boolean;
  /** The configuration file may be missing: `init` writes it. */
  readonly mayLackFile?: boolean;
}

/** Where Debian, other Linuxes and FreeBSD keep what is not in the configuration. */
function findTool(...candidates: readonly string[]): string {
  return candidates.find((candidate) => existsSync(candidate)) ?? candidates[0] ?? '';
}

/** zfs-fuse alone has no device of this name. */
function isZfsFuse(): boolean {
  return process.platform === 'linux' && !existsSync('/dev/zfs');
}

function zfsArgv(program: string): Argv {
  const flock = findTool('/usr/bin/flock');
  if (!isZfsFuse() || !existsSync(program) || !existsSync(flock)) return [program];
  return oneAtATime(program, flock);
}

export interface Context {
  readonly config: Config;
  readonly exec: Exec;
  readonly zfs: Zfs;
  readonly layout: Layout;
  readonly runtime: Runtime;
  readonly tools: {
    readonly zfs: Argv;
    readonly zpool: Argv;
    readonly rm: string;
    readonly xz: string;
    readonly bzip2: string;
    readonly shim: string;
  };
  /** Everything that a pod is prepared with. */
  readonly preparePorts: PreparePorts;
  readonly destroyPorts: DestroyPorts;
  readonly imagePorts: ImagePorts;
  /** Throws HostError NOT_ROOT or NOT_INITIALISED. */
  ensureReady(): void;
  now(): Date;
}

function lazy<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}

export function ensureRoot(): void {
  if (process.geteuid?.() === 0) return;
  throw new HostError(
    'NOT_ROOT',
    'jetpack needs root: it mounts file systems and makes namespaces',
    {
      remedies: ['sudo jetpack …'],
    },
  );
}

/** The package's folder: the bundle is in its dist/. */
const packageDir = path.dirname(__dirname);

export function configSources(options: GlobalOptions): ConfigSources {
  const file = options.configFile ?? process.env['JETPACK_CONF'];
  return {
    file:
      options.mayLackFile === true && file !== undefined && !existsSync(file) ? undefined : file,
    overrides: options.overrides,
    defaults: { platform: process.platform === 'freebsd' ? 'freebsd' : 'linux', packageDir },
  };
}

export function createContext(options: GlobalOptions): Context {
  const config = lazy(() => loadConfig(configSources(options)));
  const tools = lazy(() => ({
    zfs: zfsArgv(
      config()['zfs.program'] ?? findTool('/usr/sbin/zfs', '/sbin/zfs', '/usr/local/sbin/zfs'),
    ),
    zpool: zfsArgv(
      config()['zpool.program'] ??
        findTool('/usr/sbin/zpool', '/sbin/zpool', '/usr/local/sbin/zpool'),
    ),
    rm: '/bin/rm',
    xz: findTool('/usr/bin/xz', '/usr/local/bin/xz'),
    bzip2: findTool('/usr/bin/bzip2', '/bin/bzip2'),
    shim: path.join(config()['path.libexec'], 'jetpack-shim'),
  }));
  const layout = lazy(() => createLayout(rootDatasetOf(config()), config()['root.mountpoint']));
  const zfsBy = (run: Run) =>
    createZfs({
      run,
      zfs: tools().zfs,
      zpool: tools().zpool,
      setfattr: '/usr/bin/setfattr',
    });
  const zfs = lazy(() => zfsBy(options.blocking === true ? childExec.runSync : childExec.run));
  const runtime = lazy(
    () =>
      new LinuxRuntime({
        architecture: process.arch,
        libexec: config()['path.libexec'],
        exec: childExec,
      }),
  );
  const now = () => new Date();
  const preparePorts = lazy(() => ({
    zfs: zfs(),
    zfsAtOnce: zfsBy(childExec.run),
    runtime: runtime(),
    layout: layout(),
    tools: tools(),
    settings: {
      logMaxBytes: config()['logs.max-bytes'],
      logKeep: config()['logs.keep'],
      stopGraceMs: config()['stop.grace-ms'],
    },
    metadata: {
      port: config()['mds.port'],
      warn: config()['mds.warn'],
      relay: findAccount(config()['mds.user']),
    },
    groupId: findGroupId(ACCOUNT),
    now,
  }));
  return {
    exec: childExec,
    now,
    get config() {
      return config();
    },
    get zfs() {
      return zfs();
    },
    get layout() {
      return layout();
    },
    get runtime() {
      return runtime();
    },
    get tools() {
      return tools();
    },
    get destroyPorts() {
      return { zfs: zfs(), layout: layout() };
    },
    get imagePorts() {
      return { zfs: zfs(), exec: childExec, layout: layout(), clock: { now }, tools: tools() };
    },
    get preparePorts() {
      return preparePorts();
    },
    ensureReady() {
      ensureRoot();
      // Not on the way of a start: a process more costs it too much, and any other command does it.
      if (options.blocking !== true && isZfsFuse())
        childExec.runSync([tools().shim, 'wake', layout().dir.root]);
      if (existsSync(layout().dir.pods) && existsSync(layout().dir.images)) return;
      throw new HostError(
        'NOT_INITIALISED',
        `there is no jetpack at ${layout().dir.root} (dataset ${layout().dataset.root})`,
        {
          remedies: [
            'jetpack init',
            'without a pool: jetpack init --pool-file FILE --pool-size 10G',
            'after a reboot: is the pool imported?',
          ],
        },
      );
    },
  };
}
