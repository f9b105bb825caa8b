import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { withLock } from '../../src/host/lock.ts';
import { testPool } from '../support/environment.ts';
import {
  JetpackHost,
  makeAci,
  makeBusyboxAci,
  PROJECT,
  until,
  type Traces,
} from '../support/jetpack-host.ts';

const pool = testPool();

interface AppJson {
  readonly name: string;
  readonly state: string;
  readonly exitStatus: number | null;
  readonly restarts: number;
  readonly pid: number | null;
}
interface PodJson {
  readonly uuid: string;
  readonly state: string;
  readonly exitStatus: number | null;
  readonly supervisorPid: number | null;
  readonly initPid: number | null;
  readonly apps: readonly AppJson[];
}

describe.skipIf(pool === undefined)('a mutable pod', () => {
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
    host.must('gc', '--grace-period=0');
    expect(host.traces()).toEqual(before);
  });

  const status = (pod: string) => host.json('status', pod) as PodJson;
  const app = (pod: string, name: string) =>
    status(pod).apps.find((candidate) => candidate.name === name);
  const add = (pod: string, name: string, script: string, ...flags: readonly string[]) =>
    host.must('app', 'add', pod, 'busybox', `--name=${name}`, ...flags, '--', 'sh', '-c', script);
  const datasets = (uuid: string) =>
    host
      .traces()
      .datasets.filter((name) => name.includes(`/pods/${uuid}/`))
      .map((name) => name.slice(name.lastIndexOf('/') + 1))
      .sort();

  it('starts without an image, takes apps, and ends by a stop with 0', async () => {
    const uuid = host.must('run', '-d', '--mutable', '--name=box');
    expect(status('box')).toMatchObject({ state: 'running', apps: [] });
    expect(add('box', 'web', 'echo hello; sleep 1000')).toBe('web');
    expect(app('box', 'web')).toMatchObject({ state: 'created', pid: null });
    expect(JSON.parse(host.must('manifest', 'box'))).toMatchObject({
      annotations: [{ name: 'jetpack/mutable', value: 'true' }],
      apps: [
        { name: 'web', app: { exec: ['/bin/busybox', 'sh', '-c', 'echo hello; sleep 1000'] } },
      ],
    });
    expect(host.must('app', 'start', 'box:web')).toBe(`${uuid}:web`);
    expect(app('box', 'web')).toMatchObject({ state: 'running' });
    await until('it said hello', () => host.must('logs', 'box:web') === 'hello');
    expect(host.must('exec', 'box:web', 'cat', '/etc/hostname')).toBe(`jetpack-${uuid}`);
    expect(host.must('ps', 'box')).toContain('sleep 1000');
    expect(host.must('list')).toContain('web');
    expect(host.must('app', 'list', '-q', 'box')).toBe('web');
    host.must('stop', 'box');
    expect(status('box')).toMatchObject({ state: 'exited', exitStatus: 0 });
  });

  it('an app that joins is as isolated as one of the start', () => {
    const probe =
      'grep -E "^(Cap|Seccomp:|NoNewPrivs)" /proc/self/status; cat /proc/self/mounts | cut -d" " -f2,3 | sort; ls /proc/self/fd | wc -l; readlink /proc/self/ns/pid /proc/self/ns/net /proc/self/ns/uts /proc/self/ns/ipc; cat /proc/kcore | wc -c; env | grep -v TOKEN | sort; id';
    host.must(
      'run',
      '-d',
      '--mutable',
      '--name=same',
      'busybox',
      '--',
      'sh',
      '-c',
      `${probe}; sleep 1000`,
    );
    add('same', 'joined', `${probe}; sleep 1000`);
    host.must('app', 'start', 'same:joined');
    const said = (name: string) =>
      host.must('logs', `same:${name}`).replaceAll(/AC_APP_NAME=.*/g, 'AC_APP_NAME=…');
    const first = said('busybox');
    expect(first).toContain('Seccomp:\t2');
    expect(first).toContain('AC_METADATA_URL=http');
    expect(said('joined')).toBe(first);
  });

  it('goes on when an app ends or fails, and starts it again when asked', async () => {
    host.must(
      'run',
      '-d',
      '--mutable',
      '--name=on',
      'busybox',
      '--name=first',
      '--',
      'sh',
      '-c',
      'exit 3',
    );
    await until('it failed', () => app('on', 'first')?.state === 'exited');
    expect(status('on').state).toBe('running');
    add('on', 'other', 'echo run >> /runs; wc -l < /runs; sleep 1000');
    host.must('app', 'start', 'on:other');
    host.must('kill', 'on:other');
    await until('it was killed', () => app('on', 'other')?.state === 'exited');
    expect(app('on', 'other')).toMatchObject({ exitStatus: 137 });
    host.must('app', 'start', 'on:other');
    await until('it said 2', () => host.must('logs', 'on:other').endsWith('2'));
    const twice = host.jetpack(['app', 'start', 'on:other']);
    expect(twice).toMatchObject({ status: 1 });
    expect(twice.stderr).toContain('the app runs already');
    host.must('app', 'stop', '--time=1s', 'on:other');
    expect(app('on', 'other')).toMatchObject({ state: 'exited' });
    // Of an app that does not run nothing is wanted.
    host.must('app', 'stop', 'on:other');
  });

  it('an app whose pre-start handler runs is stopped, and is not removed without --force', async () => {
    const file = makeAci(
      host,
      {
        acKind: 'ImageManifest',
        acVersion: '0.8.11',
        name: 'slow',
        labels: [
          { name: 'os', value: 'linux' },
          { name: 'arch', value: process.arch === 'arm64' ? 'aarch64' : 'amd64' },
        ],
        app: {
          exec: ['/payload', '--sleep', '100'],
          user: '0',
          group: '0',
          eventHandlers: [{ name: 'pre-start', exec: ['/payload', '--sleep', '100'] }],
        },
      },
      (rootfs) => {
        copyFileSync(path.join(PROJECT, 'shim/build/payload'), path.join(rootfs, 'payload'));
      },
    );
    host.must('import', '--insecure-options=image', file);
    host.must('run', '-d', '--mutable', '--name=wait');
    host.must('app', 'add', 'wait', 'slow', '--name=slow');
    // Of this pod: those below its init.
    const handled = () => {
      const init = String(status('wait').initPid);
      const children = readFileSync(`/proc/${init}/task/${init}/children`, 'utf8');
      return children.split(' ').filter((pid) => pid !== '').length;
    };
    for (const end of ['stop', 'rm'] as const) {
      const starting = host.start(['app', 'start', 'wait:slow'], 'ignore');
      const over = new Promise((resolve) => starting.once('close', resolve));
      await until('the handler runs', () => handled() === 1);
      const refused = host.jetpack(['app', 'rm', 'wait:slow']);
      expect(refused.status, 'app rm without --force').toBe(1);
      expect(refused.stderr).toContain('is about to start');
      expect(handled(), 'processes after a refused app rm').toBe(1);
      if (end === 'stop') host.must('app', 'stop', 'wait:slow');
      else host.must('app', 'rm', '--force', 'wait:slow');
      expect(handled(), `processes after app ${end}`).toBe(0);
      expect(await over, 'the start').toBe(1);
    }
    host.must('rm', '--force', 'wait');
    host.must('image', 'rm', 'slow');
  });

  it('is removed when the change that is under way is done', async () => {
    const uuid = host.must('run', '-d', '--mutable', '--name=busy');
    let removed = false;
    let done: Promise<unknown> = Promise.resolve();
    await withLock(path.join(host.mountpoint, 'locks'), `pod-${uuid}`, async () => {
      const removal = host.start(['rm', '--force', 'busy'], 'ignore');
      done = new Promise((resolve) =>
        removal.once('close', (code) => {
          removed = true;
          resolve(code);
        }),
      );
      await until('the pod is taken out of life', () =>
        existsSync(path.join(host.mountpoint, 'pods', uuid, 'deleting')),
      );
      await new Promise((resolve) => setTimeout(resolve, 700));
      expect(removed, 'removed while a change is under way').toBe(false);
    });
    expect(await done).toBe(0);
    expect(host.jetpack(['app', 'list', uuid]).status).toBe(1);
  });

  it('a new app begins with an empty log, whatever an interrupted removal has left', () => {
    const uuid = host.must('run', '-d', '--mutable', '--name=logs');
    const logs = path.join(host.mountpoint, 'pods', uuid, 'logs');
    for (const name of ['web', 'web.1', 'web.2']) writeFileSync(path.join(logs, name), 'old\n');
    add('logs', 'web', 'sleep 1000');
    expect(readdirSync(logs)).toEqual([]);
    host.must('rm', '--force', 'logs');
  });

  it('an app leaves with its files, its log and what it left running; its volumes stay', async () => {
    const uuid = host.must('run', '-d', '--mutable', '--name=leave', '--volume=data,kind=empty');
    add('leave', 'gone', 'echo kept > /data/note; sleep 1000 & sleep 1000', '--mount=data:/data');
    host.must('app', 'start', 'leave:gone');
    await until(
      'it wrote',
      () => host.jetpack(['exec', 'leave:gone', 'cat', '/data/note']).status === 0,
    );
    const refused = host.jetpack(['app', 'rm', 'leave:gone']);
    expect(refused.status).toBe(1);
    expect(refused.stderr).toContain('is running');
    host.must('app', 'stop', '--force', 'leave:gone');
    const inPod = () => (host.json('ps', 'leave') as readonly unknown[]).length;
    expect(inPod()).toBeGreaterThan(1);
    host.must('app', 'rm', 'leave:gone');
    await until('only init is left', () => inPod() === 1);
    expect(datasets(uuid)).toEqual(['volume.data']);
    expect(status('leave').apps).toEqual([]);
    const dir = path.join(host.mountpoint, 'pods', uuid);
    for (const file of ['status/gone', 'logs/gone'])
      expect(existsSync(path.join(dir, file))).toBe(false);
    // The name is free, and the volume is as it was.
    add('leave', 'gone', 'cat /data/note; sleep 1000', '--mount=data:/data');
    host.must('app', 'start', 'leave:gone');
    await until('it read', () => host.must('logs', 'leave:gone') === 'kept');
    host.must('app', 'rm', '--force', 'leave:gone');
  });

  it('runs again with the apps that it then has', () => {
    host.must(
      'run',
      '-d',
      '--mutable',
      '--name=again',
      'busybox',
      '--name=old',
      '--',
      'sleep',
      '1000',
    );
    add('again', 'new', 'sleep 1000');
    host.must('app', 'rm', '--force', 'again:old');
    host.must('stop', 'again');
    add('again', 'later', 'sleep 1000');
    host.must('run', '-d', 'again');
    expect(status('again').apps).toMatchObject([
      { name: 'new', state: 'running' },
      { name: 'later', state: 'running' },
    ]);
  });

  it('--rm leaves nothing of the apps that came and went', async () => {
    const child = host.start(
      ['run', '--mutable', '--rm', '--name=brief', 'busybox', '--', 'sleep', '1000'],
      'ignore',
    );
    await until('it runs', () =>
      host.jetpack(['status', 'brief']).stdout.includes('state=running'),
    );
    add('brief', 'one', 'sleep 1000', '--volume=own,kind=empty', '--mount=own:/own');
    add('brief', 'two', 'sleep 1000');
    host.must('app', 'start', 'brief:one', 'brief:two');
    host.must('app', 'rm', '--force', 'brief:busybox');
    const ended = new Promise((resolve) => child.once('exit', resolve));
    host.must('stop', 'brief');
    expect(await ended).toBe(0);
    expect(host.traces()).toEqual(before);
  });

  it('refuses what cannot be, and changes nothing', () => {
    const uuid = host.must(
      'run',
      '-d',
      '--mutable',
      '--name=firm',
      '--volume=v,kind=empty',
      'busybox',
      '--mount=v:/v',
      '--',
      'sleep',
      '1000',
    );
    const untouched = datasets(uuid);
    const manifest = host.must('manifest', 'firm');
    const refused = (...words: readonly string[]) => {
      const { status: code, stderr } = host.jetpack(['app', ...words]);
      expect(code).not.toBe(0);
      return stderr;
    };
    expect(refused('add', 'firm', 'busybox', '--name=busybox')).toContain(
      'has an app "busybox" already',
    );
    expect(refused('add', 'firm', 'nothing-like-it')).toContain('no image');
    expect(refused('add', 'firm', 'busybox', '--name=x', '--mount=w:/w')).toContain(
      'wants volume "w"',
    );
    expect(refused('add', '--volume=v,kind=empty', 'firm', 'busybox', '--name=x')).toContain(
      'has a volume "v" already',
    );
    expect(refused('add', '--net=host', 'firm', 'busybox', '--name=x')).toContain('is of the pod');
    expect(refused('add', '--name=x', 'firm', 'busybox')).toContain('after its image');
    expect(refused('add', 'firm')).toContain('no image was named');
    expect(refused('rm', 'firm:nobody')).toContain('no app "nobody"');
    expect(refused('start', 'firm:nobody')).toContain('no app "nobody"');
    host.must('run', '-d', '--name=plain', 'busybox', '--', 'sleep', '1000');
    expect(refused('add', 'plain', 'busybox', '--name=x')).toContain('was not made with --mutable');
    expect(refused('start', 'plain:busybox')).toContain('--mutable');
    expect(host.jetpack(['run', '--mutable', '-i', 'busybox']).stderr).toContain('--mutable');
    expect(datasets(uuid)).toEqual(untouched);
    expect(host.must('manifest', 'firm')).toBe(manifest);
  });

  it('tells why an app cannot be started, and can try again', () => {
    host.must('run', '-d', '--mutable', '--name=why');
    const source = path.join(host.dir, 'source');
    mkdirSync(source);
    writeFileSync(path.join(source, 'note'), 'here\n');
    add(
      'why',
      'absent',
      'cat /s/note; sleep 1000',
      `--volume=s,kind=host,source=${source}`,
      '--mount=s:/s',
    );
    spawnSync('/bin/mv', [source, `${source}.away`]);
    const failed = host.jetpack(['app', 'start', 'why:absent']);
    expect(failed.status).toBe(1);
    expect(failed.stderr).toContain("cannot use the volume's source");
    spawnSync('/bin/mv', [`${source}.away`, source]);
    host.must('app', 'start', 'why:absent');
    expect(host.must('exec', 'why:absent', 'cat', '/s/note')).toBe('here');
    const missing = host.must('app', 'add', 'why', 'busybox', '--name=missing', '--exec=/no/such');
    expect(host.jetpack(['app', 'start', `why:${missing}`]).stderr).toContain(
      'no such file in the image',
    );
    expect(app('why', 'missing')).toMatchObject({ state: 'exited', exitStatus: 127 });
  });

  it('two changes at the same time come one after the other', async () => {
    host.must('run', '-d', '--mutable', '--name=busy');
    const names = ['a', 'b', 'c', 'd'];
    const children = names.map((name) =>
      host.start(
        ['app', 'add', 'busy', 'busybox', `--name=${name}`, '--', 'sleep', '1000'],
        'ignore',
      ),
    );
    const same = [1, 2].map(() =>
      host.start(['app', 'add', 'busy', 'busybox', '--name=same', '--', 'sleep', '1000'], 'ignore'),
    );
    const codes = await Promise.all(
      [...children, ...same].map(
        (child) => new Promise<number | null>((resolve) => child.once('exit', resolve)),
      ),
    );
    expect(codes.slice(0, 4)).toEqual([0, 0, 0, 0]);
    expect(codes.slice(4).sort()).toEqual([0, 1]);
    expect(
      status('busy')
        .apps.map(({ name }) => name)
        .sort(),
    ).toEqual([...names, 'same']);
    host.must('app', 'start', ...names.map((name) => `busy:${name}`), 'busy:same');
    expect(status('busy').apps.every(({ state }) => state === 'running')).toBe(true);
  });

  describe('killed with SIGKILL', () => {
    // Under User-Mode Linux, where a step takes seconds, not before every one of them.
    const stride = os.release().includes('uml') ? 3 : 1;
    const lockOf = (uuid: string) => path.join(host.mountpoint, 'locks', `pod-${uuid}.lock`);
    /** The lock of a killed process goes stale after some seconds: so many of them need not be waited for. */
    const withoutLock = (uuid: string) => rmSync(lockOf(uuid), { recursive: true, force: true });

    /** Kills itself before step N of the change. 3: there were fewer steps. */
    const dying = (work: 'add' | 'rm', uuid: string, name: string, step: number) =>
      spawnSync(
        process.execPath,
        [
          path.join(PROJECT, 'test/support/change-child.ts'),
          host.conf,
          work,
          uuid,
          name,
          String(step),
        ],
        { encoding: 'utf8' },
      );
    const appsOf = (uuid: string) => status(uuid).apps.map(({ name }) => name);

    it.each(['add', 'rm'] as const)(
      'an app %s is whole or gone at any of its steps, and gc removes the rest',
      (work) => {
        const uuid = host.must(
          'run',
          '-d',
          '--mutable',
          ...(work === 'rm' ? ['--volume=own,kind=empty'] : []),
          'busybox',
          '--name=stays',
          '--',
          'sleep',
          '1000',
        );
        const dir = path.join(host.mountpoint, 'pods', uuid);
        for (let step = 0; ; step += stride) {
          if (work === 'rm') {
            add(uuid, 'it', 'sleep 1000', '--mount=own:/own');
            host.must('app', 'start', `${uuid}:it`);
            host.must('app', 'stop', '--force', `${uuid}:it`);
          }
          const child = dying(work, uuid, 'it', step);
          if (child.status === 3) {
            expect(step).toBeGreaterThan(4);
            break;
          }
          expect(child.signal, child.stderr).toBe('SIGKILL');
          withoutLock(uuid);
          // The pod works on, whatever was left.
          expect(status(uuid).state).toBe('running');
          expect(app(uuid, 'stays')?.state).toBe('running');
          host.must('gc');
          const has = appsOf(uuid).includes('it');
          const manifest = JSON.parse(host.must('manifest', uuid)) as { apps: { name: string }[] };
          expect(manifest.apps.map(({ name }) => name)).toEqual(appsOf(uuid));
          expect(datasets(uuid).filter((name) => name === 'it')).toEqual(has ? ['it'] : []);
          expect(existsSync(path.join(dir, 'change'))).toBe(false);
          expect(readFileSync(path.join(dir, 'plan'), 'latin1').includes('app\0' + '1\0it\0')).toBe(
            has,
          );
          if (has) {
            host.must('app', 'start', `${uuid}:it`);
            host.must('app', 'rm', '--force', `${uuid}:it`);
          }
          // What an earlier one left is not in the way of the next, without gc too.
        }
        host.must('rm', '--force', uuid);
      },
      180_000,
    );

    it('an add that was killed is not in the way of the next one', () => {
      const uuid = host.must('run', '-d', '--mutable');
      for (let step = 0; ; step += stride) {
        const child = dying('add', uuid, 'it', step);
        if (child.status === 3) break;
        expect(child.signal, child.stderr).toBe('SIGKILL');
        withoutLock(uuid);
        if (
          appsOf(uuid).includes('it') ||
          existsSync(path.join(host.mountpoint, 'pods', uuid, 'change'))
        ) {
          host.must('app', 'start', `${uuid}:it`);
          host.must('app', 'rm', '--force', `${uuid}:it`);
        }
      }
      host.must('app', 'start', `${uuid}:it`);
    });

    it('a pod whose change was interrupted runs again as the new one', () => {
      const uuid = host.must('run', '-d', '--mutable', '--name=half');
      let step = 0;
      // The last kill before the end: the point of no return is passed.
      while (!existsSync(path.join(host.mountpoint, 'pods', uuid, 'change'))) {
        const child = dying('add', uuid, 'it', step);
        expect(child.status).not.toBe(3);
        if (!existsSync(path.join(host.mountpoint, 'pods', uuid, 'change'))) withoutLock(uuid);
        step += 1;
      }
      host.must('stop', 'half');
      // Here the lock of the killed one is waited for.
      expect(existsSync(lockOf(uuid))).toBe(true);
      host.must('run', '-d', 'half');
      expect(status('half').apps).toMatchObject([{ name: 'it', state: 'running' }]);
    });
  });
});
