/** Images out of the store: the very bytes that came, and canonical archives; whole files, or none at all. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { gzipSync } from 'node:zlib';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { testPool } from '../support/environment.ts';
import { JetpackHost, PROJECT, until } from '../support/jetpack-host.ts';
import { aci, MANIFEST, tar } from '../support/tar.ts';

const pool = testPool();
const sha512 = (bytes: Buffer) => `sha512-${createHash('sha512').update(bytes).digest('hex')}`;
const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

describe.skipIf(pool === undefined)('image export', () => {
  const host = new JetpackHost(pool ?? '');
  const work = mkdtempSync(path.join(tmpdir(), 'jetpack-export-'));
  const at = (name: string) => path.join(work, name);

  const named = (name: string, more: object = {}) => ({ ...MANIFEST, name, ...more });
  // In no order, with a link before its target in the order of names, and times finer than a second.
  const members = [
    { name: 'rootfs/z', data: 'the content', mode: 0o640, uid: 12, gid: 34, mtime: 1_600_000_000 },
    { name: 'rootfs/a', type: '1', link: 'rootfs/z' },
    { name: 'rootfs/dir/', mode: 0o2755, mtime: 1_500_000_000 },
    { name: 'rootfs/dir/link', type: '2', link: '../z' },
    { name: 'rootfs/dir/fine', data: 'x', pax: { mtime: '1600000000.123456' } },
  ];
  const plain = aci(members, named('example.com/plain'));
  const packed = gzipSync(aci(members, named('example.com/packed')));

  function imported(bytes: Buffer): string {
    writeFileSync(at('import'), bytes);
    return host.must('import', '--insecure-options=image', at('import'));
  }

  function exported(id: string, ...words: readonly string[]): Buffer {
    host.must('image', 'export', ...words, id, at('out'));
    return readFileSync(at('out'));
  }

  beforeAll(() => {
    host.must('init');
  });
  afterAll(() => {
    rmSync(work, { recursive: true, force: true });
    host.remove();
  });

  test('gives an ACI back as it came, byte for byte, compressed or not', () => {
    for (const bytes of [plain, packed]) {
      const id = imported(bytes);
      expect(host.must('image', 'export', id, at('out'))).toBe(id);
      expect(readFileSync(at('out'))).toEqual(bytes);
    }
  });

  test('makes a canonical ACI of the tree, the same every time, and of whatever archive it came', () => {
    const id = imported(plain);
    const printed = host.must('image', 'export', '--flat', id, at('out'));
    const canonical = readFileSync(at('out'));
    expect(printed).toBe(sha512(canonical));
    // The members in another order are the same tree.
    const turned = tar([
      { name: 'rootfs/', mode: 0o755 },
      ...[2, 4, 3, 0, 1].flatMap((i) => members[i] ?? []),
      { name: 'manifest', data: JSON.stringify(named('example.com/plain')) },
    ]);
    const other = imported(turned);
    expect(other).not.toBe(id);
    expect(exported(other, '--flat')).toEqual(canonical);
    // And what comes of it is it once more.
    const again = imported(canonical);
    expect(again).toBe(printed);
    expect(exported(again, '--flat')).toEqual(canonical);
    expect(host.must('image', 'verify', again)).not.toBe('');
  });

  test('makes an ACI of one with dependencies that needs none', () => {
    const base = imported(aci([{ name: 'rootfs/base', data: 'b' }], named('example.com/base')));
    const dependencies = [{ imageName: 'example.com/base', imageID: base }];
    const top = named('example.com/top', { dependencies, pathWhitelist: ['/base', '/top'] });
    const members = ['base', 'top', 'left-out'].map((name) => ({
      name: `rootfs/${name}`,
      data: name,
    }));
    const id = imported(aci(members.slice(1), top));
    const flat = exported(id, '--flat');
    const alone = imported(flat);
    const manifest = JSON.parse(host.must('image', 'manifest', alone)) as object;
    expect(Object.keys(manifest)).not.toContain('dependencies');
    expect(Object.keys(manifest)).not.toContain('pathWhitelist');
    const names = flat.toString('latin1').match(/rootfs\/[a-z-]+/g);
    expect(names).toEqual(['rootfs/base', 'rootfs/top']);
  });

  test('says what an OCI image has no place for', () => {
    const app = { ...MANIFEST.app, isolators: [{ name: 'resource/cpu', value: { limit: '1' } }] };
    const id = imported(aci([], named('example.com/limited', { app })));
    const { status, stdout, stderr } = host.jetpack([
      'image',
      'export',
      '--format=oci',
      id,
      at('out'),
    ]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^sha256:[0-9a-f]{64}\n$/);
    expect(stderr).toContain('isolators: left out');
  });

  test('writes to standard output, but not to a terminal', () => {
    const id = imported(packed);
    const piped = host.jetpack(['image', 'export', id]);
    expect(piped.status).toBe(0);
    expect(piped.stdout.length).toBeGreaterThan(0);
    const line = `${process.execPath} ${PROJECT}/dist/main.cjs image export ${id}`;
    const onTerminal = spawnSync('/usr/bin/script', ['-qefc', line, '/dev/null'], {
      encoding: 'utf8',
      env: host.env,
      timeout: 60_000,
    });
    expect(onTerminal.status).toBe(2);
    expect(onTerminal.stdout).toContain('standard output is a terminal');
    const shown = host.jetpack(['export', '--format=docker', id, '-']);
    expect(shown.status).toBe(0);
    expect(shown.stdout).toContain('manifest.json');
  });

  test('puts several images into one layout, and replaces one of the same name', () => {
    const [one, two] = [imported(plain), imported(packed)];
    const into = (id: string, name: string) =>
      host.must('image', 'export', '--format=oci', `--name=${name}`, id, at('layout/'));
    const digests = [into(one, 'a'), into(two, 'b'), into(two, 'a')];
    const index = JSON.parse(readFileSync(at('layout/index.json'), 'utf8')) as {
      manifests: { digest: string; annotations: Record<string, string> }[];
    };
    expect(
      index.manifests.map((entry) => [
        entry.annotations['org.opencontainers.image.ref.name'],
        entry.digest,
      ]),
    ).toEqual([
      ['b', digests[1]],
      ['a', digests[1]],
    ]);
    for (const hex of readdirSync(at('layout/blobs/sha256'))) {
      expect(sha256(readFileSync(at(`layout/blobs/sha256/${hex}`)))).toBe(hex);
    }
    mkdirSync(at('other'));
    writeFileSync(at('other/file'), 'not ours');
    const refused = host.jetpack(['image', 'export', '--format=oci', one, at('other')]);
    expect(refused.status).toBe(2);
    expect(readdirSync(at('other'))).toEqual(['file']);
  });

  test('replaces a file as a whole, behind a symlink too, and leaves nothing half-written', async () => {
    const big = imported(
      aci(
        [{ name: 'rootfs/big', data: Buffer.alloc(30_000_000, 'jetpack') }],
        named('example.com/big'),
      ),
    );
    mkdirSync(at('folder'));
    writeFileSync(at('folder/real'), 'as it was');
    symlinkSync('real', at('folder/link'));
    const child = host.start(['image', 'export', '--flat', '--format=oci', big, at('folder/link')]);
    await until('the export is at work', () => readBuild().length > 0);
    child.kill('SIGINT');
    const [status] = (await once(child, 'exit')) as [number];
    expect(status).toBe(1);
    expect(readdirSync(at('folder')).sort()).toEqual(['link', 'real']);
    expect(readFileSync(at('folder/real'), 'utf8')).toBe('as it was');
    expect(readBuild()).toEqual([]);
    host.must('image', 'export', big, at('folder/link'));
    expect(readFileSync(at('folder/real')).length).toBeGreaterThan(30_000_000);
    expect(readdirSync(at('folder')).sort()).toEqual(['link', 'real']);
  });

  const readBuild = () => host.traces().datasets.filter((name) => name.includes('/build/'));

  test('finds out that what is stored is damaged, and leaves no file', () => {
    const id = imported(aci([{ name: 'rootfs/x', data: 'damaged' }], named('example.com/damaged')));
    const blobs = path.join(host.mountpoint, 'images', id, 'blobs');
    for (const name of readdirSync(blobs).filter((each) => each.startsWith('sha512-'))) {
      truncateSync(path.join(blobs, name), 100);
    }
    const { status, stderr } = host.jetpack(['image', 'export', id, at('damaged')]);
    expect(status).toBe(1);
    expect(stderr).toMatch(/damaged|cannot be read/);
    expect(existsSync(at('damaged'))).toBe(false);
    // The tree is as good as before.
    expect(host.must('image', 'export', '--flat', id, at('damaged'))).toMatch(/^sha512-/);
  });

  test('says why it cannot write, to a file or to standard output', () => {
    const id = imported(plain);
    writeFileSync(at('file'), '');
    symlinkSync('loop', at('loop'));
    for (const [target, why] of [
      ['file/x', 'no folder'],
      ['loop', 'symlinks'],
      ['/dev/full', 'no space'],
      ['/nowhere/x', 'no such folder'],
    ] as const) {
      const place = target.startsWith('/') ? target : at(target);
      const { status, stderr } = host.jetpack(['image', 'export', id, place]);
      expect([target, status, stderr]).toEqual([target, 1, expect.stringContaining(why)]);
      expect(stderr).toContain('jetpack: cannot write');
    }
    const full = openSync('/dev/full', 'w');
    const main = path.join(PROJECT, 'dist/main.cjs');
    const { status, stderr } = spawnSync(process.execPath, [main, 'image', 'export', id, '-'], {
      env: host.env,
      stdio: ['ignore', full, 'pipe'],
      encoding: 'utf8',
    });
    closeSync(full);
    expect([status, stderr]).toEqual([
      1,
      'jetpack: cannot write standard output: there is no space left\n',
    ]);
  });

  test('refuses what it cannot do', () => {
    const id = imported(plain);
    const refused = (...words: readonly string[]) => {
      const { status, stderr } = host.jetpack(['image', 'export', ...words]);
      return `${String(status)} ${stderr}`;
    };
    expect(refused(id, work)).toMatch(/^2 .*only --format oci/s);
    expect(refused('--name=x', id, at('out'))).toMatch(/^2 .*--name is for the other formats/s);
    expect(refused('--format=docker', '--name=UPPER', id, at('out'))).toMatch(/^2 .*no name/s);
    expect(refused('--format=zip', id, at('out'))).toMatch(/^2 /);
    expect(refused(id, at('none/out'))).toMatch(/^1 .*no such folder/s);
    expect(refused('nobody', at('out'))).toMatch(/^1 .*no image/s);
  });
});
