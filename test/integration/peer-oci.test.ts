/** Images that other programs have made, from a registry that others have written, run and compared with what others unpack. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { testPool } from '../support/environment.ts';
import { JetpackHost, until } from '../support/jetpack-host.ts';
import { fillBusybox, makeThreeLayers, OciLayout, peer, skopeo } from '../support/oci-images.ts';
import { toolPath } from '../support/real-zfs.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';

const pool = testPool();
const UNSIGNED = '--insecure-options=image';

interface Row {
  readonly id: string;
  readonly existing: boolean;
  readonly receivedBytes: number;
}

describe.skipIf(pool === undefined)('OCI images of other programs', () => {
  let host: JetpackHost;
  let registry: TestRegistry;
  let layout: OciLayout;

  beforeAll(async () => {
    host = new JetpackHost(pool ?? '');
    host.must('init');
    registry = await startRegistry(host.dir);
    layout = new OciLayout(host.dir, 'layout');
    makeThreeLayers(layout, 'full');
    push('full', 'team/app:1');
  });

  afterAll(async () => {
    await registry.stop();
    host.remove();
  });

  const ref = (name: string) => `docker://${registry.host}/${name}`;

  function push(tag: string, name: string, ...words: readonly string[]): void {
    layout.copy(tag, ref(name), '--dest-tls-verify=false', ...words);
    registry.newRequests();
  }

  function fetchOne(name: string, ...words: readonly string[]): Row {
    const rows = host.json('fetch', UNSIGNED, ...words, name) as readonly Row[];
    const [row] = rows;
    if (row === undefined) throw new Error('nothing was fetched');
    return row;
  }

  /** The tree of an image, mounted for a look. */
  function withTree<T>(id: string, look: (dir: string) => T): T {
    const clone = `${host.root}/build/look`;
    const zfs = (...words: readonly string[]) => spawnSync(toolPath('zfs'), words);
    zfs('clone', `${host.root}/images/${id}@seal`, clone);
    zfs('mount', clone);
    try {
      return look(path.join(host.mountpoint, 'build/look'));
    } finally {
      for (let i = 0; i < 100 && zfs('destroy', clone).status !== 0; i += 1)
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
    }
  }

  /** Mode, owner, size, time, links, target, extended attributes and content of everything in a tree. */
  function inventory(dir: string): readonly string[] {
    const format = '%y %m %U %G %T@ %s %n %l %P\\0';
    const names = peer('/usr/bin/find', ['.', '-mindepth', '1', '-printf', format], dir);
    return names
      .split('\0')
      .filter((line) => line !== '')
      .map((line) => {
        const [type = '', mode, uid, gid, time = '', size, links, ...rest] = line.split(' ');
        const file = rest.slice(1).join(' ');
        const place = path.join(dir, file);
        const content =
          type === 'f' ? createHash('sha256').update(readFileSync(place)).digest('hex') : '';
        const xattrs =
          type === 'l'
            ? ''
            : peer('/usr/bin/getfattr', ['-d', '-m', '-', '--absolute-names', place]);
        const facts = xattrs.split('\n').filter((each) => each !== '' && !each.startsWith('#'));
        // Sizes and links of folders are the file system's own; zfs-fuse keeps whole seconds.
        const own = type === 'd' ? [] : [size, links];
        const seconds = time.split('.')[0];
        return [type, mode, uid, gid, seconds, ...own, ...rest, content, ...facts].join(' ');
      })
      .sort();
  }

  test('an image of a registry runs as its configuration says', () => {
    const { id, existing, receivedBytes } = fetchOne(ref('team/app:1'));
    expect(existing).toBe(false);
    expect(receivedBytes).toBeGreaterThan(500_000);
    expect(host.must('run', '--rm', ref('team/app:1'))).toBe('hello world from /home as app:app');
    const words = ['run', '--rm', id, '--', 'cat /data/seeded; stat -c %u:%g /data'];
    expect(host.must(...words)).toBe('what a volume begins with1234:2345');
    expect(host.must('run', '--rm', id, '--group=0', '--', 'id -un; id -g')).toBe('app\n0');
    const shown = host.json('image', 'show', ref('team/app:1')) as {
      readonly id: string;
      readonly labels: object;
      readonly oci: { readonly layers: readonly unknown[] };
      readonly manifest: { readonly app: { readonly ports: readonly object[] } };
    };
    expect(shown.id).toBe(id);
    expect(shown.labels).toMatchObject({ version: '1', os: 'linux', arch: 'amd64' });
    expect(shown.oci.layers).toHaveLength(3);
    expect(shown.manifest.app.ports).toMatchObject([{ port: 8080, protocol: 'tcp' }]);
  });

  test('its tree is that of umoci, in every file, owner, mode, time and attribute', () => {
    const { id } = fetchOne(ref('team/app:1'));
    const other = inventory(layout.unpack('full', path.join(host.dir, 'bundle')));
    expect(other.length).toBeGreaterThan(30);
    expect(withTree(id, inventory)).toEqual(other);
  });

  test('schema 2, zstd, archives and layouts of skopeo are the same layers', () => {
    const { id } = fetchOne(ref('team/app:1'));
    push('full', 'team/docker:1', '--format=v2s2');
    const docker = fetchOne(ref('team/docker:1'));
    expect(docker.receivedBytes).toBe(0);
    push('full', 'team/zstd:1', '--dest-compress-format=zstd');
    expect(fetchOne(ref('team/zstd:1')).receivedBytes).toBe(0);
    const [save, archive] = [path.join(host.dir, 'save.tar'), path.join(host.dir, 'oci.tar')];
    layout.copy('full', `docker-archive:${save}:example.com/saved:2`);
    layout.copy('full', `oci-archive:${archive}:3`);
    const trees = [save, archive, `oci:${layout.dir}:full`].map((file) => {
      const { id: imported } = host.json('import', UNSIGNED, file) as Row;
      return withTree(imported, inventory);
    });
    const whole = withTree(id, inventory);
    for (const tree of trees) expect(tree).toEqual(whole);
    expect(host.must('run', '--rm', 'example.com/saved:2')).toContain('hello world');
    // Five more images of the same layers: no more than their metadata.
    const used = spawnSync(
      toolPath('zfs'),
      ['list', '-Ho', 'name,origin', '-r', `${host.root}/images`],
      {
        encoding: 'utf8',
      },
    ).stdout;
    expect(used.split('\n').filter((line) => line.includes('@'))).toHaveLength(5);
  });

  test('an index gives each platform its image', () => {
    for (const [tag, words] of [
      ['amd64', ['--architecture=amd64']],
      ['arm64', ['--architecture=arm64']],
    ] as const) {
      layout.create(tag);
      layout.addLayer(tag, (tree) => {
        fillBusybox(tree);
        writeFileSync(path.join(tree, 'for'), tag);
        return undefined;
      });
      layout.config(tag, '--os=linux', ...words, '--config.cmd=/bin/cat', '--config.cmd=/for');
      push(tag, `multi/${tag}:1`);
    }
    const storage = [
      '--root',
      path.join(host.dir, 'b/root'),
      '--runroot',
      path.join(host.dir, 'b/run'),
    ];
    const buildah = (...words: readonly string[]) =>
      peer('/usr/bin/buildah', [...storage, '--storage-driver=vfs', ...words]);
    buildah('manifest', 'create', 'multi');
    for (const tag of ['amd64', 'arm64'])
      buildah('manifest', 'add', '--tls-verify=false', 'multi', ref(`multi/${tag}:1`));
    buildah('manifest', 'push', '--all', '--tls-verify=false', 'multi', ref('multi/both:1'));
    const own = fetchOne(ref('multi/both:1'));
    const arm = fetchOne(ref('multi/both:1'), '--arch=aarch64');
    expect(arm.id).not.toBe(own.id);
    expect(host.must('run', '--rm', ref('multi/both:1'))).toBe('amd64');
    expect(withTree(arm.id, (dir) => readFileSync(path.join(dir, 'for'), 'utf8'))).toBe('arm64');
    const none = host.jetpack(['fetch', UNSIGNED, '--arch=arm/v7', ref('multi/both:1')]);
    expect(none.status).toBe(1);
    expect(none.stderr).toContain('linux/amd64');
    expect(host.jetpack(['image', 'show', ref('multi/both:1')]).stderr).toContain(
      'several platforms',
    );
  });

  test('the pull policy says when the registry is asked', () => {
    push('amd64', 'moving:tag');
    const name = ref('moving:tag');
    expect(host.jetpack(['run', '--pull-policy=never', name]).stderr).toContain('was not fetched');
    expect(registry.newRequests()).toEqual([]);
    expect(host.must('run', '--rm', UNSIGNED, name)).toBe('amd64');
    expect(registry.newRequests().filter((each) => each.includes('/manifests/'))).toHaveLength(1);
    for (const words of [[], ['--pull-policy=never'], ['--pull-policy=new']]) {
      expect(host.must('run', '--rm', ...words, name)).toBe('amd64');
      expect(registry.newRequests()).toEqual([]);
    }
    expect(host.must('run', '--rm', '--pull-policy=update', name)).toBe('amd64');
    expect(registry.newRequests()).toEqual(['HEAD /v2/moving/manifests/tag']);
    // The tag goes on to another image.
    push('full', 'moving:tag');
    expect(host.must('run', '--rm', name)).toBe('amd64');
    const refused = host.jetpack(['run', '--rm', '--pull-policy=update', name]);
    expect([refused.status, refused.stderr]).toEqual([125, expect.stringContaining('not signed')]);
    expect(host.must('run', '--rm', UNSIGNED, '--pull-policy=update', name)).toContain('hello');
    // A digest is what it is: nobody has to be asked.
    const digest = skopeo(
      host.dir,
      ...['inspect', '--tls-verify=false', '--format={{.Digest}}', name],
    ).trim();
    const fixed = ref(`moving@${digest}`);
    fetchOne(fixed);
    registry.newRequests();
    expect(fetchOne(fixed, '--pull-policy=update').existing).toBe(true);
    expect(registry.newRequests()).toEqual([]);
  });

  test('what a registry has damaged is refused, and leaves nothing', () => {
    layout.create('bad');
    layout.addLayer('bad', (tree) => {
      writeFileSync(path.join(tree, 'file'), 'x'.repeat(100_000));
      return undefined;
    });
    push('bad', 'bad:1');
    const manifest = JSON.parse(
      skopeo(host.dir, 'inspect', '--raw', '--tls-verify=false', ref('bad:1')),
    ) as { readonly layers: readonly { readonly digest: string }[] };
    const hex = (manifest.layers[0]?.digest ?? '').slice('sha256:'.length);
    const file = path.join(
      ...[registry.storage, 'docker/registry/v2/blobs/sha256', hex.slice(0, 2), hex, 'data'],
    );
    const bytes = readFileSync(file);
    bytes.writeUInt8(bytes.readUInt8(30) ^ 1, 30);
    writeFileSync(file, bytes);
    const before = host.traces();
    const { status, stderr } = host.jetpack(['fetch', '--json', UNSIGNED, ref('bad:1')]);
    expect([status, stderr]).toEqual([1, expect.stringContaining('FETCH_DIGEST')]);
    expect(host.traces()).toEqual(before);
  });

  test('two fetches at once are one image', async () => {
    layout.create('twice');
    layout.addLayer('twice', fillBusybox);
    push('twice', 'twice:1');
    const both = [0, 1].map(() => host.start(['fetch', UNSIGNED, ref('twice:1')]));
    const ends = both.map((child) => new Promise((resolve) => child.once('exit', resolve)));
    expect(await Promise.all(ends)).toEqual([0, 0]);
    const images = host.json('images') as readonly { readonly name: string }[];
    expect(images.filter(({ name }) => name.endsWith('/twice'))).toHaveLength(1);
  });

  test('a fetch that was killed goes on where it broke off, and gc takes what is left of it', async () => {
    layout.create('large');
    for (const name of ['a', 'b'])
      layout.addLayer('large', (tree) => {
        const random = spawnSync('/usr/bin/head', ['-c', '60000000', '/dev/urandom'], {
          maxBuffer: 100_000_000,
        });
        writeFileSync(path.join(tree, name), random.stdout);
        return undefined;
      });
    push('large', 'large:1');
    const before = host.traces();
    // One that is being finished goes away between the looks.
    const sizeOf = (file: string) => statSync(file, { throwIfNoEntry: false })?.size ?? 0;
    const partial = () =>
      readdirSync(path.join(host.mountpoint, 'blobs'))
        .filter((name) => name.startsWith('.'))
        .map((name) => sizeOf(path.join(host.mountpoint, 'blobs', name)))
        .filter((size) => size > 1_000_000);
    const kill = async () => {
      const child = host.start(['fetch', UNSIGNED, ref('large:1')], 'ignore');
      const gone = new Promise((resolve) => child.once('exit', resolve));
      try {
        await until('a part of a blob', () => partial().length > 0 || child.exitCode !== null);
      } finally {
        child.kill('SIGKILL');
        await gone;
      }
    };
    await kill();
    expect(partial()).not.toEqual([]);
    host.must('gc');
    expect(partial()).toEqual([]);
    expect(host.traces()).toEqual(before);
    await kill();
    const left = partial().reduce((sum, size) => sum + size, 0);
    const { receivedBytes } = fetchOne(ref('large:1'));
    expect(receivedBytes).toBeLessThanOrEqual(120_100_000 - left);
    rmSync(path.join(registry.storage), { recursive: true });
    host.must('gc');
    expect(host.jetpack(['image', 'verify', ref('large:1')])).toMatchObject({ status: 0 });
  });
});
