import { describe, expect, it } from 'vitest';

import { Asked } from '../../../src/runtime/asked.ts';
import { settingsOf } from '../../../src/runtime/resource-limits.ts';

function settle(level: 'app' | 'pod', ...isolators: readonly [string, unknown][]) {
  const asked = new Asked(
    'app web',
    'apps[1].app.isolators',
    isolators.map(([name, value]) => ({ name, value })) as never,
  );
  const settings = settingsOf(asked, level);
  return {
    files: Object.fromEntries(settings.map(({ file, value }) => [file, value])),
    adjusted: asked.report().adjusted,
  };
}

describe('limits of resources', () => {
  it('are the files of a control group', () => {
    const { files, adjusted } = settle(
      'app',
      ['resource/memory', { limit: '64Mi', request: '32Mi' }],
      ['resource/cpu', { limit: '500m' }],
      ['jetpack/pids-max', { limit: 20 }],
    );
    expect(files).toEqual({
      'memory.max': '67108864',
      'memory.swap.max': '0',
      'memory.low': '33554432',
      'cpu.max': '50000 100000',
      'pids.max': '20',
    });
    expect(adjusted).toEqual([]);
  });

  it('leave room for the own process of a pod', () => {
    expect(settle('pod', ['jetpack/pids-max', { limit: 20 }]).files).toEqual({ 'pids.max': '21' });
  });

  it('may be more than the machine has', () => {
    expect(settle('app', ['resource/cpu', { limit: '5000' }]).files['cpu.max']).toBe(
      '500000000 100000',
    );
    expect(settle('app', ['resource/cpu', { limit: '8E' }]).files['cpu.max']).toBe('max 100000');
    expect(settle('app', ['resource/memory', { limit: '8Ei' }]).files['memory.max']).toBe('max');
  });

  it('that are not whole pages or quotas are adjusted, and told with what they became', () => {
    const { files, adjusted } = settle(
      'app',
      ['resource/memory', { limit: '5000000' }],
      ['resource/cpu', { limit: '5m' }],
    );
    expect(files).toMatchObject({ 'memory.max': '4997120', 'cpu.max': '1000 100000' });
    expect(adjusted).toEqual([
      { isolator: 'resource/memory', from: '5000000', to: '4997120' },
      { isolator: 'resource/cpu', from: '5m', to: '10m' },
    ]);
    expect(settle('app', ['resource/cpu', { limit: '0.333333' }]).adjusted).toEqual([
      { isolator: 'resource/cpu', from: '0.333333', to: '333.34m' },
    ]);
  });

  it('that are impossible are named by their place', () => {
    const place = 'at apps[1].app.isolators[0].value.limit: ';
    for (const limit of ['0', '1', '100Ki'])
      expect(() => settle('app', ['resource/memory', { limit }])).toThrow(
        `${place}is less than 1Mi`,
      );
    for (const limit of ['0', '0.0001'])
      expect(() => settle('app', ['resource/cpu', { limit }])).toThrow(`${place}is less than 1m`);
  });

  it('of shares keep the proportions, with 1024 as the normal weight', () => {
    const weight = (shares: number) =>
      settle('app', ['os/linux/cpu-shares', shares]).files['cpu.weight'];
    expect([2, 512, 1024, 2048, 102_400, 262_144].map(weight)).toEqual([
      '1',
      '50',
      '100',
      '200',
      '10000',
      '10000',
    ]);
    expect(settle('app', ['os/linux/cpu-shares', 262_144]).adjusted).toEqual([
      { isolator: 'os/linux/cpu-shares', from: '262144', to: '102400' },
    ]);
  });

  it('take a request of processors for a weight, unless shares say another', () => {
    expect(settle('app', ['resource/cpu', { request: '2' }]).files).toEqual({
      'cpu.weight': '200',
    });
    const both = settle('app', ['resource/cpu', { request: '2' }], ['os/linux/cpu-shares', 512]);
    expect(both.files).toEqual({ 'cpu.weight': '50' });
    expect(both.adjusted).toHaveLength(1);
  });
});
