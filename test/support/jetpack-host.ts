/** A jetpack of its own for a test: root dataset on the test pool, configuration file, and the built program as a child. */
import { randomUUID } from 'node:crypto';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import path from 'node:path';
import process from 'node:process';

import { zfsArgv } from './real-zfs.ts';

export const PROJECT = path.resolve(import.meta.dirname, '../..');
const MAIN = path.join(PROJECT, 'dist', 'main.cjs');

export interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly input?: string | Uint8Array;
  readonly timeoutMs?: number;
  readonly env?: Readonly<Record<string, string>>;
}

/** What a pod can leave behind on a host. */
export interface Traces {
  readonly datasets: readonly string[];
  readonly mounts: readonly string[];
  readonly folders: readonly string[];
  readonly processes: readonly string[];
}

function zfs(...args: readonly string[]) {
  const [program, ...before] = zfsArgv('zfs');
  return spawnSync(program, [...before, ...args], { encoding: 'utf8' });
}

function zfsLines(...args: readonly string[]): readonly string[] {
  const result = zfs(...args);
  return result.stdout.split('\n').filter((line) => line !== '');
}

export class JetpackHost {
  /** Short, since the paths of sockets are below it. */
  readonly dir = mkdtempSync('/tmp/jp-');
  readonly root: string;
  readonly mountpoint = path.join(this.dir, 'r');
  readonly conf = path.join(this.dir, 'jetpack.conf');

  constructor(pool: string) {
    this.root = `${pool}/h-${randomUUID().slice(0, 8)}`;
    writeFileSync(
      this.conf,
      `root.zfs = ${this.root}\nroot.mountpoint = ${this.mountpoint}\nmds.warn = no\n`,
    );
  }

  get env(): Record<string, string> {
    return {
      PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      JETPACK_CONF: this.conf,
      LC_ALL: 'C',
    };
  }

  /** Runs `jetpack WORDS…` to its end. */
  jetpack(words: readonly string[], options: RunOptions = {}): Outcome {
    const child = spawnSync(process.execPath, [MAIN, ...words], {
      encoding: 'utf8',
      env: { ...this.env, ...options.env },
      input: options.input ?? '',
      timeout: options.timeoutMs ?? 120_000,
      maxBuffer: 64 * 1024 * 1024,
    });
    return { status: child.status, stdout: child.stdout, stderr: child.stderr };
  }

  /** As `jetpack`, but a failure fails the test with what it printed. Returns stdout without its last newline. */
  must(...words: readonly string[]): string {
    const { status, stdout, stderr } = this.jetpack(words);
    if (status !== 0)
      throw new Error(
        `jetpack ${words.join(' ')} exited with ${String(status)}:\n${stdout}${stderr}`,
      );
    return stdout.replace(/\n$/, '');
  }

  json(...words: readonly string[]): unknown {
    return JSON.parse(this.must(...words, '--json'));
  }

  /** Starts it and does not wait. */
  start(words: readonly string[], stdio: 'ignore' | 'pipe' = 'pipe'): ChildProcess {
    return spawn(process.execPath, [MAIN, ...words], {
      env: this.env,
      stdio: ['pipe', stdio, stdio],
    });
  }

  traces(): Traces {
    const walk = (folder: string, depth: number): string[] => {
      if (depth === 0 || !existsSync(folder)) return [];
      return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
        const file = path.join(folder, entry.name);
        return [file, ...(entry.isDirectory() ? walk(file, depth - 1) : [])];
      });
    };
    // The content of images' folders and of mounted root file systems is not a trace.
    const folders = ['pods', 'leases', 'locks', 'build', 'rootfs', 'names', 'images'].flatMap(
      (name) => walk(path.join(this.mountpoint, name), name === 'names' ? 3 : 1),
    );
    return {
      datasets: zfsLines('list', '-rH', '-t', 'filesystem,snapshot', '-o', 'name', this.root),
      mounts: readFileSync('/proc/self/mounts', 'utf8')
        .split('\n')
        .filter((line) => line.includes(this.dir))
        .sort(),
      folders: folders.sort(),
      processes: this.processes(),
    };
  }

  /** Processes of ours: by the shim's command line, or inside a pod of this host. */
  processes(): readonly string[] {
    return readdirSync('/proc').flatMap((pid) => {
      if (!/^\d+$/.test(pid)) return [];
      try {
        const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
        const cwd = readlinkSync(`/proc/${pid}/cwd`);
        return line.includes(this.dir) || cwd.includes(this.dir) ? [line] : [];
      } catch {
        return [];
      }
    });
  }

  mountTmpfs(folder: string): void {
    if (spawnSync('/bin/mount', ['-t', 'tmpfs', 'none', folder]).status !== 0)
      throw new Error(`cannot mount a tmpfs on ${folder}`);
  }

  unmount(folder: string): void {
    spawnSync('/bin/umount', [folder]);
  }

  /** Takes everything away, whatever a failed test left. */
  remove(): void {
    for (const pod of this.jetpack(['list', '-q', '--all'])
      .stdout.split('\n')
      .filter((line) => line !== '')) {
      this.jetpack(['rm', '--force', pod]);
    }
    this.jetpack(['gc', '--grace-period=0', '--expire-prepared=0']);
    for (let attempt = 0; attempt < 10; attempt += 1) {
      const clones = zfsLines('list', '-rH', '-o', 'name,origin', this.root)
        .map((line) => line.split('\t'))
        .filter(([, origin]) => origin !== '-')
        .map(([name]) => name ?? '');
      for (const clone of clones) zfs('destroy', '-r', clone);
      if (zfs('destroy', '-r', this.root).status === 0) break;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
    }
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** An ACI from a folder tree and a manifest, by the real tar; returns its path. */
export function makeAci(
  host: JetpackHost,
  manifest: object,
  fill: (rootfs: string) => void,
): string {
  const tree = mkdtempSync(path.join(host.dir, 'aci-'));
  const rootfs = path.join(tree, 'rootfs');
  spawnSync('/bin/mkdir', ['-m', '0755', rootfs]);
  fill(rootfs);
  writeFileSync(path.join(tree, 'manifest'), JSON.stringify(manifest));
  const file = `${tree}.aci`;
  const made = spawnSync(
    '/bin/tar',
    ['--numeric-owner', '-C', tree, '-czf', file, 'manifest', 'rootfs'],
    { encoding: 'utf8' },
  );
  if (made.status !== 0) throw new Error(made.stderr);
  return file;
}

export function makeBusyboxAci(host: JetpackHost): string {
  const file = path.join(host.dir, 'busybox.aci');
  const made = spawnSync('/bin/sh', [path.join(PROJECT, 'scripts', 'make-busybox-aci.sh'), file], {
    encoding: 'utf8',
  });
  if (made.status !== 0) throw new Error(made.stderr);
  return file;
}

/** Waits for a condition, for at most `timeoutMs`. */
export async function until(
  what: string,
  condition: () => boolean,
  timeoutMs = 15_000,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`waited in vain for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}
