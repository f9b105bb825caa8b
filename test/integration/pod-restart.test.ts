import { readFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { testPool } from '../support/environment.ts';
import { JetpackHost, makeBusyboxAci, until, type Traces } from '../support/jetpack-host.ts';

const pool = testPool();

interface PodJson {
  readonly state: string;
  readonly exitStatus: number | null;
  readonly supervisorPid: number | null;
  readonly apps: readonly {
    readonly name: string;
    readonly state: string;
    readonly restarts: number;
    readonly exitStatus: number | null;
    readonly pid: number | null;
  }[];
}

describe.skipIf(pool === undefined)('restart policies and the order of a stop', () => {
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
  afterEach(() => {
    for (const pod of host
      .must('list', '-q', '--all')
      .split('\n')
      .filter((line) => line !== ''))
      host.must('rm', '--force', pod);
    expect(host.traces()).toEqual(before);
  });

  const status = (pod: string) => host.json('status', pod) as PodJson;
  const app = (pod: string) => status(pod).apps[0];

  it('an app that fails is started again until it succeeds', () => {
    const script = 'echo try >> /tries; [ $(wc -l < /tries) -ge 3 ]';
    expect(
      host.jetpack([
        'run',
        '--name=flaky',
        '--restart=on-failure',
        'busybox',
        '--',
        'sh',
        '-c',
        script,
      ]).status,
    ).toBe(0);
    expect(app('flaky')).toMatchObject({ state: 'exited', restarts: 2, exitStatus: 0 });
    expect(host.must('status', 'flaky')).toContain('app-busybox=exited restarts=2 exit=0');
  });

  it('on-failure:N gives up, and --rm then leaves nothing', () => {
    const out = host.jetpack([
      'run',
      '--rm',
      'busybox',
      '--restart=on-failure:2',
      '--',
      'sh',
      '-c',
      'echo try; exit 7',
    ]);
    expect(out).toMatchObject({ status: 7, stdout: 'try\ntry\ntry\n' });
    expect(host.traces()).toEqual(before);
  });

  it('always starts a detached app again after a kill, shows that it waits, and stop ends it at once', async () => {
    host.must(
      'run',
      '-d',
      '--name=always',
      '--restart=always',
      'busybox',
      '--',
      'sh',
      '-c',
      'sleep 1000',
    );
    const pids = new Set<number>();
    for (let i = 0; i < 3; i += 1) {
      await until('it runs', () => app('always')?.state === 'running');
      pids.add(app('always')?.pid ?? 0);
      host.must('kill', 'always');
      await until('it is started again', () => (app('always')?.restarts ?? 0) > i);
    }
    expect(pids.size).toBe(3);
    host.must('kill', 'always');
    let waiting: ReturnType<typeof app>;
    await until('it waits', () => {
      waiting = app('always');
      return waiting?.state === 'waiting';
    });
    expect(waiting).toMatchObject({ exitStatus: 137, pid: null });
    const from = Date.now();
    host.must('stop', 'always');
    expect(Date.now() - from).toBeLessThan(3000);
    // On a slow machine the wait is over before the stop is there: then it stops an app that runs again.
    const isStartedAgain = (app('always')?.restarts ?? 0) > (waiting?.restarts ?? 0);
    expect(status('always')).toMatchObject({
      state: 'exited',
      exitStatus: isStartedAgain ? 143 : 137,
    });
    // The next run counts anew.
    host.must('run', '-d', 'always');
    await until('it runs', () => app('always')?.state === 'running');
    expect(app('always')?.restarts).toBe(0);
  });

  it('gc --mark-only takes an exited pod out of life, and leaves its removal to the next gc', () => {
    expect(host.jetpack(['run', '--name=marked', 'busybox', '--', 'true']).status).toBe(0);
    host.must('prepare', '--name=fresh', 'busybox', '--', 'true');
    const marked = host.json('gc', '--mark-only') as readonly { action: string }[];
    expect(marked.map(({ action }) => action).sort()).toEqual(['kept', 'marked']);
    expect(status('marked')).toMatchObject({ state: 'garbage', exitStatus: 0 });
    expect(status('fresh').state).toBe('prepared');
    const again = host.jetpack(['run', 'marked']);
    expect(again.status).toBe(125);
    expect(again.stderr).toContain('is garbage');
    // In its grace period still: the mark is no removal.
    host.must('gc');
    expect(status('marked').state).toBe('garbage');
    host.must('gc', '--grace-period=0');
    expect(host.jetpack(['status', 'marked']).status).toBe(1);
    expect(status('fresh').state).toBe('prepared');
  });

  it('nothing is started again when the supervisor is gone', async () => {
    host.must('run', '-d', '--name=orphan', '--restart=always', 'busybox', '--', 'sleep', '1000');
    process.kill(status('orphan').supervisorPid ?? 0, 'SIGKILL');
    await until('it is over', () => host.processes().length === 0);
    expect(status('orphan').state).toBe('exited');
  });

  it('the manifest carries policy and stop signal, and the plan obeys them', () => {
    const uuid = host.must(
      'prepare',
      'busybox',
      '--restart=on-failure:4',
      '--stop-signal=USR1',
      '--',
      'true',
    );
    expect(JSON.parse(host.must('manifest', uuid))).toMatchObject({
      apps: [
        {
          annotations: [
            { name: 'jetpack/restart', value: 'on-failure:4' },
            { name: 'jetpack/stop-signal', value: 'USR1' },
          ],
        },
      ],
    });
    const plan = readFileSync(path.join(host.mountpoint, 'pods', uuid, 'plan'), 'latin1');
    expect(plan).toContain('restart\0' + '2\0on-failure\0' + '4\0\n');
    expect(plan).toContain('stop-signal\0' + '1\0' + '10\0\n');
  });

  it('stop goes from the last app to the first, with their own stop signals', async () => {
    const says = (name: string, signal: string) => [
      'busybox',
      `--name=${name}`,
      `--stop-signal=${signal}`,
      '--mount=shared:/shared',
      '--',
      'sh',
      '-c',
      `trap 'sleep 0.2; echo ${name} >> /shared/order; exit 0' ${signal}; echo up >> /shared/up; while :; do sleep 0.05; done`,
      '---',
    ];
    host.must(
      'run',
      '-d',
      '--name=ordered',
      '--volume=shared,kind=empty',
      ...says('database', 'INT'),
      ...says('server', 'TERM'),
      ...says('proxy', 'USR2'),
    );
    await until(
      'all are up',
      () => host.must('exec', 'ordered:proxy', 'cat', '/shared/up').split('\n').length === 3,
    );
    host.must('stop', 'ordered');
    expect(status('ordered').exitStatus).toBe(0);
    // The volume outlives the apps: the next start of the pod reads it.
    host.must('run', '-d', 'ordered');
    expect(host.must('exec', 'ordered:proxy', 'cat', '/shared/order')).toBe(
      'proxy\nserver\ndatabase',
    );
  });
});
