/** What appc's isolators mean on Linux: settings of control groups, capability sets, and refusals. */
import { PodError } from '../errors.ts';
import type { CgroupSetting } from '../pod/plan.ts';
import {
  type Quantity,
  amountOf,
  findIsolator,
  isIsolatorName,
  type Isolator,
  type IsolatorName,
} from '../schema/appc.ts';
import { capabilitySets } from './capabilities.ts';
import { findCgroup2 } from './cgroup2.ts';
import type { AppConfinement, IsolatorReport } from './runtime.ts';

/** The period of cpu.max, in microseconds: the kernel's default. */
const CPU_PERIOD_US = 100_000;

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

/** More than any machine has is no limit. */
function bytesOf(quantity: Quantity): string {
  const bytes = amountOf(quantity);
  return Number.isSafeInteger(bytes) ? String(bytes) : 'max';
}

function limitsOf(isolators: readonly Isolator[] | undefined): {
  settings: CgroupSetting[];
  needs: Map<string, string>;
} {
  const settings: CgroupSetting[] = [];
  const needs = new Map<string, string>();
  const memory = findIsolator(isolators, 'resource/memory');
  if (memory !== undefined) {
    needs.set('memory', 'resource/memory');
    if (memory.limit !== undefined) {
      settings.push(
        { file: 'memory.max', value: bytesOf(memory.limit) },
        { file: 'memory.swap.max', value: '0' },
      );
    }
    if (memory.request !== undefined)
      settings.push({ file: 'memory.low', value: bytesOf(memory.request) });
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
    settings.push({
      file: 'cpu.weight',
      value: String(1 + Math.floor(((shares - 2) * 9999) / 262142)),
    });
  }
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
  throw new PodError(
    'POD_LIMIT_UNSUPPORTED',
    `${what} asks for ${isolator}, which cannot be enforced here: ${why}`,
    {
      remedies: [
        'remove the isolator from the manifest',
        'see what this host can enforce with: jetpack info',
      ],
    },
  );
}

function checkControllers(what: string, needs: ReadonlyMap<string, string>): void {
  if (needs.size === 0) return;
  const hierarchy = findCgroup2();
  for (const [controller, isolator] of needs) {
    if (hierarchy === undefined) refuse(what, isolator, 'the host has no cgroup v2');
    if (!hierarchy.controllers.includes(controller)) {
      refuse(
        what,
        isolator,
        `the unified cgroup hierarchy at ${hierarchy.root} has no ${controller} controller`,
      );
    }
  }
}

/** Throws POD_LIMIT_UNSUPPORTED, POD_INVALID. */
export function enforceOnApp(
  name: string,
  isolators: readonly Isolator[],
): Pick<
  AppConfinement,
  'caps' | 'capsOthers' | 'noNewPrivs' | 'oomScoreAdj' | 'cgroup' | 'report'
> {
  const what = `app ${name}`;
  for (const { name: isolator } of isolators) {
    if (isIsolatorName(isolator) && !ENFORCED.has(isolator))
      refuse(what, isolator, 'this jetpack has no means to');
  }
  const { settings, needs } = limitsOf(isolators);
  checkControllers(what, needs);
  return {
    ...capabilitySets(name, {
      retain: findIsolator(isolators, 'os/linux/capabilities-retain-set')?.set,
      remove: findIsolator(isolators, 'os/linux/capabilities-remove-set')?.set,
    }),
    noNewPrivs: findIsolator(isolators, 'os/linux/no-new-privileges') ?? true,
    oomScoreAdj: findIsolator(isolators, 'os/linux/oom-score-adj'),
    cgroup: settings,
    report: reportOn(isolators),
  };
}

/** Throws POD_LIMIT_UNSUPPORTED. */
export function enforceOnPod(
  isolators: readonly Isolator[],
): Pick<AppConfinement, 'cgroup' | 'report'> {
  for (const { name } of isolators) {
    if (isIsolatorName(name) && name !== 'resource/cpu' && name !== 'resource/memory') {
      refuse('the pod', name, 'this jetpack has no means to');
    }
  }
  const { settings, needs } = limitsOf(isolators);
  checkControllers('the pod', needs);
  return { cgroup: settings, report: reportOn(isolators) };
}
