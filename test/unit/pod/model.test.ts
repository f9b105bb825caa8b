import { describe, expect, it } from 'vitest';

import { appStatus, parseStatusLines, podState } from '../../../src/pod/model.ts';
import { decide } from '../../../src/pod/collect.ts';

const facts = { marker: undefined, leased: false, answers: false, hasMeta: false } as const;

describe('the state of a pod', () => {
  it.each([
    [{ ...facts, leased: true }, 'embryo'],
    [{ ...facts, leased: true, hasMeta: true }, 'preparing'],
    [{ ...facts, hasMeta: true }, 'aborted'],
    [facts, 'aborted'],
    [{ ...facts, marker: 'prepared' }, 'prepared'],
    // The supervisor answers before it renames the marker.
    [{ ...facts, marker: 'prepared', answers: true }, 'running'],
    [{ ...facts, marker: 'running', answers: true }, 'running'],
    // Killed: the kernel closed its socket.
    [{ ...facts, marker: 'running' }, 'exited'],
    [{ ...facts, marker: 'exited' }, 'exited'],
    [{ ...facts, marker: 'garbage' }, 'garbage'],
    [{ ...facts, marker: 'deleting' }, 'deleting'],
  ] as const)('of %o is %s', (input, state) => {
    expect(podState(input)).toBe(state);
  });
});

describe('the status of an app', () => {
  const app = { name: 'web', imageId: 'sha512-0', imageName: 'web' };

  it('is told by the supervisor', () => {
    const lines = parseStatusLines(
      'state=exited\npid=12\nexit=137\nsignal=9\noom=1\nstarted=a\nfinished=b\n',
    );
    expect(appStatus(app, lines, false)).toMatchObject({
      state: 'exited',
      pid: undefined,
      exitStatus: 137,
      signal: 9,
      oomKilled: true,
    });
  });

  it('is exited without a status when the supervisor was killed', () => {
    expect(appStatus(app, parseStatusLines('state=running\npid=12\n'), false)).toMatchObject({
      state: 'exited',
      pid: undefined,
      exitStatus: undefined,
    });
    expect(appStatus(app, parseStatusLines('state=running\npid=12\n'), true)).toMatchObject({
      state: 'running',
      pid: 12,
    });
  });

  it('waits between two starts, and has ended when its supervisor was killed meanwhile', () => {
    const lines = parseStatusLines('state=waiting\nrestarts=4\nexit=3\nsignal=0\n');
    expect(appStatus(app, lines, true)).toMatchObject({
      state: 'waiting',
      restarts: 4,
      exitStatus: 3,
      pid: undefined,
    });
    expect(appStatus(app, lines, false)).toMatchObject({ state: 'exited', exitStatus: 3 });
  });

  it('is created before the first start', () => {
    expect(appStatus(app, {}, false)).toMatchObject({ state: 'created', exitStatus: undefined });
  });
});

describe('what gc does with a pod', () => {
  const options = {
    gracePeriodMs: 1000,
    expirePreparedMs: 5000,
    markOnly: false,
    dryRun: false,
    nowMs: 0,
  };

  it.each([
    ['running', 1e9, false],
    ['preparing', 1e9, false],
    ['embryo', 1e9, false],
    ['exited', 999, false],
    ['exited', 1000, true],
    ['garbage', 1000, true],
    ['prepared', 4999, false],
    ['prepared', 5000, true],
    ['aborted', 0, true],
    ['deleting', 0, true],
  ] as const)('of state %s and age %i ms: removes it: %s', (state, ageMs, remove) => {
    expect(decide(state, ageMs, options).remove).toBe(remove);
  });
});
