import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { createLayout } from '../../src/host/layout.ts';
import { destroyPod } from '../../src/pod/destroy.ts';
import { readPod } from '../../src/pod/store.ts';
import type { DatasetName } from '../../src/zfs/zfs.ts';
import { testPool } from '../support/environment.ts';
import { realZfs } from '../support/real-zfs.ts';
import {
  JetpackHost,
  PROJECT,
  makeBusyboxAci,
  until,
  type Traces,
} from '../support/jetpack-host.ts';

const pool = testPool();

interface PodJson {
  readonly uuid: string;
  readonly state: string;
  readonly exitStatus: number | null;
  readonly supervisorKilled: boolean;
  readonly supervisorPid: number | null;
  readonly initPid: number | null;
  readonly apps: readonly {
    readonly name: string;
    readonly state: string;
    readonly exitStatus: number | null;
    readonly signal: number | null;
    readonly pid: number | null;
  }[];
}

describe.skipIf(pool === undefined)('the life of a pod', () => {
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
  // Whatever a test does with pods, nothing of them may be left.
  afterEach(() => {
    for (const pod of host
      .must('list', '-q', '--all')
      .split('\n')
      .filter((line) => line !== ''))
      host.must('rm', '--force', pod);
    expect(host.traces()).toEqual(before);
  });

  const status = (pod: string) => host.json('status', pod) as PodJson;
  const run = (...words: readonly string[]) => host.jetpack(['run', ...words]);

  describe('in the foreground', () => {
    it('passes output, error output and the exit status on, and --rm leaves nothing', () => {
      const done = run(
        '--rm',
        '--net=none',
        'busybox',
        '--',
        'sh',
        '-c',
        'echo out; echo err >&2; exit 3',
      );
      expect(done).toEqual({ status: 3, stdout: 'out\n', stderr: 'err\n' });
      expect(host.traces()).toEqual(before);
    });

    it('exits with 128 and the number of the signal that ended the app', () => {
      expect(run('--rm', 'busybox', '--', 'sh', '-c', 'kill -9 $$').status).toBe(137);
    });

    it('keeps the pod without --rm, with its status and its log', () => {
      expect(run('--name=kept', 'busybox', '--', 'sh', '-c', 'echo said; exit 4').status).toBe(4);
      expect(status('kept')).toMatchObject({
        state: 'exited',
        exitStatus: 4,
        apps: [{ name: 'busybox', state: 'exited', exitStatus: 4 }],
      });
      expect(host.must('logs', 'kept')).toBe('said');
    });

    it('runs an exited pod again, and it finds its files as it left them', () => {
      expect(
        run(
          '--name=again',
          'busybox',
          '--',
          'sh',
          '-c',
          'cat /mark 2>/dev/null; echo was here > /mark',
        ).stdout,
      ).toBe('');
      expect(run('again').stdout).toBe('was here\n');
    });

    it('passes standard input on with --interactive and closes it otherwise', () => {
      expect(
        host.jetpack(['run', '--rm', '-i', 'busybox', '--', 'cat'], { input: 'given\n' }).stdout,
      ).toBe('given\n');
      expect(
        host.jetpack(['run', '--rm', 'busybox', '--', 'cat'], { input: 'given\n' }).stdout,
      ).toBe('');
    });

    it('forwards TERM, and ends with the status that the app gives it', async () => {
      const child = host.start([
        'run',
        '--name=term',
        'busybox',
        '--',
        'sh',
        '-c',
        'trap "exit 9" TERM; while :; do sleep 0.1; done',
      ]);
      await until('the pod runs', () =>
        host.jetpack(['status', 'term']).stdout.includes('state=running'),
      );
      const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      expect(await ended).toBe(9);
    });

    it('carries ten megabytes of output without losing any', () => {
      const done = run('--rm', 'busybox', '--', 'sh', '-c', 'yes 0123456789abcde | head -n 655360');
      expect(done.stdout).toHaveLength(10 * 1024 * 1024);
      expect(done.status).toBe(0);
    });
  });

  describe('on a terminal', () => {
    /** script(1) gives the program a terminal of its own, and types the input. */
    function typed(words: readonly string[], input: string) {
      const line = [process.execPath, path.join(PROJECT, 'dist/main.cjs'), ...words]
        .map((word) => `'${word}'`)
        .join(' ');
      const done = spawnSync('/usr/bin/script', ['-qefc', line, '/dev/null'], {
        input,
        env: host.env,
        encoding: 'utf8',
        timeout: 60_000,
      });
      return { status: done.status, screen: done.stdout };
    }

    it('has one of its own, takes what is typed, and passes the status on', () => {
      const { status: code, screen } = typed(
        ['run', '-t', '-i', '--rm', 'busybox'],
        'tty; echo "[$TERM]"; exit 5\n',
      );
      expect(screen).toContain('/dev/pts/0');
      expect(code).toBe(5);
    });

    it('can be entered', () => {
      host.must('run', '-d', '--name=inside', 'busybox', '--', 'sleep', '1000');
      const { status: code, screen } = typed(
        ['enter', 'inside'],
        'echo uid=$(id -u) $(tty)\nexit 6\n',
      );
      expect(screen).toContain('uid=0 /dev/pts/');
      expect(code).toBe(6);
    });

    it('is refused before anything is made where there is none', () => {
      expect(run('-t', 'busybox')).toMatchObject({
        status: 125,
        stderr: expect.stringContaining('--tty needs a terminal') as string,
      });
      expect(host.traces()).toEqual(before);
    });
  });

  describe('failing to start', () => {
    it('names a program that is not in the image, with status 127', () => {
      const done = run('--rm', 'busybox', '--exec=/no/such', '--', 'x');
      expect(done.status).toBe(127);
      expect(done.stderr).toContain('/no/such');
      expect(done.stderr).toContain('try:');
      expect(host.traces()).toEqual(before);
    });

    it('says 126 for what is there and is no program', () => {
      expect(run('--rm', 'busybox', '--exec=/etc/passwd').status).toBe(126);
    });

    it('names a user that the image does not have', () => {
      const done = run('--rm', 'busybox', '--user=nosuchuser', '--', 'true');
      expect(done.status).toBe(125);
      expect(done.stderr).toContain('nosuchuser');
    });

    it('refuses a working directory that is not there', () => {
      const done = run('--rm', 'busybox', '--working-dir=/nowhere', '--', 'true');
      expect(done.status).toBe(125);
      expect(done.stderr).toContain('/nowhere');
    });

    it('says with --json what went wrong in the same fields', () => {
      const done = run('--json', '--rm', 'busybox', '--exec=/no/such');
      expect(JSON.parse(done.stderr)).toMatchObject({
        error: {
          code: expect.stringMatching(/^[A-Z_]+$/),
          message: expect.stringContaining('/no/such'),
        },
      });
    });

    it('refuses networks, images and flags that are not there before anything is made', () => {
      expect(run('--net=default', 'busybox')).toMatchObject({
        status: 125,
        stderr: expect.stringContaining('no network "default"'),
      });
      expect(run('nosuchimage')).toMatchObject({
        status: 125,
        stderr: expect.stringContaining('no image or pod "nosuchimage"'),
      });
      expect(run('--nosuchflag', 'busybox')).toMatchObject({
        status: 125,
        stderr: expect.stringContaining('--nosuchflag'),
      });
      expect(host.traces()).toEqual(before);
    });

    it('reports a failure before the UUID is printed also for detached pods', () => {
      const done = run('-d', '--rm', 'busybox', '--exec=/no/such');
      expect(done).toMatchObject({ status: 127, stdout: '' });
      expect(done.stderr).toContain('/no/such');
    });
  });

  describe('detached', () => {
    it('prints its UUID, runs on, and can be seen, entered, signalled and stopped', () => {
      const uuid = run(
        '-d',
        '--name=web',
        'busybox',
        '--',
        'sh',
        '-c',
        'trap "exit 0" TERM; echo up; while :; do sleep 0.1; done',
      ).stdout.trim();
      expect(uuid).toMatch(/^[0-9a-f-]{36}$/);
      expect(status('web')).toMatchObject({ uuid, state: 'running', apps: [{ state: 'running' }] });
      expect(status(uuid.slice(0, 8)).uuid).toBe(uuid);
      expect(host.must('ps', 'web')).toContain('busybox');
      expect(host.must('exec', 'web', 'hostname')).toBe(`jetpack-${uuid}`);
      expect(host.jetpack(['exec', 'web', 'sh', '-c', 'exit 5']).status).toBe(5);
      expect(host.must('stop', 'web')).toBe(uuid);
      expect(status('web')).toMatchObject({ state: 'exited', exitStatus: 0 });
      expect(host.must('stop', 'web')).toBe(uuid);
    });

    it('is killed when it does not heed the stop signal in time', () => {
      run(
        '-d',
        '--name=deaf',
        'busybox',
        '--',
        'sh',
        '-c',
        'trap "" TERM; while :; do sleep 0.1; done',
      );
      const startedMs = Date.now();
      host.must('stop', '--time=300ms', 'deaf');
      expect(Date.now() - startedMs).toBeLessThan(8000);
      expect(status('deaf')).toMatchObject({ state: 'exited', exitStatus: 137 });
    });

    it('removes itself at its end with --rm', async () => {
      run('-d', '--rm', '--name=brief', 'busybox', '--', 'sleep', '0.3');
      await until('the pod is gone', () => host.jetpack(['status', 'brief']).status === 1);
      await until(
        'nothing is left',
        () => JSON.stringify(host.traces()) === JSON.stringify(before),
      );
    });

    it('lets status --wait return at its end', () => {
      run('-d', '--name=waited', 'busybox', '--', 'sh', '-c', 'sleep 0.5; exit 6');
      expect(host.must('status', '--wait', 'waited')).toContain('exit=6');
    });

    it('follows its log to the end', () => {
      run(
        '-d',
        '--name=chatty',
        'busybox',
        '--',
        'sh',
        '-c',
        'for i in 1 2 3; do echo line $i; sleep 0.2; done',
      );
      expect(host.must('logs', '-f', 'chatty')).toBe('line 1\nline 2\nline 3');
      expect(host.must('logs', '--tail=1', 'chatty')).toBe('line 3');
    });

    it('keeps every byte that its apps wrote', () => {
      run(
        '--name=bytes',
        'busybox',
        '--',
        'sh',
        '-c',
        String.raw`printf '\377\000\303\251 \033[1m\n'`,
      );
      const child = spawnSync(
        process.execPath,
        [path.join(PROJECT, 'dist/main.cjs'), 'logs', 'bytes'],
        { env: host.env },
      );
      expect(child.stdout.toString('hex')).toBe('ff00c3a9201b5b316d0a');
    });

    it('takes signals for its apps', () => {
      run(
        '-d',
        '--name=usr',
        'busybox',
        '--',
        'sh',
        '-c',
        'trap "echo got usr1; exit 0" USR1; while :; do sleep 0.1; done',
      );
      host.must('kill', '-s', 'USR1', 'usr');
      host.must('status', '--wait=10s', 'usr');
      expect(host.must('logs', 'usr')).toBe('got usr1');
    });

    it('goes down with its supervisor, and the state says so', async () => {
      run('-d', '--name=orphan', 'busybox', '--', 'sleep', '1000');
      const { supervisorPid, initPid } = status('orphan');
      killHard(supervisorPid);
      await until('the init is gone', () => !existsSync(`/proc/${String(initPid)}`));
      expect(status('orphan')).toMatchObject({
        state: 'exited',
        supervisorKilled: true,
        exitStatus: null,
      });
      host.must('rm', 'orphan');
    });

    it('ends when its init is killed', async () => {
      run('-d', '--name=headless', 'busybox', '--', 'sleep', '1000');
      killHard(status('headless').initPid);
      await until('the pod has ended', () => status('headless').state === 'exited');
    });

    it('cannot be removed while it runs, but by force', () => {
      run('-d', '--name=busy', 'busybox', '--', 'sleep', '1000');
      const refused = host.jetpack(['rm', 'busy']);
      expect(refused).toMatchObject({ status: 1, stderr: expect.stringContaining('is running') });
      expect(status('busy').state).toBe('running');
      host.must('rm', '--force', 'busy');
      expect(host.traces()).toEqual(before);
    });

    it('is not removed by somebody who saw it exited before it was started again', async () => {
      run(
        '--name=again',
        'busybox',
        '--',
        'sh',
        '-c',
        '[ -e /second ] && sleep 1000; touch /second',
      );
      const layout = createLayout(host.root as DatasetName, host.mountpoint);
      const seen = await readPod(layout, status('again').uuid);
      expect(seen?.state).toBe('exited');
      host.must('run', '-d', 'again');
      const removal = seen === undefined ? undefined : destroyPod({ zfs: realZfs(), layout }, seen);
      await expect(removal).rejects.toMatchObject({ code: 'POD_WRONG_STATE' });
      expect(status('again').state).toBe('running');
    });

    it('is told apart from an image of the same name', () => {
      run('--name=busybox', 'busybox', '--', 'true');
      expect(run('--rm', 'busybox')).toMatchObject({
        status: 125,
        stderr: expect.stringContaining('is the name of a pod and of an image') as string,
      });
      expect(status('busybox').state).toBe('exited');
    });

    it('keeps its image from being removed', () => {
      const uuid = run('-d', 'busybox', '--', 'sleep', '1000').stdout.trim();
      const refused = host.jetpack(['image', 'rm', 'busybox']);
      expect(refused).toMatchObject({ status: 1, stderr: expect.stringContaining(uuid) });
    });
  });

  describe('prepared', () => {
    it('runs later, once, and two starts of it have one winner', async () => {
      const uuid = host.must('prepare', '--name=later', 'busybox', '--', 'sleep', '2');
      expect(status(uuid).state).toBe('prepared');
      const both = [host.start(['run', 'later']), host.start(['run', 'later'])];
      const codes = await Promise.all(
        both.map((child) => new Promise<number | null>((resolve) => child.once('exit', resolve))),
      );
      expect(codes.sort()).toEqual([0, 125]);
    });

    it('has its UUID written before it is there', () => {
      const file = path.join(host.dir, 'id');
      const uuid = host.must('prepare', `--save-id=${file}`, 'busybox');
      expect(readFileSync(file, 'utf8')).toBe(`${uuid}\n`);
    });

    it('has a manifest that names everything', () => {
      const uuid = host.must(
        'prepare',
        '--volume=data,kind=empty',
        'busybox',
        '--mount=volume=data,target=/data',
        '--',
        'true',
      );
      const manifest = JSON.parse(host.must('manifest', uuid)) as {
        apps: { image: { id: string }; mounts: unknown }[];
        volumes: unknown;
      };
      expect(manifest.apps[0]?.image.id).toMatch(/^sha512-[0-9a-f]{128}$/);
      expect(manifest.apps[0]?.mounts).toEqual([{ volume: 'data', path: '/data' }]);
      expect(manifest.volumes).toEqual([{ name: 'data', kind: 'empty' }]);
    });

    it('has a name that no other pod can take', () => {
      host.must('prepare', '--name=mine', 'busybox');
      expect(host.jetpack(['prepare', '--name=mine', 'busybox'])).toMatchObject({
        status: 1,
        stderr: expect.stringContaining('is called "mine" already'),
      });
      host.must('rm', 'mine');
      host.must('prepare', '--name=mine', 'busybox');
    });

    it('goes after its time, and not before', () => {
      const uuid = host.must('prepare', 'busybox');
      host.must('gc');
      expect(status(uuid).state).toBe('prepared');
      expect(host.must('gc', '--expire-prepared=0')).toContain(uuid);
      expect(host.traces()).toEqual(before);
    });
  });

  describe('with volumes', () => {
    it('sees folders and single files of the host, read-only when asked', () => {
      const folder = path.join(host.dir, 'vol');
      mkdirSync(folder, { recursive: true });
      writeFileSync(path.join(folder, 'f'), 'from host\n');
      const volume = (more: string) => `--volume=v,kind=host,source=${folder}${more}`;
      const mount = '--mount=volume=v,target=/mnt/deep/v';
      expect(run('--rm', volume(''), 'busybox', mount, '--', 'cat', '/mnt/deep/v/f').stdout).toBe(
        'from host\n',
      );
      expect(
        run('--rm', volume(''), 'busybox', mount, '--', 'sh', '-c', 'echo more >> /mnt/deep/v/f')
          .status,
      ).toBe(0);
      expect(readFileSync(path.join(folder, 'f'), 'utf8')).toBe('from host\nmore\n');
      expect(
        run(
          '--rm',
          volume(',readOnly=true'),
          'busybox',
          mount,
          '--',
          'sh',
          '-c',
          'echo x >> /mnt/deep/v/f',
        ).status,
      ).not.toBe(0);
      const file = `--volume=v,kind=host,source=${path.join(folder, 'f')}`;
      expect(
        run('--rm', file, 'busybox', '--mount=volume=v,target=/one/file', '--', 'cat', '/one/file')
          .stdout,
      ).toContain('from host');
    });

    it('refuses sources that are not there or lead through a link', () => {
      expect(run('--volume=v,kind=host,source=/no/such', 'busybox', '--mount=v:/v')).toMatchObject({
        status: 125,
        stderr: expect.stringContaining('/no/such'),
      });
      expect(
        run('--volume=v,kind=host,source=/proc/self/root/tmp', 'busybox', '--mount=v:/v'),
      ).toMatchObject({ status: 125, stderr: expect.stringContaining('symbolic link') });
    });

    it('shares an empty volume between its apps, with mode and owner', () => {
      const done = run(
        '--rm',
        '--volume=v,kind=empty,mode=1777,uid=5,gid=6',
        '--mount=v:/shared',
        'busybox',
        '--name=one',
        '--',
        ...['sh', '-c', 'stat -c "%a %u %g" /shared; echo word > /shared/f'],
        '---',
        'busybox',
        '--name=two',
        '--',
        ...['sh', '-c', 'until [ -s /shared/f ]; do sleep 0.05; done; cat /shared/f'],
      );
      expect(done.stdout.split('\n').sort()).toEqual(['', '1777 5 6', 'word']);
      expect(done.status).toBe(0);
    });
  });

  describe('of several apps', () => {
    it('ends with the status of the first that failed, and stops the others', () => {
      const done = run(
        '--name=many',
        'busybox',
        '--name=good',
        '--',
        'sleep',
        '1000',
        '---',
        'busybox',
        '--name=bad',
        '--',
        'sh',
        '-c',
        'sleep 0.3; exit 7',
      );
      expect(done.status).toBe(7);
      expect(status('many').apps).toMatchObject([
        { name: 'good', state: 'exited' },
        { name: 'bad', state: 'exited', exitStatus: 7 },
      ]);
    });

    it('shares processes and host name, and keeps the roots apart', () => {
      run(
        '-d',
        '--name=pair',
        '--hostname=together',
        'busybox',
        '--name=a',
        '--',
        'sh',
        '-c',
        'echo a > /only-a; sleep 1000',
        '---',
        'busybox',
        '--name=b',
        '--',
        'sleep',
        '1000',
      );
      expect(host.must('exec', 'pair:b', 'hostname')).toBe('together');
      expect(host.must('exec', 'pair:b', 'ps')).toContain('sleep 1000');
      expect(host.jetpack(['exec', 'pair:b', 'cat', '/only-a']).status).toBe(1);
      expect(host.jetpack(['exec', 'pair', 'true'])).toMatchObject({
        status: 125,
        stderr: expect.stringContaining('pair:a'),
      });
    });
  });

  describe('isolated', () => {
    it('has its environment, user and read-only root as asked', () => {
      const env = run(
        '--rm',
        '--set-env=A=pod',
        '--set-env=B=pod',
        'busybox',
        '--environment=B=app',
        '--',
        'env',
      ).stdout.split('\n');
      expect(env).toEqual(
        expect.arrayContaining(['A=pod', 'B=app', 'AC_APP_NAME=busybox', 'container=jetpack']),
      );
      expect(
        run('--rm', 'busybox', '--user=nobody', '--group=nogroup', '--', 'id').stdout,
      ).toContain('uid=65534(nobody) gid=65534(nogroup)');
      expect(run('--rm', 'busybox', '--readonly-rootfs', '--', 'touch', '/x').status).toBe(1);
    });

    it('has loopback only with --net=none, and it is up', () => {
      const done = run('--rm', '--net=none', 'busybox', '--', 'ip', '-o', 'link');
      // Some kernels put tunnel devices, which are down, into every network namespace.
      const up = done.stdout.split('\n').filter((line) => /[<,]UP[,>]/.test(line));
      expect(up).toHaveLength(1);
      expect(up[0]).toContain('LOOPBACK,UP');
    });

    it('has the network of the host with --net=host', () => {
      expect(
        run('--rm', '--net=host', 'busybox', '--', 'readlink', '/proc/self/ns/net').stdout,
      ).toBe(readFileLink('/proc/self/ns/net'));
      expect(
        run('--rm', '--net=none', 'busybox', '--', 'readlink', '/proc/self/ns/net').stdout,
      ).not.toBe(readFileLink('/proc/self/ns/net'));
    });

    it('does not see the mounts of the host', () => {
      expect(run('--rm', 'busybox', '--', 'cat', '/proc/self/mounts').stdout).not.toContain(
        '/sys/fs/cgroup/unified',
      );
    });
  });
});

function readFileLink(file: string): string {
  return `${readlinkSync(file)}\n`;
}

/** 0 and 1 would not mean a process of ours. */
function killHard(pid: number | null): void {
  if (pid === null || pid < 2) throw new Error(`no pid to kill: ${String(pid)}`);
  process.kill(pid, 'SIGKILL');
}
