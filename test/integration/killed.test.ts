import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { testPool } from '../support/environment.ts';
import {
  JetpackHost,
  makeBusyboxAci,
  PROJECT,
  until,
  type Traces,
} from '../support/jetpack-host.ts';

const pool = testPool();
/** The kernel of User-Mode Linux 6.12 panics when a process is killed in the middle of its fork(2): no kills by time there. */
const byTime = (times: readonly number[]) => (os.release().includes('uml') ? [] : times);
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Whatever is killed with SIGKILL, wherever: gc brings the host back to what it was. */
describe.skipIf(pool === undefined)('killed with SIGKILL', () => {
  let host: JetpackHost;
  let before: Traces;

  beforeAll(() => {
    host = new JetpackHost(pool ?? '');
    host.must('init');
    host.must('import', '--insecure-options=image', makeBusyboxAci(host));
  });
  afterAll(() => {
    host.remove();
  });
  beforeEach(() => {
    before = host.traces();
  });
  afterEach(async () => {
    await collect();
    expect(host.traces()).toEqual(before);
  });

  /** What was killed may take a moment to be gone. */
  async function collect(): Promise<void> {
    await until('processes are gone', () => host.processes().length === 0);
    host.must('gc', '--grace-period=0', '--expire-prepared=0');
  }

  it('a prepare leaves nothing at any of its steps', async () => {
    for (let step = 0; ; step += 1) {
      const child = spawnSync(
        process.execPath,
        [path.join(PROJECT, 'test/support/prepare-child.ts'), host.conf, 'busybox', String(step)],
        { encoding: 'utf8' },
      );
      if (child.status === 3) {
        expect(step).toBeGreaterThan(6);
        return;
      }
      expect(child.signal, child.stderr).toBe('SIGKILL');
      const states = (host.json('list', '--all') as { state: string }[]).map(({ state }) => state);
      expect(states.every((state) => state === 'aborted')).toBe(true);
      await collect();
      expect(host.traces(), `after step ${String(step)}`).toEqual(before);
    }
  });

  it.each(byTime([0, 10, 20, 30, 40, 50, 60, 80, 100, 120, 150, 200]))(
    'a run is whole or gone, %i ms after its start',
    async (ms) => {
      const child = host.start(
        ['run', '--rm', 'busybox', '--', 'sh', '-c', 'sleep 0.05'],
        'ignore',
      );
      await sleep(ms);
      child.kill('SIGKILL');
      await collect();
      expect(host.traces()).toEqual(before);
    },
  );

  it.each(byTime([0, 40, 80, 120, 160, 200]))(
    'a removal is finished by gc, %i ms after its start',
    async (ms) => {
      const uuid = host.must(
        'prepare',
        '--volume=v,kind=empty',
        '--mount=v:/v',
        '--name=removed',
        'busybox',
        '--',
        'true',
      );
      const child = host.start(['rm', uuid], 'ignore');
      await sleep(ms);
      child.kill('SIGKILL');
      const state = host.jetpack(['status', '--json', uuid]);
      if (state.status === 0)
        expect(JSON.parse(state.stdout)).toMatchObject({
          state: expect.stringMatching(/^(prepared|deleting|aborted)$/),
        });
      await collect();
      expect(host.traces()).toEqual(before);
    },
  );

  it.each(byTime([50, 100, 150, 200, 250, 300, 400]))(
    'an import is whole or gone, %i ms after its start',
    async (ms) => {
      const file = path.join(host.dir, 'busybox.aci');
      host.must('image', 'rm', 'busybox');
      const child = host.start(['import', '--insecure-options=image', file], 'ignore');
      await sleep(ms);
      child.kill('SIGKILL');
      await collect();
      const images = host.json('images') as { id: string }[];
      if (images.length === 1) host.must('image', 'verify', 'busybox');
      else expect(images).toEqual([]);
      host.must('import', '--insecure-options=image', file);
      await collect();
      expect(host.traces()).toEqual(before);
    },
  );

  it('a running pod goes down with its supervisor at any time of its life', async () => {
    for (const ms of [0, 5, 10, 20, 40]) {
      host.must(
        'run',
        '-d',
        '--name=doomed',
        'busybox',
        '--',
        'sh',
        '-c',
        'while :; do echo tick; done',
      );
      await sleep(ms);
      const { supervisorPid, initPid } = host.json('status', 'doomed') as {
        supervisorPid: number;
        initPid: number;
      };
      expect(supervisorPid).toBeGreaterThan(1);
      process.kill(supervisorPid, 'SIGKILL');
      await until('the pod is gone', () => !existsSync(`/proc/${String(initPid)}`));
      expect(host.json('status', 'doomed')).toMatchObject({
        state: 'exited',
        supervisorKilled: true,
      });
      await collect();
      expect(host.traces()).toEqual(before);
    }
  });
});
