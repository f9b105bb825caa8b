import { describe, expect, it } from 'vitest';

import {
  findRestart,
  findSignal,
  restartOf,
  stopSignalOf,
} from '../../../src/pod/app-annotations.ts';
import type { PodApp } from '../../../src/schema/pod-manifest.ts';

const app = (name: string, value: string) =>
  ({ name: 'web', annotations: [{ name, value }] }) as unknown as PodApp;

describe('the restart policy of an app', () => {
  it.each([
    ['no', { policy: 'no' }],
    ['always', { policy: 'always' }],
    ['on-failure', { policy: 'on-failure' }],
    ['on-failure:5', { policy: 'on-failure', max: 5 }],
    ['on-failure:1000000', { policy: 'on-failure', max: 1_000_000 }],
  ])('%s is read', (text, policy) => {
    expect(findRestart(text)).toEqual(policy);
  });

  it.each(['', 'No', 'always:3', 'on-failure:', 'on-failure:0', 'on-failure:03', 'on-failure:-1'])(
    '"%s" is refused',
    (text) => {
      expect(findRestart(text)).toBeUndefined();
      expect(() => restartOf(app('jetpack/restart', text))).toThrow('is no restart policy');
    },
  );

  it('has a limit that the shim takes', () => {
    expect(findRestart('on-failure:1000001')).toBeUndefined();
  });

  it('is none without the annotation', () => {
    expect(restartOf(app('something/else', 'always'))).toBeUndefined();
    expect(restartOf({ name: 'web' } as PodApp)).toBeUndefined();
  });
});

describe('the stop signal of an app', () => {
  it.each([
    ['TERM', 15],
    ['SIGQUIT', 3],
    ['int', 2],
    ['64', 64],
    ['SIGRTMIN', 34],
    ['SIGRTMIN+3', 37],
    ['rtmax-2', 62],
  ])('%s is read', (text, signal) => {
    expect(findSignal(text)).toBe(signal);
    expect(stopSignalOf(app('jetpack/stop-signal', text))).toBe(signal);
  });

  it.each(['', '0', '65', '1.5', '0x1', 'NOPE', 'SIG', 'RTMIN-1', 'RTMAX+1', 'RTMIN+x'])(
    '"%s" is refused',
    (text) => {
      expect(findSignal(text)).toBeUndefined();
      expect(() => stopSignalOf(app('jetpack/stop-signal', text))).toThrow('there is no signal');
    },
  );
});
