/**
 * Changes of a plan file by whole groups of apps (shim/PLAN.md, "Encoding"): what belongs to the pod and to the other apps
 * stays as it was compiled when it was prepared, byte for byte. Pure.
 */
import { PodError } from '../errors.ts';
import { encodePlanApp, type PlanApp } from './plan.ts';

interface Span {
  readonly key: string;
  readonly firstField: string;
  readonly from: number;
  readonly to: number;
}

/** Every record, with its place. Throws POD_INVALID for bytes that are no plan. */
function* recordsOf(plan: Buffer): Generator<Span> {
  let at = 0;
  const field = (): string => {
    const end = plan.indexOf(0, at);
    if (end === -1) throw new PodError('POD_INVALID', 'the plan of the pod is damaged');
    const text = plan.toString('utf8', at, end);
    at = end + 1;
    return text;
  };
  while (at < plan.length) {
    const from = at;
    const key = field();
    const count = Number(field());
    let firstField = '';
    for (let i = 0; i < count; i += 1) {
      const text = field();
      if (i === 0) firstField = text;
    }
    if (plan[at] !== 0x0a) throw new PodError('POD_INVALID', 'the plan of the pod is damaged');
    at += 1;
    yield { key, firstField, from, to: at };
  }
}

interface Group {
  readonly name: string;
  readonly from: number;
  readonly to: number;
}

function groupsOf(plan: Buffer): { readonly groups: readonly Group[]; readonly end: number } {
  const records = [...recordsOf(plan)];
  const end = records.at(-1);
  if (end?.key !== 'end') throw new PodError('POD_INVALID', 'the plan of the pod has no end');
  const starts = records.filter(({ key }) => key === 'app');
  const groups = starts.map(({ firstField, from }, i) => ({
    name: firstField,
    from,
    to: starts[i + 1]?.from ?? end.from,
  }));
  return { groups, end: end.from };
}

/** The names of its apps, in order. */
export function appsOfPlan(plan: Buffer): readonly string[] {
  return groupsOf(plan).groups.map(({ name }) => name);
}

/** Whether the pod has a control group of its own. */
export function hasCgroup(plan: Buffer): boolean {
  for (const { key } of recordsOf(plan)) {
    if (key === 'app') return false;
    if (key === 'cgroup') return true;
  }
  return false;
}

/** With the app as its last one. */
export function withApp(plan: Buffer, app: PlanApp): Buffer {
  const { end } = groupsOf(plan);
  return Buffer.concat([plan.subarray(0, end), encodePlanApp(app), plan.subarray(end)]);
}

/** Without the app; the same where it has no such app. */
export function withoutApp(plan: Buffer, name: string): Buffer {
  const group = groupsOf(plan).groups.find((candidate) => candidate.name === name);
  if (group === undefined) return plan;
  return Buffer.concat([plan.subarray(0, group.from), plan.subarray(group.to)]);
}
