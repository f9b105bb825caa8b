/** Isolators that are settings of a control group (the kernel's cgroup-v2 document): processor, memory, processes. */
import type { CgroupSetting } from '../pod/plan.ts';
import { amountOf, type Quantity } from '../schema/appc.ts';
import type { Asked } from './asked.ts';
import { findCgroup2 } from './cgroup2.ts';

/** The period of cpu.max, in microseconds: the kernel's default. */
const CPU_PERIOD_US = 100_000;
/** The kernel takes no smaller quota. */
const LEAST_QUOTA_US = 1000;
/** Thousandths of a processor: below one, nobody means it. */
const LEAST_CPU_MILLI = 1;
/** More processors than any machine has: no limit. */
const NO_QUOTA_US = 1_000_000 * CPU_PERIOD_US;
/** The kernel counts memory in pages and rounds a limit down to them. */
const PAGE_BYTES = 4096;
/** With less, not even the program that becomes the app fits. */
export const LEAST_MEMORY_BYTES = 1024 * 1024;
const WEIGHT = { least: 1, most: 10_000, normal: 100 } as const;
/** What cgroup v1 counted as normal, and appc's cpu-shares with it. */
const NORMAL_SHARES = 1024;
/** The pod's init is in the pod's group, too, and nobody counts it. */
const OWN_PROCESSES = 1;

export type Level = 'app' | 'pod';

/** As it was written: `5m`. */
function written(asked: Asked, name: 'resource/cpu' | 'resource/memory', field: string): string {
  return asked.raw(name, field);
}

function bytesOf(asked: Asked, field: 'limit' | 'request', quantity: Quantity): string {
  const name = 'resource/memory';
  const bytes = amountOf(quantity);
  if (!Number.isSafeInteger(bytes)) return 'max';
  if (field === 'limit' && bytes < LEAST_MEMORY_BYTES) {
    asked.impossible(name, '.limit', `is less than 1Mi, with which nothing can run`);
  }
  const whole = bytes - (bytes % PAGE_BYTES);
  if (whole !== bytes) asked.adjusted(name, written(asked, name, field), String(whole));
  return String(whole);
}

function* memorySettings(asked: Asked): Generator<CgroupSetting> {
  const memory = asked.value('resource/memory');
  if (memory?.limit !== undefined) {
    yield { file: 'memory.max', value: bytesOf(asked, 'limit', memory.limit) };
    // Else the limit would only move the rest to the swap space.
    yield { file: 'memory.swap.max', value: '0' };
  }
  if (memory?.request !== undefined)
    yield { file: 'memory.low', value: bytesOf(asked, 'request', memory.request) };
}

function quotaOf(asked: Asked, limit: Quantity): string {
  const name = 'resource/cpu';
  const text = written(asked, name, 'limit');
  if (amountOf(limit, 1_000_000) < LEAST_CPU_MILLI * 1000)
    asked.impossible(name, '.limit', 'is less than 1m, a thousandth of a processor');
  const quotaUs = amountOf(limit, CPU_PERIOD_US);
  if (quotaUs > NO_QUOTA_US) return 'max';
  if (quotaUs < LEAST_QUOTA_US) {
    asked.adjusted(name, text, `${String((LEAST_QUOTA_US * 1000) / CPU_PERIOD_US)}m`);
    return String(LEAST_QUOTA_US);
  }
  if (limit.numerator * BigInt(CPU_PERIOD_US) !== BigInt(quotaUs) * limit.denominator)
    asked.adjusted(name, text, `${String((quotaUs * 1000) / CPU_PERIOD_US)}m`);
  return String(quotaUs);
}

/** A weight keeps the proportions between apps, as far as the kernel's range goes. */
function weightOf(exact: number): { readonly weight: number; readonly isCut: boolean } {
  const weight = Math.min(WEIGHT.most, Math.max(WEIGHT.least, Math.round(exact)));
  return { weight, isCut: exact > WEIGHT.most || exact < WEIGHT.least };
}

function* cpuSettings(asked: Asked): Generator<CgroupSetting> {
  const cpu = asked.value('resource/cpu');
  const shares = asked.value('os/linux/cpu-shares');
  if (cpu?.limit !== undefined) {
    yield {
      file: 'cpu.max',
      value: `${quotaOf(asked, cpu.limit)} ${String(CPU_PERIOD_US)}`,
    };
  }
  if (shares !== undefined) {
    const { weight, isCut } = weightOf((shares * WEIGHT.normal) / NORMAL_SHARES);
    if (isCut) {
      const became = Math.round((weight * NORMAL_SHARES) / WEIGHT.normal);
      asked.adjusted('os/linux/cpu-shares', String(shares), String(became));
    }
    yield { file: 'cpu.weight', value: String(weight) };
  }
  if (cpu?.request === undefined) return;
  const text = written(asked, 'resource/cpu', 'request');
  if (shares !== undefined) {
    asked.adjusted('resource/cpu', `request ${text}`, 'none: os/linux/cpu-shares says the same');
    return;
  }
  // A processor asked for is a normal share of one.
  const { weight, isCut } = weightOf(amountOf(cpu.request, 1000) / (1000 / WEIGHT.normal));
  if (isCut)
    asked.adjusted(
      'resource/cpu',
      `request ${text}`,
      `${String((weight * 1000) / WEIGHT.normal)}m`,
    );
  yield { file: 'cpu.weight', value: String(weight) };
}

function* pidsSettings(asked: Asked, level: Level): Generator<CgroupSetting> {
  const pids = asked.value('jetpack/pids-max');
  if (pids === undefined) return;
  const most = pids.limit + (level === 'pod' ? OWN_PROCESSES : 0);
  yield { file: 'pids.max', value: String(most) };
}

/** Which controller an isolator needs. */
const CONTROLLERS = {
  'resource/memory': 'memory',
  'resource/cpu': 'cpu',
  'os/linux/cpu-shares': 'cpu',
  'jetpack/pids-max': 'pids',
} as const;

function checkControllers(asked: Asked): void {
  const needed = Object.entries(CONTROLLERS).filter(([name]) => asked.names().includes(name));
  if (needed.length === 0) return;
  const hierarchy = findCgroup2();
  for (const [name, controller] of needed) {
    if (hierarchy === undefined) asked.refuse(name, 'the host has no cgroup v2');
    if (!hierarchy.controllers.includes(controller)) {
      asked.refuse(
        name,
        `the unified cgroup hierarchy at ${hierarchy.root} has no ${controller} controller`,
      );
    }
  }
}

/** Without a look at the host. Throws ManifestError for impossible values. */
export function settingsOf(asked: Asked, level: Level): readonly CgroupSetting[] {
  return [...memorySettings(asked), ...cpuSettings(asked), ...pidsSettings(asked, level)];
}

/** Impossible values are told before what the host lacks. */
export function resourceSettings(asked: Asked, level: Level): readonly CgroupSetting[] {
  const settings = settingsOf(asked, level);
  checkControllers(asked);
  return settings;
}
