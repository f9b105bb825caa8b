/** The names of the flags that are isolators in other words; what they mean is in isolator-flags.ts. */
import type { Flags } from './run-grammar.ts';

export interface IsolatorFlags {
  readonly one: readonly string[];
  /** The general one: NAME=JSON, repeated. */
  readonly many: string;
  /** Repeated, KEY=VALUE. */
  readonly sysctl?: string;
}

export const ISOLATOR_FLAGS: Readonly<Record<'app' | 'pod', IsolatorFlags>> = {
  app: {
    one: [
      'memory',
      'cpu',
      'cpu-shares',
      'caps-retain',
      'caps-remove',
      'seccomp',
      'oom-score-adj',
      'no-new-privileges',
      'pids',
      'disk-quota',
    ],
    many: 'isolator',
  },
  pod: { one: ['pod-memory', 'pod-cpu', 'pod-pids'], many: 'pod-isolator', sysctl: 'sysctl' },
};

/** Whether any of them was given: only then their meaning is loaded. */
export function hasIsolatorFlags(flags: Flags, scope: 'app' | 'pod'): boolean {
  const { one, many, sysctl } = ISOLATOR_FLAGS[scope];
  return (
    one.some((flag) => flags.one.has(flag)) ||
    flags.many.has(many) ||
    (sysctl !== undefined && flags.many.has(sysctl))
  );
}
