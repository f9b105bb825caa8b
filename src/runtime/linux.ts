/** Pods on Linux: namespaces and cgroup v2. The shim does it; here is what it is told. */
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, statfsSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { HostError, PodError } from '../errors.ts';
import type { CgroupSetting } from '../pod/plan.ts';
import { amountOf, findIsolator, isIsolatorName, type App, type IsolatorName, type Isolator } from '../schema/appc.ts';
import { capabilitySets } from './capabilities.ts';
import type { AppConfinement, Isolation, IsolatorReport, PodConfinement, ProcessRow, Runtime } from './runtime.ts';

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
  '/sys/fs',
  '/sys/hypervisor',
  '/sys/kernel/debug',
  '/sys/kernel/security',
  '/sys/kernel/tracing',
  '/sys/module',
  '/sys/power',
] as const;

/** Readable, but a write would change the host. */
const READ_ONLY = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'] as const;

/** statfs(2) f_type of a file system of OpenZFS in the kernel. */
const ZFS_SUPER_MAGIC = 0x2fc12fc1;

/** The period of cpu.max, in microseconds: the kernel's default. */
const CPU_PERIOD_US = 100_000;

const ARCHITECTURES: Readonly<Partial<Record<NodeJS.Architecture, string>>> = {
  x64: 'amd64',
  ia32: 'i386',
  arm64: 'aarch64',
  arm: 'armv7l',
  s390x: 's390x',
  ppc64: 'ppc64le',
};

/** Isolators of appc that this runtime enforces. */
const ENFORCED: ReadonlySet<IsolatorName> = new Set<IsolatorName>([
  'resource/cpu',
  'resource/memory',
  'os/linux/capabilities-retain-set',
  'os/linux/capabilities-remove-set',
  'os/linux/no-new-privileges',
  'os/linux/oom-score-adj',
  'os/linux/cpu-shares',
]);

export interface LinuxFacts {
  readonly architecture: NodeJS.Architecture;
  /** Folder of jetpack-shim and seccomp-default.bpf. */
  readonly libexec: string;
}

/** The unified hierarchy and its controllers; undefined where there is none. */
export function findCgroup2(): { readonly root: string; readonly controllers: readonly string[] } | undefined {
  for (const root of ['/sys/fs/cgroup', '/sys/fs/cgroup/unified']) {
    try {
      const controllers = readFileSync(path.join(root, 'cgroup.controllers'), 'utf8').trim();
      return { root, controllers: controllers === '' ? [] : controllers.split(' ') };
    } catch {
      continue;
    }
  }
  return undefined;
}

function limitsOf(app: string, isolators: readonly Isolator[] | undefined): { settings: CgroupSetting[]; needs: Map<string, string> } {
  const settings: CgroupSetting[] = [];
  const needs = new Map<string, string>();
  const memory = findIsolator(isolators, 'resource/memory');
  if (memory !== undefined) {
    needs.set('memory', 'resource/memory');
    if (memory.limit !== undefined) {
      settings.push({ file: 'memory.max', value: String(amountOf(memory.limit)) }, { file: 'memory.swap.max', value: '0' });
    }
    if (memory.request !== undefined) settings.push({ file: 'memory.low', value: String(amountOf(memory.request)) });
  }
  const cpu = findIsolator(isolators, 'resource/cpu');
  if (cpu !== undefined) {
    needs.set('cpu', 'resource/cpu');
    if (cpu.limit !== undefined) {
      const quotaUs = Math.max(1000, amountOf(cpu.limit, CPU_PERIOD_US));
      settings.push({ file: 'cpu.max', value: `${String(quotaUs)} ${String(CPU_PERIOD_US)}` });
    }
  }
  const shares = findIsolator(isolators, 'os/linux/cpu-shares');
  if (shares !== undefined) {
    needs.set('cpu', 'os/linux/cpu-shares');
    // 2…262144 of cgroup v1 to 1…10000 of v2, as the kernel's documentation of cpu.weight has it.
    settings.push({ file: 'cpu.weight', value: String(1 + Math.floor(((shares - 2) * 9999) / 262142)) });
  }
  void app;
  return { settings, needs };
}

function reportOn(isolators: readonly Isolator[] | undefined): IsolatorReport {
  const names = (isolators ?? []).map(({ name }) => String(name));
  return {
    enforced: names.filter((name) => isIsolatorName(name) && ENFORCED.has(name)),
    ignored: names.filter((name) => !isIsolatorName(name)),
  };
}

function refuse(what: string, isolator: string, why: string): never {
  throw new PodError('POD_LIMIT_UNSUPPORTED', `${what} asks for ${isolator}, which cannot be enforced here: ${why}`, {
    remedies: ['remove the isolator from the manifest', 'see what this host can enforce with: jetpack info'],
  });
}

export class LinuxRuntime implements Runtime {
  readonly #facts: LinuxFacts;

  constructor(facts: LinuxFacts) {
    this.#facts = facts;
  }

  get platform() {
    return { os: 'linux', arch: ARCHITECTURES[this.#facts.architecture] ?? this.#facts.architecture };
  }

  get shim() {
    return path.join(this.#facts.libexec, 'jetpack-shim');
  }

  rootfsKind(rootDir: string): 'zfs' | 'dir' {
    return statfsSync(rootDir).type === ZFS_SUPER_MAGIC ? 'zfs' : 'dir';
  }

  confineApp(name: string, app: App, isolation: Isolation): AppConfinement {
    const { isolators } = app;
    for (const { name: isolator } of isolators ?? []) {
      if (isIsolatorName(isolator) && !ENFORCED.has(isolator)) {
        refuse(`app ${name}`, isolator, 'this jetpack has no means to');
      }
    }
    const { settings, needs } = limitsOf(name, isolators);
    this.#checkControllers(`app ${name}`, needs);
    return {
      ...capabilitySets(name, isolators, !isolation.capabilities),
      noNewPrivs: findIsolator(isolators, 'os/linux/no-new-privileges') ?? true,
      seccomp: isolation.seccomp ? path.join(this.#facts.libexec, 'seccomp-default.bpf') : undefined,
      oomScoreAdj: findIsolator(isolators, 'os/linux/oom-score-adj'),
      cgroup: settings,
      mask: isolation.paths ? MASKED : [],
      readonly: isolation.paths ? READ_ONLY : [],
      report: reportOn(isolators),
    };
  }

  confinePod(uuid: string, isolators: readonly Isolator[] | undefined, apps: readonly AppConfinement[]): PodConfinement {
    for (const { name } of isolators ?? []) {
      if (isIsolatorName(name) && name !== 'resource/cpu' && name !== 'resource/memory') {
        refuse('the pod', name, 'this jetpack has no means to');
      }
    }
    const { settings, needs } = limitsOf('', isolators);
    this.#checkControllers('the pod', needs);
    const report = reportOn(isolators);
    const hierarchy = findCgroup2();
    const wanted = settings.length > 0 || apps.some((app) => app.cgroup.length > 0);
    const usable = hierarchy?.controllers.includes('memory') === true;
    if (hierarchy === undefined || (!wanted && !usable)) return { cgroup: undefined, report };
    return { cgroup: { path: path.join(hierarchy.root, 'jetpack', uuid), settings }, report };
  }

  ensureConfinement({ cgroup }: PodConfinement): void {
    if (cgroup === undefined) return;
    const parent = path.dirname(cgroup.path);
    const root = path.dirname(parent);
    try {
      if (!existsSync(parent)) mkdirSync(parent, { recursive: true });
      for (const folder of [root, parent]) {
        const available = readFileSync(path.join(folder, 'cgroup.controllers'), 'utf8').trim().split(' ');
        const enabled = readFileSync(path.join(folder, 'cgroup.subtree_control'), 'utf8').trim().split(' ');
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

  processes(initPid: number): readonly ProcessRow[] {
    const namespace = readlinkSync(`/proc/${String(initPid)}/ns/pid`);
    const rows: ProcessRow[] = [];
    for (const entry of readdirSync('/proc')) {
      if (!/^\d+$/.test(entry)) continue;
      try {
        if (readlinkSync(`/proc/${entry}/ns/pid`) === namespace) rows.push(readProcess(Number(entry)));
      } catch {
        // It ended while we looked.
      }
    }
    return rows.sort((a, b) => a.podPid - b.podPid);
  }

  #checkControllers(what: string, needs: ReadonlyMap<string, string>): void {
    if (needs.size === 0) return;
    const hierarchy = findCgroup2();
    for (const [controller, isolator] of needs) {
      if (hierarchy === undefined) refuse(what, isolator, 'the host has no cgroup v2');
      if (!hierarchy.controllers.includes(controller)) {
        refuse(what, isolator, `the unified cgroup hierarchy at ${hierarchy.root} has no ${controller} controller`);
      }
    }
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
    command: cmdline === '' ? `[${field('Name')}]` : cmdline.replace(/\0$/, '').replaceAll('\0', ' '),
  };
}
