import { describe, expect, it } from 'vitest';

import { encodePlan, type Plan, type PlanApp } from '../../../src/pod/plan.ts';
import { appsOfPlan, hasCgroup, withApp, withoutApp } from '../../../src/pod/plan-groups.ts';

const app = (name: string, more: Partial<PlanApp> = {}): PlanApp => ({
  name,
  rootfs: { kind: 'zfs', source: `tank/pods/u/${name}`, readOnly: false },
  exec: ['/bin/sh', '-c', 'end\nof app\n', 'app', ''],
  env: ['PATH=/bin'],
  passwdEnv: true,
  cwd: '/',
  user: '0',
  group: '0',
  groups: [],
  caps: 1n,
  capsOthers: 0n,
  noNewPrivs: true,
  seccomp: undefined,
  oomScoreAdj: undefined,
  cgroup: [],
  mask: [],
  readonly: [],
  mounts: [],
  preStart: undefined,
  postStop: undefined,
  stopSignal: 15,
  notify: false,
  listen: [],
  ...more,
});

const plan = (...apps: readonly PlanApp[]): Plan => ({
  uuid: '00000000-0000-4000-8000-000000000000',
  dir: '/pods/u',
  hostname: 'h',
  mutable: true,
  net: { kind: 'none' },
  cgroup: undefined,
  metadata: undefined,
  logMaxBytes: 4096,
  logKeep: 1,
  stopGraceMs: 1,
  reap: [],
  remove: [],
  apps,
});
const bytes = (...apps: readonly PlanApp[]) => encodePlan(plan(...apps));

describe('groups of apps in a plan', () => {
  it('an added app stands where a plan of all would have it', () => {
    expect(withApp(bytes(), app('a'))).toEqual(bytes(app('a')));
    expect(withApp(bytes(app('a')), app('b'))).toEqual(bytes(app('a'), app('b')));
  });

  it('a removed app leaves the plan of the others', () => {
    const three = bytes(app('a'), app('b', { restart: { policy: 'always' } }), app('c'));
    expect(withoutApp(three, 'b')).toEqual(bytes(app('a'), app('c')));
    expect(withoutApp(three, 'c')).toEqual(
      bytes(app('a'), app('b', { restart: { policy: 'always' } })),
    );
    expect(withoutApp(bytes(app('a')), 'a')).toEqual(bytes());
  });

  it('a name that only stands in the arguments of another app is no app', () => {
    const one = bytes(app('a', { exec: ['/bin/x', 'b', 'app'] }));
    expect(withoutApp(one, 'b')).toBe(one);
    expect(appsOfPlan(one)).toEqual(['a']);
  });

  it('knows whether the pod, not an app, has a control group', () => {
    expect(hasCgroup(bytes(app('a')))).toBe(false);
    const limited = { ...plan(app('a')), cgroup: { path: '/sys/fs/cgroup/j/u', settings: [] } };
    expect(hasCgroup(encodePlan(limited))).toBe(true);
  });

  it('refuses what is no plan', () => {
    const whole = bytes(app('a'));
    for (const cut of [1, 5, 40, whole.length - 1]) {
      expect(() => appsOfPlan(whole.subarray(0, cut))).toThrow('the plan of the pod');
    }
    expect(() => appsOfPlan(Buffer.alloc(0))).toThrow('has no end');
  });
});
