import { describe, expect, it } from 'vitest';

import { capabilityBit, capabilitySets } from '../../../src/runtime/capabilities.ts';
import { childExec } from '../../../src/exec/child.ts';
import { LinuxRuntime } from '../../../src/runtime/linux.ts';

const whole = { capabilities: true, seccomp: true, paths: true };
const runtime = new LinuxRuntime({ architecture: 'x64', libexec: '/libexec', exec: childExec });
const app = (list: unknown[] = [], isolation = whole) => ({
  name: 'web',
  app: { user: '0', group: '0', isolators: list } as never,
  at: 'apps[0].app.isolators',
  isolation,
  network: { kind: 'none' } as const,
  podIsolators: [],
  alone: true,
  hostPaths: [],
});

describe('capabilities', () => {
  it('have the numbers of the kernel', () => {
    expect(capabilityBit('CAP_CHOWN')).toBe(1n);
    for (const text of ['net_raw', 'NET_RAW', 'CAP_NET_RAW', 'cap_net_raw'])
      expect(capabilityBit(text)).toBe(1n << 13n);
    expect(capabilityBit('CAP_CHECKPOINT_RESTORE')).toBe(1n << 40n);
    expect(capabilityBit('CAP_NONSENSE')).toBeUndefined();
  });

  it('are the 14 of appc by default, and none for users other than 0', () => {
    const { caps, capsOthers } = capabilitySets('web', {});
    expect(caps.toString(2).replaceAll('0', '')).toHaveLength(14);
    expect(caps & (capabilityBit('SYS_ADMIN') ?? 0n)).toBe(0n);
    expect(capsOthers).toBe(0n);
  });

  it('are exactly the retained ones, for every user', () => {
    const sets = capabilitySets('web', { retain: ['CAP_NET_ADMIN'] });
    expect(sets).toEqual({ caps: 1n << 12n, capsOthers: 1n << 12n });
  });

  it('lack the removed ones', () => {
    const { caps } = capabilitySets('web', { remove: ['CAP_CHOWN'] });
    expect(caps & 1n).toBe(0n);
    expect(caps.toString(2).replaceAll('0', '')).toHaveLength(13);
  });

  it('refuse names that do not exist', () => {
    expect(() => capabilitySets('web', { retain: ['CAP_FLY'] })).toThrow('no capability "CAP_FLY"');
  });
});

describe('confinement of an app', () => {
  it('is whole by default', async () => {
    const confined = await runtime.confineApp(app());
    expect(confined).toMatchObject({
      noNewPrivs: true,
      seccomp: { file: '/libexec/seccomp-default.bpf' },
    });
    expect(confined.mask).toContain('/proc/kcore');
    expect(confined.readonly).toContain('/proc/sys');
  });

  it('loses only the parts that were turned off', async () => {
    const confined = await runtime.confineApp(app([], { ...whole, seccomp: false, paths: false }));
    expect(confined).toMatchObject({ seccomp: undefined, mask: [], readonly: [] });
    expect(confined.caps).toBe((await runtime.confineApp(app())).caps);
  });

  it('obeys the manifest on new privileges', async () => {
    const confined = await runtime.confineApp(
      app([{ name: 'os/linux/no-new-privileges', value: false }]),
    );
    expect(confined.noNewPrivs).toBe(false);
  });

  it('reports isolators it does not know', async () => {
    const confined = await runtime.confineApp(app([{ name: 'example/unheard-of', value: 1 }]));
    expect(confined.report.ignored).toEqual(['example/unheard-of']);
  });

  it('refuses, by name, what it knows but cannot enforce', async () => {
    const confined = runtime.confineApp(
      app([{ name: 'resource/block-iops', value: { default: true, limit: '5' } }]),
    );
    await expect(confined).rejects.toThrow('app web asks for resource/block-iops');
  });
});
