import { describe, expect, it } from 'vitest';

import { checkPlan } from '../../../src/pod/check-plan.ts';
import type { Plan, PlanApp } from '../../../src/pod/plan.ts';

const app: PlanApp = {
  name: 'web',
  rootfs: { kind: 'zfs', source: 'a/b', readOnly: false },
  exec: ['/bin/web'],
  env: [],
  passwdEnv: true,
  cwd: '/',
  user: '0',
  group: '0',
  groups: [],
  caps: 0n,
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
};
const plan = (more: Partial<PlanApp>): Plan => ({
  uuid: '00000000-0000-4000-8000-000000000000',
  dir: '/pods/u',
  hostname: 'h',
  net: { kind: 'none' },
  cgroup: undefined,
  metadata: { port: 1104, uid: 999, gid: 995, warn: true },
  logMaxBytes: 1,
  logKeep: 1,
  stopGraceMs: 1,
  reap: [],
  remove: [],
  apps: [{ ...app, ...more }],
});
const mount = (target: string) => ({
  mounts: [{ kind: 'zfs' as const, source: 'a/b', target, options: [] }],
});
const many = (count: number) => Array.from({ length: count }, (_, i) => i);

describe('what the shim would refuse is refused before, in words', () => {
  it('and nothing else', () => {
    expect(() => {
      checkPlan(
        plan({
          groups: many(64),
          env: many(4096).map((i) => `A${String(i)}=`),
          ...mount(`/${'x'.repeat(255)}`),
        }),
      );
    }).not.toThrow();
  });

  it.each([
    [{ exec: [''] }, 'app web, exec: the name of the program is empty'],
    [{ preStart: [''] }, 'app web, pre-start'],
    [{ exec: many(4097).map(String) }, '4097 words, at most 4096'],
    [{ groups: many(65) }, '65 groups, at most 64'],
    [{ env: many(4097).map((i) => `A${String(i)}=`) }, '4097 variables'],
    [{ env: [`A=${'x'.repeat(2 ** 20)}`] }, 'at most 1048576'],
    [
      { listen: many(65).map((port) => ({ name: 'a', protocol: 'tcp' as const, port })) },
      '65 sockets to be passed, at most 64',
    ],
    [{ listen: [{ name: 'a', protocol: 'tcp', port: 65536 }] }, '"a" goes beyond port 65535'],
    [{ user: '' }, 'app web, user: it is empty'],
    [{ cwd: 'rel' }, '"rel" is not an absolute path'],
    [mount('/'), 'over the whole root'],
    [mount(`/${'x'.repeat(256)}`), 'more than 255 bytes'],
    [mount(`/${'x/'.repeat(2100)}x`), 'at most 4095 bytes'],
  ] as const)('case %#', (more, message) => {
    expect(() => {
      checkPlan(plan(more));
    }).toThrow(message);
  });
});
