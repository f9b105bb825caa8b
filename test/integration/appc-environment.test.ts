/** What the processes of an app find around them: spec/ace.md, "Execution Environment", and spec/OS-SPEC.md. */
import { chmodSync, chownSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { addImage } from '../support/appc-images.ts';
import { testPool } from '../support/environment.ts';
import { JetpackHost } from '../support/jetpack-host.ts';

const pool = testPool();
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

describe.skipIf(pool === undefined)('the environment of an app', () => {
  let host: JetpackHost;

  beforeAll(() => {
    host = new JetpackHost(pool ?? '');
    host.must('init');
    addImage(host, 'shell');
  });
  afterAll(() => {
    host.remove();
  });

  /** The output of a script in an app of the image. */
  function sh(
    script: string,
    flags: readonly string[] = [],
    image = 'shell',
    appFlags: readonly string[] = [],
  ) {
    return host.jetpack(['run', '--rm', ...flags, image, ...appFlags, '--', '-c', script]);
  }

  describe('has variables', () => {
    it('that appc demands, the same for the main process and both handlers', () => {
      const show = 'echo "$PATH|$AC_APP_NAME|$container|$AC_METADATA_URL"';
      addImage(host, 'handled', {
        app: {
          exec: ['/bin/sh', '-c', `${show}; exit 0`],
          eventHandlers: ['pre-start', 'post-stop'].map((name) => ({
            name,
            exec: ['/bin/sh', '-c', show],
          })),
        },
      });
      const lines = host.must('run', '--rm', 'handled', '--name=called').split('\n');
      expect(lines).toHaveLength(3);
      expect(new Set(lines).size).toBe(1);
      const [search, name, container, url] = (lines[0] ?? '').split('|');
      expect([search, name, container]).toEqual([PATH, 'called', 'jetpack']);
      // At least 128 bits of token in the URL, and not the pod's UUID.
      expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/[A-Za-z0-9_-]{22,}$/);
    });

    it('of which an image may say PATH, but not who runs it and as what', () => {
      const names = ['PATH', 'AC_APP_NAME', 'AC_METADATA_URL', 'container'];
      addImage(host, 'lies', {
        app: { environment: names.map((name) => ({ name, value: '/bin' })) },
      });
      expect(
        sh('echo "$PATH $AC_APP_NAME $container"; test "$AC_METADATA_URL" != /bin', [], 'lies'),
      ).toMatchObject({ status: 0, stdout: '/bin lies jetpack\n' });
    });

    it('of the user in the image’s passwd, where nothing else says them', () => {
      const show = 'echo "$USER $LOGNAME $HOME $SHELL"';
      expect(sh(show).stdout).toBe('root root /root /bin/sh\n');
      expect(sh(show, [], 'shell', ['--user=www']).stdout).toBe('www www /srv /bin/false\n');
      expect(sh(show, [], 'shell', ['--user=www', '--environment=HOME=/else']).stdout).toBe(
        'www www /else /bin/false\n',
      );
    });

    it('from everywhere in the order of rkt: inherited, image, file, --set-env, --environment', () => {
      const names = ['A', 'B', 'C', 'D', 'E'];
      const file = path.join(host.dir, 'env');
      const lines = names.slice(2).map((name) => `${name}=file`);
      writeFileSync(file, `# a comment\n; another\n\n${lines.join('\n')}\n  Q="as it is" $X\n`);
      addImage(host, 'ordered', {
        app: { environment: names.slice(1).map((name) => ({ name, value: 'image' })) },
      });
      const done = host.jetpack(
        [
          'run',
          '--rm',
          '--inherit-env',
          `--set-env-file=${file}`,
          '--set-env=D=set',
          '--set-env=E=set',
          'ordered',
          '--environment=E=app',
          '--',
          '-c',
          'echo "$A $B $C $D $E $Q ${NOTIFY_SOCKET-unset} ${JETPACK_CONF-unset}"',
        ],
        {
          env: {
            ...Object.fromEntries(names.map((name) => [name, 'inherited'])),
            NOTIFY_SOCKET: '/absent',
          },
        },
      );
      expect(done.stdout).toBe('inherited image file set app "as it is" $X unset unset\n');
      expect(sh('echo "${A-unset}"').stdout).toBe('unset\n');
      writeFileSync(file, 'A=b\nnot a variable\n');
      expect(sh('true', [`--set-env-file=${file}`])).toMatchObject({
        status: 125,
        stderr: expect.stringContaining(`${file}:2: not NAME=VALUE`) as string,
      });
    });

    it('that are passed on as they are, without any evaluation', () => {
      const value = '$HOME `id` "quoted" \\n ünïcode\ttab';
      expect(sh('printf %s "$V"', [`--set-env=V=${value}`]).stdout).toBe(value);
    });
  });

  describe('is that of its user', () => {
    const ids = 'echo "$(id -u) $(id -g) $(id -G)"';
    it.each([
      // A name of passwd comes before a number, also a name that looks like one.
      [['--user=www', '--group=www'], '33 34 34'],
      [['--user=1234', '--group=staff'], '77 50 50'],
      [['--user=4711', '--group=4712'], '4711 4712 4712'],
      [['--user=/owned', '--group=/owned'], '33 50 50'],
      [['--user=www', '--group=www', '--supplementary-gids=50,60'], '33 34 34 50 60'],
      [['--user=www', '--group=www', '--supplementary-gids='], '33 34 34'],
    ])('with %s', (flags, wanted) => {
      if (host.jetpack(['image', 'show', 'owned']).status !== 0) {
        addImage(host, 'owned', {
          app: { supplementaryGIDs: [50] },
          fill: (rootfs) => {
            writeFileSync(path.join(rootfs, 'owned'), '');
            chownSync(path.join(rootfs, 'owned'), 33, 50);
          },
        });
      }
      const groups = flags.some((flag) => flag.startsWith('--supplementary'))
        ? flags
        : [...flags, '--supplementary-gids='];
      expect(sh(ids, [], 'owned', groups)).toMatchObject({ status: 0, stdout: `${wanted}\n` });
    });

    it.each([
      ['--user=nobody-here', 'no such user nobody-here'],
      ['--group=nobody-here', 'no such group nobody-here'],
      ['--user=/absent', '/absent'],
      ['--supplementary-gids=a', '"a" is no group id'],
    ])('and is refused with %s', (flag, message) => {
      const { status, stderr } = sh('true', [], 'shell', [flag]);
      expect(status).toBe(125);
      expect(stderr).toContain(message);
    });
  });

  it('begins in its working directory, which must exist', () => {
    expect(sh('pwd', [], 'shell', ['--working-dir=/srv']).stdout).toBe('/srv\n');
    expect(sh('pwd').stdout).toBe('/\n');
    const { status, stderr } = sh('true', [], 'shell', ['--working-dir=/absent']);
    expect(status).toBe(125);
    expect(stderr).toContain('cannot enter the working directory /absent');
    expect(sh('true', [], 'shell', ['--working-dir=relative']).status).toBe(125);
  });

  it('finds its program as execvp(3) does, in the app’s own PATH and root', () => {
    const run = (...words: readonly string[]) => host.jetpack(['run', '--rm', 'shell', ...words]);
    expect(run('--exec=echo', '--', 'found').stdout).toBe('found\n');
    expect(run('--exec=/bin/echo', '--', 'direct').stdout).toBe('direct\n');
    expect(run('--exec=bin/echo', '--', 'relative').stdout).toBe('relative\n');
    expect(run('--exec=echo', '--environment=PATH=/srv').status).toBe(127);
    expect(run('--exec=/absent').status).toBe(127);
    expect(run('--exec=/etc/passwd').status).toBe(126);
    // No shell looks at the words.
    expect(run('--exec=echo', '--', '$HOME', '*', 'a;b').stdout).toBe('$HOME * a;b\n');
  });

  it('has its handlers run as its user in its root, and keeps what all of them wrote', () => {
    const say = (what: string) => [
      '/bin/sh',
      '-c',
      `echo ${what} $(id -u) >>/tmp/all; cat /tmp/all`,
    ];
    addImage(host, 'logged', {
      app: {
        exec: say('main'),
        user: 'www',
        eventHandlers: [
          { name: 'pre-start', exec: say('before') },
          { name: 'post-stop', exec: say('after') },
        ],
      },
      fill: (rootfs) => {
        chmodSync(path.join(rootfs, 'tmp'), 0o1777);
      },
    });
    host.must('run', '--name=logged-pod', 'logged');
    const lines = ['before 33', 'main 33', 'after 33'];
    const wanted = [...lines.slice(0, 1), ...lines.slice(0, 2), ...lines];
    expect(host.must('logs', 'logged-pod').split('\n')).toEqual(wanted);
    const file = path.join(
      host.mountpoint,
      'pods',
      host.must('list', '-q', '--all'),
      'logs/logged',
    );
    expect(
      readFileSync(file, 'utf8')
        .split('\n')
        .filter((line) => line.includes(' stdout F ')),
    ).toHaveLength(6);
    host.must('rm', 'logged-pod');
  });

  it('has every device and file system that images of Linux rely on', () => {
    const report = sh(
      [
        'for d in null zero full random urandom tty console; do stat -c "%n %F" /dev/$d; done',
        'stat -c "%n %F %a" /dev/shm /dev/pts',
        'readlink /dev/ptmx',
        'for t in proc sysfs devpts tmpfs; do grep -c " $t " /proc/self/mounts | grep -vx 0 >/dev/null && echo $t; done',
        'echo x >/dev/null; head -c 3 /dev/zero | wc -c; head -c 4 /dev/urandom | wc -c; echo x >/dev/full || echo full',
        'echo ok >/dev/shm/x; cat /dev/shm/x; grep " /dev/shm " /proc/self/mounts | cut -d" " -f3',
        'grep " /sys sysfs ro," /proc/self/mounts | wc -l',
      ].join('\n'),
    ).stdout;
    expect(report.split('\n').slice(0, -1)).toEqual([
      ...['null', 'zero', 'full', 'random', 'urandom', 'tty', 'console'].map(
        (name) => `/dev/${name} character special file`,
      ),
      '/dev/shm directory 1777',
      '/dev/pts directory 755',
      'pts/ptmx',
      'proc',
      'sysfs',
      'devpts',
      'tmpfs',
      '3',
      '4',
      'full',
      'ok',
      'tmpfs',
      '1',
    ]);
  });

  describe('is told where it is by /etc', () => {
    const names = 'cat /etc/hostname; hostname';
    it('hostname, the same as uname(2) says', () => {
      const [file, kernel] = sh(names).stdout.split('\n');
      expect(file).toMatch(/^jetpack-[0-9a-f-]{36}$/);
      expect(kernel).toBe(file);
      expect(sh(names, ['--hostname=box.example']).stdout).toBe('box.example\nbox.example\n');
    });

    it('hosts, with localhost and the pod, where the image has none', () => {
      expect(sh('cat /etc/hosts', ['--hostname=box']).stdout).toBe(
        '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.1.1 box\n',
      );
      addImage(host, 'hosted', {
        fill: (rootfs) => {
          writeFileSync(path.join(rootfs, 'etc/hosts'), 'of the image\n');
        },
      });
      expect(sh('cat /etc/hosts', [], 'hosted').stdout).toBe('of the image\n');
    });

    it('hosts with entries, or as the host has it, when asked for', () => {
      const entries = ['--hosts-entry=10.0.0.5=db,db.example', '--hosts-entry=fd00::1=six'];
      expect(sh('tail() { sed -n "4,\\$p"; }; tail </etc/hosts', entries, 'hosted').stdout).toBe(
        '10.0.0.5 db db.example\nfd00::1 six\n',
      );
      expect(sh('cat /etc/hosts', ['--hosts-entry=host']).stdout).toBe(
        readFileSync('/etc/hosts', 'utf8'),
      );
      for (const bad of ['10.0.0=db', '10.0.0.1', '10.0.0.1=a b'])
        expect(sh('true', [`--hosts-entry=${bad}`]).status).toBe(125);
    });

    it('resolv.conf: the host’s with its network, the image’s without', () => {
      addImage(host, 'resolving', {
        fill: (rootfs) => {
          writeFileSync(path.join(rootfs, 'etc/resolv.conf'), 'of the image\n');
        },
      });
      const own = readFileSync('/etc/resolv.conf', 'utf8');
      const show = 'cat /etc/resolv.conf';
      expect(sh(show, [], 'resolving').stdout).toBe('of the image\n');
      expect(sh(show, ['--net=host'], 'resolving').stdout).toBe(own);
      expect(sh(show, ['--dns=host'], 'resolving').stdout).toBe(own);
      expect(sh(show, ['--net=host', '--dns=none'], 'resolving').stdout).toBe('of the image\n');
    });

    it('resolv.conf as the flags say, before everything else', () => {
      const flags = [
        '--dns=9.9.9.9',
        '--dns=2620:fe::fe',
        '--dns-search=a.example',
        '--dns-search=b.example',
        '--dns-opt=ndots:2',
        '--dns-domain=c.example',
      ];
      expect(sh('cat /etc/resolv.conf', flags, 'resolving').stdout).toBe(
        'domain c.example\nsearch a.example b.example\nnameserver 9.9.9.9\nnameserver 2620:fe::fe\noptions ndots:2\n',
      );
      for (const bad of ['--dns=nine', '--dns-search=a b', '--dns-opt=A B'])
        expect(sh('true', [bad]).status).toBe(125);
      expect(sh('true', ['--dns=host', '--dns=9.9.9.9']).stderr).toContain('does not go with');
    });

    it('which is the user’s where a volume covers it', () => {
      const file = path.join(host.dir, 'own');
      writeFileSync(file, 'of the volume\n');
      const volume = [`--volume=f,kind=host,source=${file}`, '--net=host'];
      for (const name of ['hosts', 'hostname', 'resolv.conf'])
        expect(sh(`cat /etc/${name}`, volume, 'shell', [`--mount=f:/etc/${name}`]).stdout).toBe(
          'of the volume\n',
        );
    });

    it('none of which an app can change for another, or for the host', () => {
      expect(sh('for f in hosts hostname; do echo x >>/etc/$f && echo $f; done; true').stdout).toBe(
        '',
      );
    });
  });

  it('shares processes, IPC, host name and network with the other apps of the pod, but no files', () => {
    const spaces = 'for n in pid ipc uts net mnt; do echo "$n $(readlink /proc/self/ns/$n)"; done';
    const wait = (what: string) =>
      `n=0; until ${what}; do n=$((n+1)); test $n -lt 100 || exit 9; sleep 0.1; done`;
    const first = [
      spaces,
      'touch /mine; sleep 30 & s=$!',
      'nc -l -p 7777 >/got &',
      `${wait('test -s /got')}; cat /got`,
      'wait $s; test $? -gt 128',
    ].join('\n');
    const second = [
      spaces,
      wait('test -n "$(ps -o pid,args | sed -n "s/^ *\\([0-9]*\\) sleep 30$/\\1/p")"'),
      'test -e /mine || echo "own root"',
      wait('echo "over loopback" | nc -w 1 127.0.0.1 7777 2>/dev/null'),
      'kill $(ps -o pid,args | sed -n "s/^ *\\([0-9]*\\) sleep 30$/\\1/p") && echo signalled',
    ].join('\n');
    const done = host.jetpack([
      ...['run', '--rm', '--hostname=both'],
      ...['shell', '--name=first', '--', '-c', first, '---'],
      ...['shell', '--name=second', '--', '-c', second],
    ]);
    expect(done.status, done.stderr).toBe(0);
    const lines = done.stdout.split('\n').filter((line) => line !== '');
    const count = (what: string) => new Set(lines.filter((line) => line.startsWith(what))).size;
    expect(['pid', 'ipc', 'uts', 'net', 'mnt'].map((name) => count(`${name} `))).toEqual([
      1, 1, 1, 1, 2,
    ]);
    expect(lines).toEqual(expect.arrayContaining(['own root', 'over loopback', 'signalled']));
  });

  it('begins every time with a clean copy of the image', () => {
    const touch = 'test -e /left && echo dirty; touch /left; echo done';
    expect(sh(touch).stdout).toBe('done\n');
    expect(sh(touch).stdout).toBe('done\n');
  });
});
