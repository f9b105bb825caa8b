import os from 'node:os';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { testPool } from '../support/environment.ts';
import { JetpackHost, makeBusyboxAci, until } from '../support/jetpack-host.ts';

const pool = testPool();

describe.skipIf(pool === undefined)('many pods', () => {
  let host: JetpackHost;

  beforeAll(() => {
    host = new JetpackHost(pool ?? '');
    host.must('init');
    host.must('import', '--insecure-options=image', makeBusyboxAci(host));
  });
  afterAll(() => {
    host.remove();
  });

  // Under User-Mode Linux a system call takes fifty times as long.
  const cycles = os.release().includes('uml') ? 40 : 200;
  it(`leave nothing behind after ${String(cycles)} runs one after the other`, () => {
    const before = host.traces();
    for (let i = 0; i < cycles; i += 1) {
      const done = host.jetpack(['run', '--rm', 'busybox', '--', 'echo', String(i)]);
      expect(done).toEqual({ status: 0, stdout: `${String(i)}\n`, stderr: '' });
    }
    expect(host.traces()).toEqual(before);
  });

  it('run 50 at once, and leave nothing behind', async () => {
    const before = host.traces();
    const codes = await Promise.all(
      Array.from({ length: 50 }, (_, i) => {
        const child = host.start(
          ['run', '-d', `--name=p${String(i)}`, 'busybox', '--', 'sleep', '600'],
          'ignore',
        );
        return new Promise<number | null>((resolve) => child.once('exit', resolve));
      }),
    );
    expect(codes).toEqual(Array.from({ length: 50 }, () => 0));
    const pods = host.json('list') as { uuid: string; state: string }[];
    expect(pods.filter(({ state }) => state === 'running')).toHaveLength(50);
    host.must('rm', '--force', ...pods.map(({ uuid }) => uuid));
    await until('processes are gone', () => host.processes().length === 0);
    expect(host.traces()).toEqual(before);
  });
});
