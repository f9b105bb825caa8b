import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { encodePlan, type Plan, type PlanApp } from '../../../src/pod/plan.ts';

const app: PlanApp = {
  name: 'web',
  rootfs: { kind: 'zfs', source: 'tank/jetpack/pods/u/web', readOnly: false },
  exec: ['/bin/web', '', 'two\nlines'],
  env: ['PATH=/bin'],
  passwdEnv: true,
  cwd: '/',
  user: '0',
  group: '0',
  groups: [4, 5],
  caps: 0xffn,
  capsOthers: 0n,
  noNewPrivs: true,
  seccomp: '/lib/seccomp.bpf',
  oomScoreAdj: undefined,
  cgroup: [],
  mask: ['/proc/kcore'],
  readonly: [],
  mounts: [{ kind: 'bind', source: '/srv', target: '/srv', options: ['ro', 'rec'] }],
  preStart: undefined,
  postStop: ['/bin/bye'],
  stopSignal: 15,
  notify: false,
  listen: [],
};

const plan: Plan = {
  uuid: '00000000-0000-4000-8000-000000000000',
  dir: '/pods/u',
  hostname: 'h',
  net: { kind: 'none' },
  cgroup: undefined,
  metadata: { port: 1104, uid: 999, gid: 995, warn: true },
  logMaxBytes: 1,
  logKeep: 2,
  stopGraceMs: 3,
  reap: [],
  remove: [['/sbin/zfs', 'destroy']],
  apps: [app],
};

/** A reader of the encoding, as shim/PLAN.md has it; nothing is shared with the writer. */
function decode(bytes: Buffer): string[][] {
  const records: string[][] = [];
  let at = 0;
  const field = () => {
    const end = bytes.indexOf(0, at);
    if (end === -1) throw new Error('no NUL');
    const text = bytes.toString('utf8', at, end);
    at = end + 1;
    return text;
  };
  while (at < bytes.length) {
    const key = field();
    const count = Number(field());
    const fields = Array.from({ length: count }, field);
    if (bytes[at] !== 10) throw new Error(`no LF after ${key}`);
    at += 1;
    records.push([key, ...fields]);
  }
  return records;
}

describe('the plan file', () => {
  it('begins with its version and ends with end', () => {
    const records = decode(encodePlan(plan));
    expect(records[0]).toEqual(['jetpack-plan', '1']);
    expect(records.at(-1)).toEqual(['end']);
  });

  it('says when an app is started again, if ever', () => {
    const records = (restart: PlanApp['restart']) =>
      decode(encodePlan({ ...plan, apps: [{ ...app, restart }] })).filter(
        ([key]) => key === 'restart',
      );
    expect(records(undefined)).toEqual([]);
    expect(records({ policy: 'always' })).toEqual([['restart', 'always']]);
    expect(records({ policy: 'on-failure', max: 3 })).toEqual([['restart', 'on-failure', '3']]);
  });

  it('holds every field, empty ones and newlines included', () => {
    const records = decode(encodePlan(plan));
    expect(records).toContainEqual(['exec', '/bin/web', '', 'two\nlines']);
    expect(records).toContainEqual(['caps', '00000000000000ff', '0000000000000000']);
    expect(records).toContainEqual(['mount', 'bind', '/srv', '/srv', 'ro,rec']);
    expect(records).toContainEqual(['groups', '4', '5']);
    expect(records).toContainEqual(['post-stop', '/bin/bye']);
    expect(records).toContainEqual(['metadata', '1104', '999', '995', '1']);
    expect(records.some(([key]) => key === 'pre-start' || key === 'oom-score-adj')).toBe(false);
  });

  it('holds kernel parameters and labels where there are some', () => {
    const records = decode(
      encodePlan({
        ...plan,
        sysctls: [['kernel.sem', '1 2 3 4']],
        netRate: { tc: '/sbin/tc', nft: '/sbin/nft', bytesPerSecond: 5000 },
        apps: [{ ...app, execLabel: { module: 'apparmor', label: 'web' } }],
      }),
    );
    expect(records).toContainEqual(['sysctl', 'kernel.sem', '1 2 3 4']);
    expect(records).toContainEqual(['net-rate', '/sbin/tc', '/sbin/nft', '5000']);
    expect(records).toContainEqual(['exec-label', 'apparmor', 'web']);
  });

  it('tells of readiness and sockets only where there are any', () => {
    const keys = decode(encodePlan(plan)).map(([key]) => key);
    expect(keys).not.toContain('notify');
    expect(keys).not.toContain('listen');
    const more = { notify: true, listen: [{ name: 'dns', protocol: 'udp', port: 53 }] } as const;
    const records = decode(encodePlan({ ...plan, apps: [{ ...app, ...more }] }));
    expect(records).toContainEqual(['notify', '1']);
    expect(records).toContainEqual(['listen', 'dns', 'udp', '53']);
  });

  it('survives any argument without NUL', () => {
    const text = fc
      .string({ unit: 'binary' })
      .filter((value) => !value.includes('\0') && value.isWellFormed());
    fc.assert(
      fc.property(fc.array(text, { minLength: 1 }), (exec) => {
        const found = decode(encodePlan({ ...plan, apps: [{ ...app, exec }] })).find(
          ([key]) => key === 'exec',
        );
        expect(found).toEqual(['exec', ...exec]);
      }),
    );
  });
});
