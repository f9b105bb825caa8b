/** Pod manifests as spec/pods.md and spec/ace.md have them: given as a file, or made from the command line. */
import {
  chmodSync,
  chownSync,
  linkSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { spawn } from 'node:child_process';
import path from 'node:path';
import process from 'node:process';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { addImage } from '../support/appc-images.ts';
import { testPool } from '../support/environment.ts';
import { JetpackHost, PROJECT } from '../support/jetpack-host.ts';

const pool = testPool();

describe.skipIf(pool === undefined)('a pod manifest', () => {
  let host: JetpackHost;
  let shell: string;
  let pointed: string;
  let docker: string;
  let srv: string;

  beforeAll(() => {
    host = new JetpackHost(pool ?? '');
    host.must('init');
    srv = path.join(host.dir, 'srv');
    mkdirSync(path.join(srv, 'sub'), { recursive: true });
    writeFileSync(path.join(srv, 'file'), 'of the host\n');
    symlinkSync(srv, path.join(host.dir, 'link'));
    shell = addImage(host, 'example.com/shell', {
      manifest: {
        annotations: [{ name: 'authors', value: 'the image' }],
      },
    });
    const mountPoints = [
      { name: 'data', path: '/srv/data' },
      { name: 'conf', path: '/srv/conf', readOnly: true },
    ];
    pointed = addImage(host, 'example.com/pointed', { app: { mountPoints } });
    docker = addImage(host, 'example.com/docker', {
      app: {
        mountPoints: [{ name: 'volume-srv-seed', path: '/srv/seed' }],
        user: 'www',
        group: 'www',
      },
      manifest: { annotations: [{ name: 'appc.io/docker/repository', value: 'library/docker' }] },
      fill: (rootfs) => {
        const seed = path.join(rootfs, 'srv/seed');
        mkdirSync(path.join(seed, 'sub'), { recursive: true });
        writeFileSync(path.join(seed, 'a'), 'of the image');
        linkSync(path.join(seed, 'a'), path.join(seed, 'sub/b'));
        chownSync(path.join(seed, 'a'), 33, 34);
        chownSync(seed, 33, 34);
        chmodSync(seed, 0o2750);
      },
    });
  });
  afterAll(() => {
    host.remove();
  });

  const sh = (script: string) => ({ exec: ['/bin/sh', '-c', script], user: '0', group: '0' });
  const manifestOf = (apps: readonly object[], more: object = {}) => ({
    acKind: 'PodManifest',
    acVersion: '0.8.11',
    apps,
    ...more,
  });
  const one = (app: object, more: object = {}) =>
    manifestOf([{ name: 'one', image: { id: shell }, ...app }], more);

  /** `jetpack COMMAND FLAGS --pod-manifest=-`. */
  function give(manifest: unknown, command: readonly string[] = ['run', '--rm']) {
    const input = typeof manifest === 'string' ? manifest : JSON.stringify(manifest);
    return host.jetpack([...command, '--pod-manifest=-'], { input });
  }
  function prepared(manifest: unknown): { readonly uuid: string; readonly stderr: string } {
    const { status, stdout, stderr } = give(manifest, ['prepare']);
    if (status !== 0) throw new Error(stderr);
    return { uuid: stdout.trim(), stderr };
  }
  const reified = (uuid: string) => JSON.parse(host.must('manifest', uuid)) as object;

  it('says the same as the words of the command line, and is reified to the same manifest', () => {
    const words = host.must(
      'prepare',
      '--volume=data,kind=empty,mode=1777',
      `--volume=conf,kind=host,source=${srv},readOnly=true`,
      '--user-label=tier=web',
      'example.com/pointed',
      '--name=web',
      '--user=www',
      '--environment=A=b',
      '--annotation=authors=us',
      '--',
      '-c',
      'true',
    );
    const file = path.join(host.dir, 'pod.json');
    writeFileSync(
      file,
      JSON.stringify(
        manifestOf(
          [
            {
              name: 'web',
              image: { name: 'example.com/pointed', labels: [{ name: 'os', value: 'linux' }] },
              app: {
                exec: ['/bin/sh', '-c', 'true'],
                user: 'www',
                group: '0',
                environment: [{ name: 'A', value: 'b' }],
                mountPoints: [
                  { name: 'data', path: '/srv/data' },
                  { name: 'conf', path: '/srv/conf', readOnly: true },
                ],
              },
              annotations: [{ name: 'authors', value: 'us' }],
            },
          ],
          {
            volumes: [
              { name: 'data', kind: 'empty', mode: '1777' },
              { name: 'conf', kind: 'host', source: srv, readOnly: true },
            ],
            userLabels: { tier: 'web' },
          },
        ),
      ),
    );
    const fromFile = host.must('prepare', `--pod-manifest=${file}`);
    expect(reified(fromFile)).toEqual(reified(words));
    expect(reified(words)).toMatchObject({ apps: [{ image: { id: pointed } }] });
    // And what was reified once can be given again as it is.
    const again = prepared(host.must('manifest', words));
    expect(again.stderr).not.toContain('warning');
    expect(reified(again.uuid)).toEqual(reified(words));
    host.must('rm', words, fromFile, again.uuid);
  });

  it('is read from an input that a caller has made non-blocking, which has it only later', async () => {
    // Whoever opens a pipe as process.stdin makes it so for all who have it.
    const script = `process.stdin;
      require('node:child_process')
        .spawn(process.execPath, process.argv.slice(1), { stdio: 'inherit' })
        .on('exit', (status) => process.exit(status));`;
    const main = path.join(PROJECT, 'dist/main.cjs');
    const child = spawn(
      'sh',
      [
        '-c',
        'cat | "$@"',
        'sh',
        process.execPath,
        '-e',
        script,
        main,
        'prepare',
        '--pod-manifest=-',
      ],
      { env: host.env, stdio: ['pipe', 'pipe', 'pipe'] },
    );
    let out = '';
    child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (out += chunk.toString()));
    const ended = new Promise((resolve) => child.once('close', resolve));
    await new Promise((resolve) => setTimeout(resolve, 1000));
    child.stdin.end(JSON.stringify(one({ app: sh('true') })));
    expect(await ended).toBe(0);
    expect(out).toMatch(/^[0-9a-f-]{36}\n$/);
    host.must('rm', out.trim());
  });

  it('names its images by id, by the beginning of one, or by name and labels, and is reified to ids', () => {
    for (const image of [
      { id: shell },
      { id: shell.slice(0, 20) },
      { name: 'example.com/shell' },
      { name: 'example.com/shell', labels: [{ name: 'os', value: 'linux' }] },
    ]) {
      const { uuid } = prepared(one({ image }));
      expect(reified(uuid)).toMatchObject({
        apps: [{ image: { id: shell, name: 'example.com/shell' } }],
      });
      host.must('rm', uuid);
    }
    const absent = give(one({ image: { name: 'example.com/absent' } }));
    expect(absent.status).toBe(125);
    expect(absent.stderr).toContain('the pod manifest, apps[0].image.name: ');
  });

  it('is believed about an image by its id alone, and told where the name or a label is another', () => {
    const image = {
      id: shell,
      name: 'example.com/other',
      labels: [{ name: 'os', value: 'plan9' }],
    };
    const { uuid, stderr } = prepared(one({ image }));
    expect(stderr).toContain(
      'apps[0].image.name: app one: the image of this id is called example.com/shell',
    );
    expect(stderr).toContain('apps[0].image.labels[0]: app one: the image of this id has os=linux');
    expect(reified(uuid)).toMatchObject({ apps: [{ image: { name: 'example.com/shell' } }] });
    host.must('rm', uuid);
  });

  it('puts its app in the place of the image’s as a whole', () => {
    const image = addImage(host, 'example.com/settled', {
      app: { environment: [{ name: 'OF', value: 'image' }], workingDirectory: '/srv', user: 'www' },
    });
    const whole = give(one({ image: { id: image }, app: sh('echo "${OF-none} $(pwd) $(id -u)"') }));
    expect(whole.stdout).toBe('none / 0\n');
    const ofImage = give(manifestOf([{ name: 'one', image: { id: image } }]), ['prepare']);
    expect(reified(ofImage.stdout.trim())).toMatchObject({
      apps: [{ app: { exec: ['/bin/sh'], workingDirectory: '/srv', user: 'www' } }],
    });
    host.must('rm', ofImage.stdout.trim());
  });

  it.each([
    ['example.com/shell'],
    ['--volume=v,kind=empty'],
    ['--mount=v:/v'],
    ['--set-env=A=b'],
    ['--set-env-file=/dev/null'],
    ['--inherit-env'],
    ['--environment=A=b'],
    ['--user=www'],
    ['--annotation=a=b'],
    ['--port=http:80'],
    ['--exec=/bin/sh'],
    ['--readonly-rootfs'],
  ])('does not go with %s, which is refused by name', (word) => {
    for (const command of ['run', 'prepare']) {
      const { status, stderr } = give(one({ app: sh('true') }), [command, word]);
      expect(status).toBe(command === 'run' ? 125 : 2);
      expect(stderr).toContain(`${word.replace(/=.*/, '')} does not go with --pod-manifest`);
    }
  });

  it.each<[string, () => unknown, string]>([
    ['no JSON', () => '{', 'it is not JSON'],
    ['another kind', () => ({ ...one({}), acKind: 'ImageManifest' }), 'at acKind'],
    ['another major version', () => ({ ...one({}), acVersion: '1.0.0' }), 'at acVersion'],
    ['no apps', () => manifestOf([]), 'at apps: must have an app'],
    [
      'two apps of one name',
      () =>
        manifestOf([
          { name: 'a', image: { id: shell } },
          { name: 'a', image: { id: shell } },
        ]),
      'at apps[1]: the app "a" is there twice',
    ],
    ['a bad name of an app', () => one({ name: 'A_b' }), 'at apps[0].name'],
    ['no image', () => one({ image: {} }), 'at apps[0].image'],
    ['a short id', () => one({ image: { id: 'sha512-x' } }), 'at apps[0].image.id'],
    [
      'a mount of a volume that is not there',
      () => one({ app: sh('true'), mounts: [{ volume: 'data', path: '/data' }] }),
      'the pod manifest, apps[0].mounts[0].volume: app one: the mount at /data wants volume "data"',
    ],
    [
      'volumes of one name',
      () =>
        one(
          {},
          {
            volumes: [
              { name: 'v', kind: 'empty' },
              { name: 'v', kind: 'empty' },
            ],
          },
        ),
      'at volumes[1]: the volume "v" is there twice',
    ],
    [
      'targets that overlap',
      () =>
        one(
          {
            app: sh('true'),
            mounts: [
              { volume: 'v', path: '/srv' },
              { volume: 'v', path: '/srv/sub/' },
            ],
          },
          { volumes: [{ name: 'v', kind: 'empty' }] },
        ),
      'apps[0].mounts[1].path: app one: the mounts at /srv and /srv/sub/ overlap',
    ],
    [
      'a missing source',
      () =>
        one(
          { app: sh('true'), mounts: [{ volume: 'v', path: '/srv' }] },
          { volumes: [{ name: 'v', kind: 'host', source: '/absent/at all' }] },
        ),
      'volumes[0].source: volume "v": the source /absent/at all is not there',
    ],
    [
      'a source through a link',
      () =>
        one(
          { app: sh('true'), mounts: [{ volume: 'v', path: '/srv' }] },
          { volumes: [{ name: 'v', kind: 'host', source: path.join(host.dir, 'link/sub') }] },
        ),
      'leads through a symbolic link',
    ],
    [
      'fields of the other kind of volume',
      () => one({}, { volumes: [{ name: 'v', kind: 'empty', source: '/x' }] }),
      'at volumes[0].source: belongs to volumes of kind host',
    ],
    [
      'a port that no app has',
      () => one({ app: sh('true') }, { ports: [{ name: 'http', hostPort: 80 }] }),
      'ports[0].name: no app of the pod has a port "http"',
    ],
    [
      'a bad amount',
      () =>
        one({
          app: {
            ...sh('true'),
            isolators: [{ name: 'resource/memory', value: { limit: '16MB' } }],
          },
        }),
      'at apps[0].app.isolators[0].value.limit: must be an amount',
    ],
    [
      'no program',
      () => one({ app: { user: '0', group: '0' } }),
      'the pod manifest, apps[0].app.exec: app one: ',
    ],
  ])('with %s is refused in one line that names the field', (_what, manifest, message) => {
    const { status, stderr } = give(manifest());
    expect(status).toBe(125);
    expect(stderr).toContain(message);
    expect(stderr.split('\n').filter((line) => line.startsWith('jetpack:'))).toHaveLength(1);
    expect(host.must('list', '-q', '--all')).toBe('');
  });

  it('keeps what nobody knows, and tells it', () => {
    const isolators = [{ name: 'example.com/speed', value: { warp: 9 } }];
    const { uuid, stderr } = prepared(
      one({ app: { ...sh('true'), isolators }, readOnlyRootfs: true }, { extra: { a: [1] } }),
    );
    expect(stderr).toContain(
      'apps[0].app.isolators[0]: the isolator example.com/speed is not known',
    );
    expect(stderr).toContain('apps[0].readOnlyRootfs: is no field of appc');
    expect(stderr).toContain('did you mean readOnlyRootFS?');
    expect(stderr).toContain('extra: is no field of appc');
    expect(reified(uuid)).toMatchObject({
      extra: { a: [1] },
      apps: [{ readOnlyRootfs: true, app: { isolators } }],
    });
    host.must('rm', uuid);
  });

  it('fills mount points that nothing fills with empty volumes, and says so', () => {
    const { uuid, stderr } = prepared(manifestOf([{ name: 'one', image: { id: pointed } }]));
    expect(stderr).toContain('no volume for mount point "data" (/srv/data)');
    expect(reified(uuid)).toMatchObject({
      volumes: [
        { name: 'data', kind: 'empty' },
        { name: 'conf', kind: 'empty' },
      ],
      apps: [
        {
          mounts: [
            { volume: 'data', path: '/srv/data' },
            { volume: 'conf', path: '/srv/conf' },
          ],
        },
      ],
    });
    host.must('rm', uuid);
  });

  it('gives volumes their mode and owner, the same to all apps, for the life of the pod', () => {
    const volumes = [
      { name: 'v', kind: 'empty', mode: '2770', uid: 33, gid: 50 },
      { name: 'plain', kind: 'empty' },
    ];
    const mounts = [
      { volume: 'v', path: '/v' },
      { volume: 'plain', path: '/plain' },
    ];
    const look = 'stat -c "%a %u %g" /v /plain; echo here >/v/it; sleep 1';
    const wait = 'until test -s /v/it; do sleep 0.1; done; cat /v/it';
    const done = give(
      manifestOf(
        [
          { name: 'a', image: { id: shell }, app: sh(look), mounts },
          { name: 'b', image: { id: shell }, app: sh(wait), mounts },
        ],
        { volumes },
      ),
      ['run', '--name=shared'],
    );
    expect(done.status).toBe(0);
    expect(done.stdout.split('\n').sort()).toEqual(['', '2770 33 50', '755 0 0', 'here']);
    expect(host.must('run', 'shared')).toContain('here');
    host.must('rm', 'shared');
  });

  it('has volumes of one app beside those of the pod', () => {
    const mounts = (text: string) => [
      { volume: 'v', path: '/v', appVolume: { name: 'v', kind: 'empty', mode: text } },
      { volume: 'w', path: '/w' },
    ];
    const apps = ['0700', '0711'].map((mode, i) => ({
      name: `app${String(i)}`,
      image: { id: shell },
      app: sh('stat -c "%a" /v; touch /v/mine; test $(ls /v | wc -l) = 1'),
      mounts: mounts(mode),
    }));
    const done = give(manifestOf(apps, { volumes: [{ name: 'w', kind: 'empty' }] }));
    expect(done.status).toBe(0);
    expect(done.stdout.split('\n').sort()).toEqual(['', '700', '711']);
    const other = { volume: 'v', path: '/v', appVolume: { name: 'x', kind: 'empty' } };
    expect(give(one({ app: sh('true'), mounts: [other] })).stderr).toContain(
      'apps[0].mounts[0].appVolume.name',
    );
  });

  it('lets readOnly of a volume beat that of the mount point', () => {
    const tries = 'touch /srv/data/x && echo data; touch /srv/conf/x && echo conf; true';
    const run = (volumes: readonly object[]) =>
      give(
        manifestOf(
          [
            {
              name: 'one',
              image: { id: pointed },
              app: {
                ...sh(tries),
                mountPoints: [
                  { name: 'data', path: '/srv/data' },
                  { name: 'conf', path: '/srv/conf', readOnly: true },
                ],
              },
            },
          ],
          { volumes },
        ),
      ).stdout;
    const empty = { kind: 'empty' };
    expect(
      run([
        { name: 'data', ...empty },
        { name: 'conf', ...empty },
      ]),
    ).toBe('data\n');
    expect(
      run([
        { name: 'data', ...empty, readOnly: true },
        { name: 'conf', ...empty, readOnly: false },
      ]),
    ).toBe('conf\n');
  });

  it('mounts folders of the host with what is mounted in them or without, and single files', () => {
    const recursive = (value: boolean | undefined) =>
      give(
        one(
          {
            app: sh('grep -c " /h/sub " /proc/self/mounts; cat /f'),
            mounts: [
              { volume: 'h', path: '/h' },
              { volume: 'f', path: '/f' },
            ],
          },
          {
            volumes: [
              {
                name: 'h',
                kind: 'host',
                source: srv,
                ...(value === undefined ? {} : { recursive: value }),
              },
              { name: 'f', kind: 'host', source: path.join(srv, 'file'), readOnly: true },
            ],
          },
        ),
      ).stdout;
    const mounted = path.join(srv, 'sub');
    host.mountTmpfs(mounted);
    try {
      expect(recursive(undefined)).toBe('1\nof the host\n');
      expect(recursive(true)).toBe('1\nof the host\n');
      expect(recursive(false)).toBe('0\nof the host\n');
    } finally {
      host.unmount(mounted);
    }
  });

  it('follows links in sources only when the pod asks for it', () => {
    const manifest = one(
      { app: sh('cat /h/file'), mounts: [{ volume: 'h', path: '/h' }] },
      { volumes: [{ name: 'h', kind: 'host', source: path.join(host.dir, 'link') }] },
    );
    expect(give(manifest).stderr).toContain('--follow-volume-links');
    expect(give(manifest, ['run', '--rm', '--follow-volume-links']).stdout).toBe('of the host\n');
  });

  it('makes missing targets root:root 0755, and tells what a volume hides or replaces', () => {
    const done = give(
      one(
        {
          app: sh('stat -c "%a %u %g" /new /new/deep; ls /etc/passwd; test -d /etc/passwd'),
          mounts: [
            { volume: 'a', path: '/new/deep/er' },
            { volume: 'b', path: '/bin/../home/../etc/passwd' },
            { volume: 'c', path: '/home' },
          ],
        },
        { volumes: ['a', 'b', 'c'].map((name) => ({ name, kind: 'empty' })) },
      ),
    );
    expect(done.stdout).toBe('755 0 0\n755 0 0\n');
    expect(done.stderr).toContain("takes the place of the image's file /etc/passwd");
    const hiding = give(
      one(
        { app: sh('true'), mounts: [{ volume: 'a', path: '/etc' }] },
        { volumes: [{ name: 'a', kind: 'empty' }] },
      ),
    );
    expect(hiding.stderr).toContain('hides what the image has at /etc');
  });

  it('has the image’s content and owner in the volumes of an image that was Docker’s, and in no other', () => {
    const look = 'cd /srv/seed && stat -c "%n %a %u %g %h" . a sub/b && cat a && echo more >>a';
    const app = {
      ...sh(look),
      user: 'www',
      group: 'www',
      mountPoints: [{ name: 'volume-srv-seed', path: '/srv/seed' }],
    };
    const run = (image: string, more: object = {}) =>
      give(manifestOf([{ name: 'one', image: { id: image }, app }], more), [
        'run',
        '--name=seeded',
      ]);
    const first = run(docker);
    expect(first.stdout).toBe('. 2750 33 34 3\na 644 33 34 2\nsub/b 644 33 34 2\nof the image');
    // Seeded once: what the app wrote is there at the next run.
    expect(host.must('run', 'seeded')).toContain('of the imagemore');
    host.must('rm', 'seeded');
    const chosen = run(docker, {
      volumes: [{ name: 'volume-srv-seed', kind: 'empty', mode: '0777' }],
    });
    expect(chosen.stdout).not.toContain('of the image');
    host.must('rm', 'seeded');
    expect(run(shell).stdout).not.toContain('of the image');
    host.must('rm', 'seeded');
  });

  it('can make the root of an app read-only, and leaves its volumes as they are', () => {
    const app = sh('touch /x 2>/dev/null && echo root; touch /v/x && echo volume; true');
    const run = (readOnlyRootFS: boolean) =>
      give(
        one(
          { app, readOnlyRootFS, mounts: [{ volume: 'v', path: '/v' }] },
          { volumes: [{ name: 'v', kind: 'empty' }] },
        ),
      ).stdout;
    expect(run(true)).toBe('volume\n');
    expect(run(false)).toBe('root\nvolume\n');
  });

  it('tells which ports lead nowhere, and refuses them as a flag', () => {
    const app = { ...sh('true'), ports: [{ name: 'http', protocol: 'tcp', port: 80 }] };
    const ports = [{ name: 'http', hostPort: 8080 }];
    const done = give(one({ app }, { ports }));
    expect(done.status).toBe(0);
    expect(done.stderr).toContain('ports[0].hostPort: port 8080 of the host does not lead to');
    const image = addImage(host, 'example.com/ports', { app });
    const flag = host.jetpack(['run', '--rm', '--port=http:8080', image, '--', '-c', 'true']);
    expect(flag.status).toBe(125);
    expect(flag.stderr).toContain('--net=host');
  });

  it('is stored as it was reified, for those who may read it', () => {
    const { uuid } = prepared(
      one({ app: sh('true') }, { annotations: [{ name: 'x', value: 'y' }] }),
    );
    const text = readFileSync(path.join(host.mountpoint, 'pods', uuid, 'manifest'), 'utf8');
    expect(JSON.parse(text)).toEqual(reified(uuid));
    expect(reified(uuid)).toMatchObject({
      acKind: 'PodManifest',
      annotations: [{ name: 'x', value: 'y' }],
    });
    host.must('rm', uuid);
  });
});
