import { describe, expect, it } from 'vitest';

import { JetpackError } from '../../../src/errors.ts';
import { childExec } from '../../../src/exec/child.ts';
import { Asked } from '../../../src/runtime/asked.ts';
import { findCgroup2 } from '../../../src/runtime/cgroup2.ts';
import { blockSettings } from '../../../src/runtime/block-limits.ts';
import { LinuxRuntime } from '../../../src/runtime/linux.ts';
import { networkRate } from '../../../src/runtime/network-limits.ts';
import { execLabelOf } from '../../../src/runtime/security-modules.ts';
import { sysctlsOf } from '../../../src/runtime/sysctl.ts';

const none = { kind: 'none' } as const;
const host = { kind: 'host' } as const;
const joined = { kind: 'ns', path: '/run/netns/a' } as const;

function asked(...isolators: readonly [name: string, value: unknown][]): Asked {
  return new Asked(
    'app web',
    'apps[0].app.isolators',
    isolators.map(([name, value]) => ({ name, value })) as never,
  );
}

function codeOf(run: () => unknown): string | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    return error instanceof JetpackError ? error.code : 'defect';
  }
}

describe('kernel parameters', () => {
  const set = (value: unknown, network: typeof none | typeof host | typeof joined = none) =>
    sysctlsOf(asked(['os/unix/sysctl', value]), { network });

  it('are those of ipc and network namespaces', () => {
    const all = { 'kernel.sem': '1 2 3 4', 'fs.mqueue.msg_max': '5', 'net.core.somaxconn': '6' };
    expect(set(all)).toEqual(Object.entries(all));
    expect(sysctlsOf(asked(), { network: none })).toEqual([]);
  });

  it('of the network need one of the own', () => {
    for (const network of [host, joined]) {
      expect(set({ 'kernel.shmmax': '1' }, network)).toHaveLength(1);
      expect(codeOf(() => set({ 'net.core.somaxconn': '6' }, network))).toBe(
        'POD_LIMIT_UNSUPPORTED',
      );
    }
  });

  it('never are those of the host', () => {
    for (const key of ['vm.swappiness', 'kernel.core_pattern', 'kernel.shmmaxx', 'fs.file-max'])
      expect(codeOf(() => set({ [key]: '1' }))).toBe('POD_LIMIT_UNSUPPORTED');
    for (const key of ['net', 'net.', 'net..x', 'net/x', 'net.a b', '../x', 'fs.mqueue.../x'])
      expect(codeOf(() => set({ [key]: '1' }))).toBe('MANIFEST_INVALID');
  });
});

describe('the bandwidth of the network', () => {
  const limit = (text: string) =>
    asked(['resource/network-bandwidth', { default: true, limit: text }]);

  it('is kept by whoever has loopback only', () => {
    expect(networkRate(limit('1M'), none, false)).toBeUndefined();
    expect(networkRate(asked(), joined, false)).toBeUndefined();
  });

  it('is refused on a network that others use, too', () => {
    expect(codeOf(() => networkRate(limit('1M'), host, false))).toBe('POD_LIMIT_UNSUPPORTED');
    expect(codeOf(() => networkRate(limit('1M'), joined, true))).toBe('POD_LIMIT_UNSUPPORTED');
    expect(codeOf(() => networkRate(limit('1023'), none, false))).toBe('MANIFEST_INVALID');
  });

  it('of a pod bounds that of its only app', async () => {
    const runtime = new LinuxRuntime({ architecture: 'x64', libexec: '/l', exec: childExec });
    const rate = (bytesPerSecond: number) => ({ tc: '/tc', nft: '/nft', bytesPerSecond });
    const confined = await runtime.confineApp({
      name: 'web',
      app: { user: '0', group: '0' },
      at: 'a',
      isolation: { capabilities: true, seccomp: true, paths: true },
      network: joined,
      podIsolators: [],
      alone: true,
      hostPaths: [],
    });
    const pod = { uuid: 'u', isolators: undefined, network: joined, hostPaths: [] };
    const bound = await runtime.confinePod(pod, [{ ...confined, netRate: rate(5000) }]);
    expect(bound.netRate).toEqual(rate(5000));
    expect((await runtime.confinePod(pod, [confined])).netRate).toBeUndefined();
  });
});

describe('labels of security modules', () => {
  const all = { profiles: () => ['web', 'with space'], has: () => true };
  const bare = { profiles: () => [], has: () => false };
  const profile = (text: string) => asked(['os/linux/apparmor-profile', { profile: text }]);
  const context = (value: object) => asked(['os/linux/selinux-context', value]);

  it('are the profile, where it is loaded', () => {
    expect(execLabelOf(profile('web'), all)).toEqual({ module: 'apparmor', label: 'web' });
    expect(execLabelOf(profile('with space'), all)?.label).toBe('with space');
    expect(execLabelOf(profile('unconfined'), all)?.label).toBe('unconfined');
    expect(() => execLabelOf(profile('other'), all)).toThrow('"other" is not loaded');
    expect(() => execLabelOf(profile('web'), bare)).toThrow('without AppArmor');
  });

  it('are the context, with or without a level', () => {
    const whole = { user: 'system_u', role: 'system_r', type: 'svirt_t', level: 's0:c1,c2' };
    expect(execLabelOf(context(whole), all)).toEqual({
      module: 'selinux',
      label: 'system_u:system_r:svirt_t:s0:c1,c2',
    });
    expect(execLabelOf(context({ ...whole, level: '' }), all)?.label).toBe(
      'system_u:system_r:svirt_t',
    );
    expect(codeOf(() => execLabelOf(context({ ...whole, type: '' }), all))).toBe(
      'MANIFEST_INVALID',
    );
    expect(codeOf(() => execLabelOf(context({ ...whole, type: 'a b' }), all))).toBe(
      'MANIFEST_INVALID',
    );
    expect(() => execLabelOf(context(whole), bare)).toThrow('without SELinux');
  });

  it('are none where none is asked for', () => {
    expect(execLabelOf(asked(), all)).toBeUndefined();
  });
});

describe('the report', () => {
  it('names isolators that are unknown, turned off, and fields that nobody knows', () => {
    const all = asked(
      ['example/unheard-of', { a: 1 }],
      ['resource/cpu', { limit: '1', burst: '2' }],
      ['os/unix/sysctl', { 'kernel.sem': '1' }],
      ['os/linux/seccomp-retain-set', { set: ['read'], errno: 'EPERM', action: 'log' }],
      ['os/linux/capabilities-remove-set', { set: ['CAP_KILL'] }],
    );
    all.turnedOff('os/linux/capabilities-remove-set');
    expect(all.report()).toEqual({
      enforced: ['resource/cpu', 'os/unix/sysctl', 'os/linux/seccomp-retain-set'],
      adjusted: [],
      ignored: [
        'example/unheard-of',
        'resource/cpu burst',
        'os/linux/seccomp-retain-set action',
        'os/linux/capabilities-remove-set',
      ],
    });
  });
});

describe('limits of disks', () => {
  it('are impossible below a page or an operation a second', () => {
    for (const [name, limit] of [
      ['resource/block-bandwidth', '4095'],
      ['resource/block-iops', '0'],
    ] as const)
      expect(codeOf(() => blockSettings(asked([name, { default: true, limit }]), []))).toBe(
        'MANIFEST_INVALID',
      );
  });

  it('are refused where nothing can be limited', () => {
    const wanted = asked(['resource/block-iops', { default: true, limit: '10' }]);
    const why = findCgroup2()?.controllers.includes('io') === true ? /ZFS|cannot limit/ : /no io/;
    expect(() => blockSettings(wanted, [])).toThrow(why);
  });
});

describe('a capability that does not exist', () => {
  it('is refused by its place', async () => {
    const runtime = new LinuxRuntime({ architecture: 'x64', libexec: '/l', exec: childExec });
    const confined = runtime.confineApp({
      name: 'web',
      app: {
        user: '0',
        group: '0',
        isolators: [
          { name: 'os/linux/capabilities-remove-set', value: { set: ['CAP_KILL', 'CAP_FLY'] } },
        ],
      } as never,
      at: 'apps[3].app.isolators',
      isolation: { capabilities: true, seccomp: true, paths: true },
      network: none,
      podIsolators: [],
      alone: true,
      hostPaths: [],
    });
    await expect(confined).rejects.toThrow(
      'at apps[3].app.isolators[0].value.set[1]: there is no capability "CAP_FLY"',
    );
  });
});
