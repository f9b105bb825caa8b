/**
 * OCI images as other people's programs make them: GNU tar writes the layers, umoci puts them into a layout, skopeo carries
 * that on into archives and registries. Nothing here is written by our own code.
 */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';

import { CACHE, debianAci } from './debian-rootfs.ts';

const ENV = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', HOME: '/nonexistent' };
const BUSYBOX = '/bin/busybox';

/** Runs it to its end; a failure fails the test with what it said. Returns its standard output. */
export function peer(program: string, args: readonly string[], cwd?: string): string {
  return execFileSync(program, args, {
    encoding: 'utf8',
    env: ENV,
    cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
    maxBuffer: 256 * 1024 * 1024,
    timeout: 300_000,
  });
}

/** No policy and no registries of the host: what it may pull from where is none of the tests' business. */
export function skopeo(work: string, ...args: readonly string[]): string {
  const policy = path.join(work, 'policy.json');
  if (!existsSync(policy)) writeFileSync(policy, '{"default":[{"type":"insecureAcceptAnything"}]}');
  return peer('/usr/bin/skopeo', ['--policy', policy, ...args]);
}

/** An image layout in a folder, to which layers are added. */
export class OciLayout {
  readonly dir: string;
  readonly #work: string;

  constructor(work: string, name: string) {
    this.#work = work;
    this.dir = path.join(work, name);
    peer('/usr/bin/umoci', ['init', '--layout', this.dir]);
  }

  /** A new image without layers. */
  create(tag: string): void {
    peer('/usr/bin/umoci', ['new', '--image', `${this.dir}:${tag}`]);
    this.config(tag, '--created=2024-05-06T07:08:09Z');
  }

  /** Adds what `fill` puts into a folder, in GNU tar's words, as one more layer. */
  addLayer(tag: string, fill: (tree: string) => readonly string[] | undefined): void {
    const tree = mkdtempSync(path.join(this.#work, 'layer-'));
    chmodSync(tree, 0o755);
    const file = `${tree}.tar`;
    try {
      const without = fill(tree) ?? [];
      const xattrs = ['--xattrs', '--xattrs-include=*'];
      const words = ['--numeric-owner', '--sort=name', '--format=posix', ...xattrs];
      peer('/bin/tar', [...words, '-C', tree, '-cf', file, ...readdirSync(tree).sort()]);
      if (without.length > 0) peer('/bin/tar', ['--delete', '-f', file, ...without]);
      this.addTar(tag, file);
    } finally {
      rmSync(tree, { recursive: true, force: true });
      rmSync(file, { force: true });
    }
  }

  addTar(tag: string, file: string): void {
    const fixed = ['--history.created=2024-05-06T07:08:09Z', '--history.created_by=a test'];
    peer('/usr/bin/umoci', ['raw', 'add-layer', ...fixed, '--image', `${this.dir}:${tag}`, file]);
  }

  /** umoci-config(1): `--config.cmd=…`. */
  config(tag: string, ...words: readonly string[]): void {
    peer('/usr/bin/umoci', ['config', '--no-history', '--image', `${this.dir}:${tag}`, ...words]);
  }

  /** A second tag for the same image. */
  tag(from: string, to: string): void {
    peer('/usr/bin/umoci', ['tag', '--image', `${this.dir}:${from}`, to]);
  }

  /** skopeo-copy(1), from this layout. */
  copy(tag: string, to: string, ...words: readonly string[]): void {
    skopeo(this.#work, 'copy', '-q', ...words, `oci:${this.dir}:${tag}`, to);
  }

  /** The tree as umoci sees it: the folder of its root file system. */
  unpack(tag: string, into: string): string {
    peer('/usr/bin/umoci', ['unpack', '--keep-dirlinks', '--image', `${this.dir}:${tag}`, into]);
    return path.join(into, 'rootfs');
  }
}

const MTIME = new Date('2021-02-03T04:05:06Z');

/** A file, with the folders above it. */
function put(tree: string, name: string, content: string, mode = 0o644): string {
  const file = path.join(tree, name);
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, content);
  chmodSync(file, mode);
  utimesSync(file, MTIME, MTIME);
  return file;
}

/** busybox and what the names of users need. */
export function fillBusybox(tree: string): undefined {
  mkdirSync(path.join(tree, 'bin'), { recursive: true });
  copyFileSync(BUSYBOX, path.join(tree, 'bin/busybox'));
  chmodSync(path.join(tree, 'bin/busybox'), 0o755);
  for (const name of ['sh', 'cat', 'ls', 'env', 'id', 'stat', 'true', 'sleep', 'pwd', 'echo'])
    symlinkSync('busybox', path.join(tree, 'bin', name));
  put(tree, 'etc/passwd', 'root:x:0:0::/:/bin/sh\napp:x:1234:2345::/home:/bin/sh\n');
  put(tree, 'etc/group', 'root:x:0:\napp:x:2345:\nmore:x:3456:app\n');
  mkdirSync(path.join(tree, 'tmp'));
  chmodSync(path.join(tree, 'tmp'), 0o1777);
}

/** Everything that a layer can do to those below it. The image runs `/bin/sh -c` as app. */
export function makeThreeLayers(layout: OciLayout, tag: string): void {
  layout.create(tag);
  layout.addLayer(tag, (tree) => {
    fillBusybox(tree);
    put(tree, 'gone/file', 'removed by name');
    put(tree, 'gone-dir/sub/file', 'removed with its folder');
    put(tree, 'opaque/a', 'hidden');
    put(tree, 'opaque/sub/b', 'hidden too');
    put(tree, 'becomes-folder', 'a file first');
    put(tree, 'becomes-file/x', 'a folder first');
    put(tree, 'chmod/only', 'the same content');
    put(tree, 'linked/source', 'has another name in a later layer');
    put(tree, 'keeps/its-content', 'the folder changes its mode above');
    put(tree, 'bin/setuid', 'setuid', 0o4755);
    put(tree, 'bin/setgid', 'setgid', 0o2755);
    chownSync(put(tree, 'owner/large', 'large ids'), 2_000_000, 2_000_000_000);
    peer('/usr/sbin/setcap', ['cap_net_raw+ep', put(tree, 'bin/ping', 'capability', 0o755)]);
    peer('/usr/bin/setfattr', ['-n', 'user.note', '-v', 'value', put(tree, 'etc/noted', 'xattr')]);
    put(tree, `long/${'n'.repeat(120)}/${'m'.repeat(200)}`, 'a long name');
    put(tree, 'name with spaces/é\n', 'odd name');
    symlinkSync('/etc/passwd', path.join(tree, 'etc/link'));
    lutimesSync(path.join(tree, 'etc/link'), MTIME, MTIME);
    symlinkSync('usr-lib', path.join(tree, 'lib'));
    mkdirSync(path.join(tree, 'usr-lib'));
    peer('/usr/bin/mkfifo', [path.join(tree, 'fifo')]);
    put(tree, 'data/seeded', 'what a volume begins with');
    chownSync(path.join(tree, 'data'), 1234, 2345);
    return undefined;
  });
  layout.addLayer(tag, (tree) => {
    put(tree, 'gone/.wh.file', '');
    put(tree, '.wh.gone-dir', '');
    put(tree, 'opaque/.wh..wh..opq', '');
    put(tree, 'opaque/c', 'seen');
    put(tree, 'becomes-folder/x', 'now in a folder');
    put(tree, 'becomes-file', 'now a file');
    put(tree, 'chmod/only', 'the same content', 0o600);
    // Only its other name is in the layer: the first one is below.
    linkSync(put(tree, 'linked/source', ''), path.join(tree, 'linked/target'));
    mkdirSync(path.join(tree, 'keeps'));
    chmodSync(path.join(tree, 'keeps'), 0o711);
    put(tree, 'usr-lib/through', 'reached by a symlink of the layer below');
    return ['linked/source'];
  });
  layout.addLayer(tag, (tree) => {
    put(tree, 'gone/file', 'back again');
    put(tree, 'opaque/sub/d', 'a folder of the same name');
    put(tree, 'home/top', 'the topmost layer');
    chownSync(path.join(tree, 'home'), 1234, 2345);
    return undefined;
  });
  layout.config(
    tag,
    '--config.user=app',
    '--config.workingdir=/home',
    '--config.env=PATH=/bin',
    '--config.env=GREETING=hello world',
    '--config.entrypoint=/bin/sh',
    '--config.entrypoint=-c',
    '--config.cmd=echo $GREETING from $(pwd) as $(id -un):$(id -gn)',
    '--config.volume=/data',
    '--config.exposedports=8080/tcp',
    '--config.label=org.example.kind=test',
    '--config.stopsignal=SIGUSR1',
    '--architecture=amd64',
    '--os=linux',
  );
}

/** One of the layers of a Debian system: what is in it, and how it is called in there. */
interface Part {
  readonly names: readonly string[];
  /** Instead of at its place, below this folder. */
  readonly below?: string;
}

/**
 * Layouts with a whole Debian system of some 200 MB, made once: `debian:3` and `debian:12` with so many layers, `debian:other`, which
 * shares ten of the twelve and has two of its own, and `debian:own`, an image of only these two.
 */
export function debianLayout(): OciLayoutFolder {
  const dir = path.join(CACHE, 'debian-oci-1');
  if (existsSync(dir)) return { dir };
  const work = mkdtempSync(path.join(CACHE, 'debian-oci-'));
  try {
    const tree = path.join(work, 'tree');
    mkdirSync(tree);
    const xattrs = ['--xattrs', '--xattrs-include=*'];
    peer('/bin/tar', ['--numeric-owner', ...xattrs, '-C', tree, '-xzpf', debianAci()]);
    const layout = new OciLayout(work, 'made');
    const rootfs = path.join(tree, 'rootfs');
    const [three, twelve] = [splitTree(rootfs, 3), splitTree(rootfs, 12)];
    const own = twelve.slice(10).map((part, i) => ({ ...part, below: `srv/other-${String(i)}` }));
    const images: Readonly<Record<string, readonly Part[]>> = {
      '3': three,
      '12': twelve,
      other: [...twelve.slice(0, 10), ...own],
      own,
    };
    for (const [tag, parts] of Object.entries(images)) {
      layout.create(tag);
      for (const [i, part] of parts.entries()) {
        const list = path.join(work, 'list');
        const tar = path.join(work, `${tag}-${String(i)}.tar`);
        writeFileSync(list, part.names.map((name) => `${name}\0`).join(''));
        const place = part.below === undefined ? [] : [`--transform=s,^\\./,./${part.below}/,S`];
        const words = ['--numeric-owner', '--no-recursion', '--null', '-T', list, '--format=posix'];
        // Times of access and change would make another layer of the same files.
        const fixed = ['--pax-option=delete=atime,delete=ctime'];
        peer('/bin/tar', ['-C', rootfs, ...words, ...fixed, ...xattrs, ...place, '-cf', tar]);
        layout.addTar(tag, tar);
        rmSync(tar);
      }
      layout.config(tag, '--config.cmd=/bin/bash', '--architecture=amd64', '--os=linux');
    }
    peer('/usr/bin/umoci', ['gc', '--layout', layout.dir]);
    renameSync(layout.dir, dir);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return { dir };
}

export interface OciLayoutFolder {
  readonly dir: string;
}

/** The names in a tree, in parts of about the same size. Hard links stay together, folders come before what is in them. */
function splitTree(rootfs: string, count: number): readonly Part[] {
  // apt's lists in /var are a quarter of it all in a few files: at the end they would leave nothing for the last parts.
  const rank = (name: string) => (name.startsWith('./var') ? 0 : 1);
  const names = peer('/usr/bin/find', ['.', '-printf', '%P\\0'], rootfs)
    .split('\0')
    .filter((name) => name !== '')
    .map((name) => `./${name}`)
    .sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
  const stats = names.map((name) => lstatSync(path.join(rootfs, name)));
  const sizes = stats.map((stat) => (stat.isFile() ? stat.size / stat.nlink : 0));
  const partOf = new Map<number, number>();
  const parts: string[][] = Array.from({ length: count }, () => []);
  let part = 0;
  let inPart = 0;
  let left = sizes.reduce((sum, size) => sum + size, 0);
  for (const [i, name] of names.entries()) {
    const size = sizes[i] ?? 0;
    if (part < count - 1 && inPart + size / 2 > (left + inPart) / (count - part)) {
      part += 1;
      inPart = 0;
    }
    const stat = stats[i];
    const own = stat?.isFile() === true && stat.nlink > 1 ? (partOf.get(stat.ino) ?? part) : part;
    if (stat !== undefined) partOf.set(stat.ino, own);
    parts[own]?.push(name);
    inPart += size;
    left -= size;
  }
  return parts.map((each) => ({ names: each }));
}
