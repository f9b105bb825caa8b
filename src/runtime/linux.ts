/** Pods on Linux: namespaces and cgroup v2. The shim does it; here is what it is told. */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statfsSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';

import { errnoOf, HostError } from '../errors.ts';
import type { Exec } from '../exec/exec.ts';
import { ALL_CAPABILITIES, DEFAULT_CAPABILITIES } from './capabilities.ts';
import { findCgroup2 } from './cgroup2.ts';
import type {
  AppConfinement,
  AppToConfine,
  PodConfinement,
  PodToConfine,
  ProcessRow,
  Runtime,
  SeccompFilter,
} from './runtime.ts';

/** Hidden from apps: they tell about, or reach, the host's kernel and hardware. */
const MASKED = [
  '/proc/acpi',
  '/proc/asound',
  '/proc/config.gz',
  '/proc/kallsyms',
  '/proc/kcore',
  '/proc/keys',
  '/proc/kmem',
  '/proc/latency_stats',
  '/proc/mem',
  '/proc/sched_debug',
  '/proc/scsi',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/sys/devices/virtual/powercap',
  '/sys/firmware',
  '/sys/fs/bpf',
  '/sys/fs/fuse',
  '/sys/fs/pstore',
  '/sys/fs/selinux',
  '/sys/hypervisor',
  '/sys/kernel/debug',
  '/sys/kernel/security',
  '/sys/kernel/tracing',
  '/sys/module',
  '/sys/power',
] as const;

/** Readable, but a write would change the host. */
const READ_ONLY = [
  '/proc/bus',
  '/proc/fs',
  '/proc/irq',
  '/proc/sys',
  '/proc/sysrq-trigger',
] as const;

/** statfs(2) f_type of a file system of OpenZFS in the kernel. */
const ZFS_SUPER_MAGIC = 0x2fc12fc1;

const ARCHITECTURES: Readonly<Partial<Record<NodeJS.Architecture, string>>> = {
  x64: 'amd64',
  ia32: 'i386',
  arm64: 'aarch64',
  arm: 'armv7l',
  s390x: 's390x',
  ppc64: 'ppc64le',
};

export interface LinuxFacts {
  readonly architecture: NodeJS.Architecture;
  /** Folder of jetpack-shim, jetpack-seccomp and the default filter. */
  readonly libexec: string;
  /** Starts jetpack-seccomp, for apps with a filter of their own. */
  readonly exec: Pick<Exec, 'runSync'>;
}

function podCgroup(root: string, uuid: string): string {
  return path.join(root, 'jetpack', uuid);
}

/** For an app without isolators, so that their schemas need not be loaded for it. */
const NOTHING_ASKED = {
  caps: DEFAULT_CAPABILITIES,
  capsOthers: 0n,
  noNewPrivs: true,
  oomScoreAdj: undefined,
  cgroup: [],
  execLabel: undefined,
  netRate: undefined,
  filter: undefined,
  diskQuotaBytes: undefined,
  report: { enforced: [], adjusted: [], ignored: [] },
} as const;

export class LinuxRuntime implements Runtime {
  readonly #facts: LinuxFacts;

  constructor(facts: LinuxFacts) {
    this.#facts = facts;
  }

  get platform() {
    return {
      os: 'linux',
      arch: ARCHITECTURES[this.#facts.architecture] ?? this.#facts.architecture,
    };
  }

  get shim() {
    return path.join(this.#facts.libexec, 'jetpack-shim');
  }

  rootfsKind(rootDir: string): 'zfs' | 'dir' {
    return statfsSync(rootDir).type === ZFS_SUPER_MAGIC ? 'zfs' : 'dir';
  }

  async confineApp(wanted: AppToConfine): Promise<AppConfinement> {
    const { app, isolation } = wanted;
    const asked =
      (app.isolators ?? []).length + wanted.podIsolators.length === 0
        ? NOTHING_ASKED
        : (await import('./isolators.ts')).enforceOnApp(wanted, this.#facts);
    const { filter, ...rest } = asked;
    return {
      ...rest,
      ...(isolation.capabilities ? {} : { caps: ALL_CAPABILITIES, capsOthers: 0n }),
      seccomp: isolation.seccomp ? this.#filterOf(filter) : undefined,
      mask: isolation.paths ? MASKED : [],
      readonly: isolation.paths ? READ_ONLY : [],
    };
  }

  #filterOf(program: Uint8Array | null | undefined): SeccompFilter | undefined {
    if (program === null) return undefined;
    return program === undefined
      ? { file: path.join(this.#facts.libexec, 'seccomp-default.bpf') }
      : { program };
  }

  async confinePod(pod: PodToConfine, apps: readonly AppConfinement[]): Promise<PodConfinement> {
    const { uuid, isolators } = pod;
    const none = { cgroup: [], sysctls: [], netRate: undefined, report: NOTHING_ASKED.report };
    const {
      cgroup,
      sysctls,
      netRate: ofPod,
      report,
    } = isolators === undefined || isolators.length === 0
      ? none
      : (await import('./isolators.ts')).enforceOnPod({ ...pod, isolators });
    // What the pod has bounds what its app has.
    const netRate = [ofPod, ...apps.map((app) => app.netRate)]
      .filter((rate) => rate !== undefined)
      .sort((a, b) => a.bytesPerSecond - b.bytesPerSecond)[0];
    const hierarchy = findCgroup2();
    const isLimited = cgroup.length > 0 || apps.some((app) => app.cgroup.length > 0);
    const usable = hierarchy?.controllers.includes('memory') === true;
    if (hierarchy === undefined || (!isLimited && !usable))
      return { cgroup: undefined, sysctls, netRate, report };
    return {
      sysctls,
      netRate,
      cgroup: { path: podCgroup(hierarchy.root, uuid), settings: cgroup },
      report,
    };
  }

  ensureConfinement({ cgroup }: PodConfinement): void {
    if (cgroup === undefined) return;
    const parent = path.dirname(cgroup.path);
    const root = path.dirname(parent);
    try {
      if (!existsSync(parent)) mkdirSync(parent, { recursive: true });
      for (const folder of [root, parent]) {
        const available = readFileSync(path.join(folder, 'cgroup.controllers'), 'utf8')
          .trim()
          .split(' ');
        const enabled = readFileSync(path.join(folder, 'cgroup.subtree_control'), 'utf8')
          .trim()
          .split(' ');
        for (const controller of ['cpu', 'memory', 'io', 'pids']) {
          if (available.includes(controller) && !enabled.includes(controller)) {
            writeFileSync(path.join(folder, 'cgroup.subtree_control'), `+${controller}`);
          }
        }
      }
    } catch (cause) {
      throw new HostError('HOST_UNSUPPORTED', `cannot make the control group ${parent}`, {
        remedies: ['let this process write to the unified cgroup hierarchy'],
        cause,
      });
    }
  }

  oomKills(uuid: string, app: string): number | undefined {
    const hierarchy = findCgroup2();
    if (hierarchy === undefined) return undefined;
    try {
      const file = path.join(podCgroup(hierarchy.root, uuid), app, 'memory.events');
      const kills = /^oom_kill (\d+)$/m.exec(readFileSync(file, 'utf8'))?.[1];
      return kills === undefined ? undefined : Number(kills);
    } catch (error) {
      if (errnoOf(error) === undefined) throw error;
      return undefined;
    }
  }

  processes(initPid: number): readonly ProcessRow[] {
    const namespace = readlinkSync(`/proc/${String(initPid)}/ns/pid`);
    const rows: ProcessRow[] = [];
    for (const entry of readdirSync('/proc')) {
      if (!/^\d+$/.test(entry)) continue;
      try {
        if (readlinkSync(`/proc/${entry}/ns/pid`) === namespace)
          rows.push(readProcess(Number(entry)));
      } catch {
        // It ended while we looked.
      }
    }
    return rows.sort((a, b) => a.podPid - b.podPid);
  }
}

/** Clock ticks of /proc/<pid>/stat per second; Linux fixes USER_HZ at 100. */
const MS_PER_TICK = 10;

function readProcess(pid: number): ProcessRow {
  const status = readFileSync(`/proc/${String(pid)}/status`, 'utf8');
  const stat = readFileSync(`/proc/${String(pid)}/stat`, 'utf8');
  const cmdline = readFileSync(`/proc/${String(pid)}/cmdline`, 'utf8');
  const field = (name: string) => new RegExp(`^${name}:\\s+(.*)$`, 'm').exec(status)?.[1] ?? '';
  // The command may hold spaces and parentheses: count from the last one.
  const after = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return {
    pid,
    parentPid: Number(field('PPid')),
    podPid: Number(field('NSpid').split(/\s+/).at(-1)),
    uid: Number(field('Uid').split(/\s+/)[0]),
    state: field('State').slice(0, 1),
    residentBytes: Number.parseInt(field('VmRSS') || '0', 10) * 1024,
    cpuMs: (Number(after[11]) + Number(after[12])) * MS_PER_TICK,
    command:
      cmdline === '' ? `[${field('Name')}]` : cmdline.replace(/\0$/, '').replaceAll('\0', ' '),
  };
}
