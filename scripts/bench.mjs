// npm run bench: the budgets of the design, measured on this machine. Ratios come from alternating runs (A B A B …), medians of at
// least seven; machines are noisy, ratios less so. What is not installed (crun, podman) is left out, and said so.
//   npm run bench -- [--runs N] [--only WORD,…] [--pool NAME]
import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '9' },
    only: { type: 'string' },
    pool: { type: 'string' },
  },
});
const runs = Math.max(7, Number(values.runs));
const only = values.only?.split(',');
const main = path.join(root, 'dist', 'main.cjs');
const shim = path.join(root, 'shim', 'build', 'jetpack-shim');
const node = process.execPath;
const ENV = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' };
const work = mkdtempSync('/var/tmp/jp-bench-');
const rows = [];

const say = (text) => process.stderr.write(`${text}\n`);
const find = (name) =>
  ENV.PATH.split(':')
    .map((dir) => path.join(dir, name))
    .find((file) => existsSync(file));
const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];

function must(argv, options = {}) {
  const done = spawnSync(argv[0], argv.slice(1), {
    encoding: 'utf8',
    env: { ...ENV, ...options.env },
    input: options.input ?? '',
    maxBuffer: 1 << 28,
  });
  if (done.status !== 0 && options.any !== true)
    throw new Error(`${argv.join(' ')} → ${String(done.status)}\n${done.stdout}${done.stderr}`);
  return done.stdout;
}

const quote = (word) => `'${String(word).replaceAll("'", `'\\''`)}'`;

/** Processor and wall time of one run, in ms, by the shell's own `time` (children included). */
function measure(argv, env = {}) {
  const line = argv.map(quote).join(' ');
  const done = spawnSync(
    '/bin/bash',
    ['-c', `TIMEFORMAT='%U %S %R'; time ${line} >/dev/null 2>${quote(path.join(work, 'err'))}`],
    {
      encoding: 'utf8',
      env: { ...ENV, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  if (done.status !== 0)
    throw new Error(
      `${line} → ${String(done.status)}\n${readFileSync(path.join(work, 'err'), 'utf8')}`,
    );
  const [user, system, wall] = done.stderr.trim().split('\n').at(-1).split(' ').map(Number);
  return { cpu: (user + system) * 1000, wall: wall * 1000 };
}

/** `a` and `b` are functions that measure once. Returns medians and the median of the pairwise ratios. */
function pair(a, b, count = runs) {
  a();
  b();
  const pairs = Array.from({ length: count }, () => [a(), b()]);
  const of = (i, what) => median(pairs.map((each) => each[i][what]));
  const ratio = (what) => median(pairs.map(([x, y]) => x[what] / Math.max(y[what], 0.1)));
  return {
    cpu: [of(0, 'cpu'), of(1, 'cpu'), ratio('cpu')],
    wall: [of(0, 'wall'), of(1, 'wall'), ratio('wall')],
  };
}

/**
 * crun and podman refuse hosts with cgroup v1 and v2 side by side: they get a mount namespace with v2 alone, which leaves the host as it is.
 * Entering it costs them about 1 ms; where a comparison is that close, the shim is put through it too.
 */
let holder;
function peer(argv) {
  if (existsSync('/sys/fs/cgroup/cgroup.controllers')) return argv;
  if (holder === undefined) {
    const script =
      'umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && echo ready && exec sleep 100000';
    holder = spawn(find('unshare'), ['-m', '/bin/sh', '-c', script], {
      env: ENV,
      stdio: ['ignore', 'ignore', 'ignore'],
    });
    spawnSync('/bin/sleep', ['0.5']);
  }
  return [find('nsenter'), '-m', '-t', String(holder.pid), ...argv];
}

function row(what, ours, against, ratio, budget) {
  rows.push([what, ours, against, ratio === undefined ? '' : `${ratio.toFixed(2)} ×`, budget]);
  say(
    `  ${what}: ${ours} against ${against} ${ratio === undefined ? '' : `= ${ratio.toFixed(2)}`} (budget ${budget})`,
  );
}

const ms = (value) => `${value.toFixed(0)} ms`;
const wants = (name) => only === undefined || only.includes(name);

// A pool and a root dataset of our own.
const zfs = find('zfs');
const zpool = find('zpool');
const pool = values.pool ?? `jpbench${String(process.pid)}`;
const ownsPool = values.pool === undefined;
const dataset = `${pool}/bench`;
const conf = path.join(work, 'jetpack.conf');
const mountpoint = path.join(work, 'r');
const jetpack = (...words) => [node, main, ...words];
const mdsPort = 20_000 + (process.pid % 10_000);
const conf_env = { JETPACK_CONF: conf };

function setUp() {
  // Before anything is mounted: a mount namespace keeps busy what was there when it was made.
  peer([]);
  writeFileSync(
    conf,
    `root.zfs = ${dataset}\nroot.mountpoint = ${mountpoint}\nmds.port = ${String(mdsPort)}\n`,
  );
  const ofOurOwn = [
    '--pool-file',
    path.join(work, 'pool.img'),
    '--pool-size',
    '12G',
    '--pool-name',
    pool,
  ];
  must(jetpack('init', ...(ownsPool ? ofOurOwn : [])), { env: conf_env });
  const aci = path.join(work, 'busybox.aci');
  must(['/bin/sh', path.join(root, 'scripts', 'make-busybox-aci.sh'), aci]);
  must(jetpack('import', '--insecure-options=image', aci), { env: conf_env });
}

function tearDown() {
  holder?.kill('SIGKILL');
  must(jetpack('gc', '--grace-period=0', '--expire-prepared=0'), { env: conf_env, any: true });
  for (let i = 0; i < 50; i += 1) {
    for (const line of must([zfs, 'list', '-rH', '-o', 'name,origin', dataset], {
      any: true,
    }).split('\n')) {
      const [name, origin] = line.split('\t');
      if (name !== '' && origin !== undefined && origin !== '-')
        must([zfs, 'destroy', '-r', name], { any: true });
    }
    if (spawnSync(zfs, ['destroy', '-r', dataset]).status === 0) break;
    spawnSync('/bin/sleep', ['0.1']);
  }
  if (ownsPool) {
    for (let i = 0; i < 50 && spawnSync(zpool, ['destroy', pool]).status !== 0; i += 1)
      spawnSync('/bin/sleep', ['0.2']);
  }
  // A file system of zfs-fuse goes away some time after it was unmounted.
  rmSync(work, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
}

const nodeAlone = () => measure([node, '-e', '0']);

function benchVersion() {
  const { cpu } = pair(() => measure(jetpack('--version')), nodeAlone);
  row('`jetpack --version`, cpu', ms(cpu[0]), `node -e 0: ${ms(cpu[1])}`, cpu[2], '≤ 1.5 ×');
}

/** The shim and zfs are replaced by /bin/true: what is left is the work of stage0, the start of those programs included. */
function benchStage0() {
  const fake = path.join(work, 'fake');
  mkdirSync(fake, { recursive: true });
  for (const name of ['jetpack-shim', 'zfs']) {
    rmSync(path.join(fake, name), { force: true });
    symlinkSync('/bin/true', path.join(fake, name));
  }
  writeFileSync(path.join(fake, 'seccomp-default.bpf'), '');
  const options = ['-o', `path.libexec=${fake}`, '-o', `zfs.program=${path.join(fake, 'zfs')}`];
  const run = () =>
    measure(jetpack('run', ...options, '--net=host', 'busybox', '--', 'true'), conf_env);
  const { cpu } = pair(run, nodeAlone, runs * 2 + 1);
  row(
    'stage0 of `jetpack run` up to the exec, cpu',
    ms(cpu[0]),
    `node -e 0: ${ms(cpu[1])}`,
    cpu[2],
    '≤ 2 ×',
  );
  must(jetpack('gc', '--expire-prepared=0'), { env: conf_env, any: true });
}

function benchZfsProcesses() {
  const log = path.join(work, 'zfs.log');
  const wrapper = path.join(work, 'zfs-wrapper');
  writeFileSync(wrapper, `#!/bin/sh\necho "$*" >> ${log}\nexec ${zfs} "$@"\n`);
  chmodSync(wrapper, 0o755);
  must(jetpack('run', '-o', `zfs.program=${wrapper}`, '--net=host', 'busybox', '--', 'true'), {
    env: conf_env,
  });
  const count = readFileSync(log, 'utf8').trim().split('\n').length;
  row(
    'zfs processes on the way of a `run`',
    String(count),
    readFileSync(log, 'utf8')
      .trim()
      .split('\n')
      .map((line) => line.split(' ')[0])
      .join(', '),
    undefined,
    '1 (2 on zfs-fuse)',
  );
  must(jetpack('gc', '--grace-period=0'), { env: conf_env });
}

/** The plan of a prepared pod, run again and again, against crun with the same folder as root. */
function benchShim() {
  const uuid = must(
    jetpack('prepare', '--net=host', 'busybox', '--exec=/bin/busybox', '--', 'true'),
    { env: conf_env },
  ).trim();
  const plan = path.join(mountpoint, 'pods', uuid, 'plan');
  const crun = find('crun');
  const rootfs = path.join(work, 'bundle', 'rootfs');
  mkdirSync(path.join(rootfs, 'bin'), { recursive: true });
  // The pod's folder goes beside it too: the namespace that the peers need was made before the store was mounted.
  const folder = path.dirname(plan);
  const aside = path.join(work, 'shim-pod');
  must(['/bin/cp', '-a', folder, aside]);
  const text = readFileSync(plan, 'latin1').replaceAll(folder, aside);
  // One and the same plain folder for both: what file system it is on must not matter here.
  must(['/bin/cp', find('busybox'), path.join(rootfs, 'bin', 'busybox')]);
  mkdirSync(path.join(rootfs, 'etc'), { recursive: true });
  writeFileSync(path.join(rootfs, 'etc', 'passwd'), 'root:x:0:0::/:/bin/sh\n');
  writeFileSync(path.join(rootfs, 'etc', 'group'), 'root:x:0:\n');
  const ours = text.replace(/\nrootfs\0.*\n/, `\nrootfs\0${'3'}\0dir\0${rootfs}\0rw\0\n`);
  const copy = path.join(aside, 'plan-bench');
  writeFileSync(copy, ours, { encoding: 'latin1', mode: 0o400 });
  const shimRun = () => measure(peer([shim, 'run', copy]));
  if (crun === undefined) {
    shimRun();
    const alone = Array.from({ length: runs }, shimRun);
    row(
      '`shim run` of /bin/true, plan ready, wall',
      ms(median(alone.map((each) => each.wall))),
      'crun is not installed',
      undefined,
      '≤ 1.5 ×',
    );
  } else {
    writeFileSync(path.join(work, 'bundle', 'config.json'), JSON.stringify(crunConfig()));
    let n = 0;
    const crunRun = () =>
      measure(
        peer([
          crun,
          '--root',
          path.join(work, 'crun'),
          '--cgroup-manager=disabled',
          'run',
          '--bundle',
          path.join(work, 'bundle'),
          `b${String((n += 1))}`,
        ]),
      );
    const { wall, cpu } = pair(shimRun, crunRun, runs * 2 + 1);
    row(
      '`shim run` of /bin/true, plan ready, wall',
      ms(wall[0]),
      `crun run: ${ms(wall[1])}`,
      wall[2],
      '≤ 1.5 ×',
    );
    row('the same, cpu', ms(cpu[0]), `crun run: ${ms(cpu[1])}`, cpu[2], '');
  }
  must(jetpack('rm', uuid), { env: conf_env });
}

function crunConfig() {
  const caps = ['CAP_CHOWN', 'CAP_KILL', 'CAP_SETUID', 'CAP_SETGID'];
  return {
    ociVersion: '1.0.0',
    process: {
      terminal: false,
      user: { uid: 0, gid: 0 },
      args: ['/bin/busybox', 'true'],
      env: ['PATH=/bin'],
      cwd: '/',
      noNewPrivileges: true,
      capabilities: { bounding: caps, effective: caps, permitted: caps },
    },
    root: { path: 'rootfs', readonly: false },
    hostname: 'crun',
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=755'] },
      {
        destination: '/dev/pts',
        type: 'devpts',
        source: 'devpts',
        options: ['nosuid', 'newinstance', 'ptmxmode=0666', 'mode=0620'],
      },
      {
        destination: '/dev/shm',
        type: 'tmpfs',
        source: 'shm',
        options: ['nosuid', 'nodev', 'mode=1777'],
      },
      { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue' },
      {
        destination: '/sys',
        type: 'sysfs',
        source: 'sysfs',
        options: ['nosuid', 'noexec', 'nodev', 'ro'],
      },
    ],
    linux: {
      namespaces: ['pid', 'mount', 'uts', 'ipc'].map((type) => ({ type })),
      maskedPaths: ['/proc/kcore', '/proc/keys', '/sys/firmware'],
      readonlyPaths: ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'],
    },
  };
}

/** podman with an image of the same files, on storage of its own. */
function podmanSetup() {
  const podman = find('podman');
  if (podman === undefined) return undefined;
  const storage = path.join(work, 'podman');
  const base = peer([
    podman,
    '--root',
    path.join(storage, 'root'),
    '--runroot',
    path.join(storage, 'run'),
    '--storage-driver=overlay',
    '--cgroup-manager=cgroupfs',
    '--events-backend=none',
  ]);
  const tar = path.join(work, 'rootfs.tar');
  const tree = path.join(work, 'tree');
  mkdirSync(tree, { recursive: true });
  must(['/bin/tar', '-xzf', path.join(work, 'busybox.aci'), '-C', tree]);
  must(['/bin/tar', '-C', path.join(tree, 'rootfs'), '-cf', tar, '.']);
  must([...base, 'import', tar, 'bench-busybox']);
  for (const more of [[], ['--cgroups=disabled']]) {
    const run = [
      ...base,
      'run',
      '--rm',
      '--network=host',
      // Its own defaults are above the hard limits of some machines.
      '--ulimit=nofile=1024:1024',
      '--ulimit=nproc=1024:1024',
      '--log-driver=k8s-file',
      ...more,
      'localhost/bench-busybox',
      '/bin/busybox',
      'true',
    ];
    if (spawnSync(run[0], run.slice(1), { env: ENV }).status === 0) return { base, run };
  }
  return undefined;
}

function benchRun(podman) {
  const ours = () =>
    measure(jetpack('run', '--rm', '--net=host', 'busybox', '--', 'true'), conf_env);
  if (podman === undefined) {
    ours();
    const alone = Array.from({ length: runs }, ours);
    row(
      '`jetpack run --rm` of true, whole, wall',
      ms(median(alone.map((each) => each.wall))),
      'podman is not installed, or runs no containers here',
      undefined,
      '≤ 0.5 ×',
    );
    return;
  }
  const { wall, cpu } = pair(ours, () => measure(podman.run));
  row(
    '`jetpack run --rm` of true, whole, wall',
    ms(wall[0]),
    `podman run --rm: ${ms(wall[1])}`,
    wall[2],
    '≤ 0.5 ×',
  );
  row('the same, cpu', ms(cpu[0]), `podman run --rm: ${ms(cpu[1])}`, cpu[2], '');
}

/** A pod of ten apps against one of a single app, from the command to the last app's start. */
function benchApps() {
  const words = (count) => [
    ...['run', '-d', '--net=host'],
    ...Array.from({ length: count }, (_, i) => [
      ...['busybox', `--name=app${String(i)}`, '--', 'sleep', '1000', '---'],
    ]).flat(),
  ];
  const start = (count) => () => {
    const taken = measure(jetpack(...words(count)), conf_env);
    const pods = must(jetpack('list', '-q'), { env: conf_env }).trim().split('\n');
    must(jetpack('rm', '--force', ...pods), { env: conf_env });
    return taken;
  };
  const { wall } = pair(start(10), start(1));
  const budget = 2 * wall[1] + 50;
  row(
    'start of a pod of 10 apps, wall',
    ms(wall[0]),
    `of 1 app: ${ms(wall[1])}`,
    wall[0] / wall[1],
    `≤ 2 × and 5 ms an app: ${ms(budget)}`,
  );
}

function smaps(pid, field) {
  const text = readFileSync(`/proc/${String(pid)}/smaps_rollup`, 'utf8');
  return Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0);
}

const usedKb = (name) => {
  const text = must([zfs, 'get', '-Hp', '-o', 'value', 'used', name]).trim();
  return Number(text) / 1024;
};

/** 50 pods at once: memory of supervisor and init, and disk beyond the image. */
function benchFleet() {
  const count = 50;
  const before = usedKb(dataset);
  for (let i = 0; i < count; i += 1)
    must(jetpack('run', '-d', 'busybox', '--', 'sleep', '1000'), { env: conf_env });
  spawnSync('/bin/sync');
  spawnSync('/bin/sleep', ['36']);
  const pods = JSON.parse(must(jetpack('list', '--json'), { env: conf_env }));
  const memory = pods.map((pod) => smaps(pod.supervisorPid, 'Pss') + smaps(pod.initPid, 'Pss'));
  row(
    'resident memory per running pod beyond the apps (PSS), 50 pods',
    `${median(memory).toFixed(0)} KB`,
    '',
    undefined,
    '≤ 150 KB',
  );
  const disk = (usedKb(dataset) - before) / count;
  row(
    '50 pods from one image: disk beyond the image, per pod',
    `${disk.toFixed(0)} KB`,
    '',
    undefined,
    '≤ 100 KB',
  );
  must(jetpack('rm', '--force', ...pods.map((pod) => pod.uuid)), { env: conf_env });
}

/** Import of a Debian system against tar into a file system of the same pool. */
function benchImport(podman) {
  const aci = path.join('/var/cache/jetpack-test', 'debian-minbase.aci');
  if (!existsSync(aci)) must(['/bin/sh', path.join(root, 'scripts', 'make-debian-aci.sh'), aci]);
  must([zfs, 'create', '-o', `mountpoint=${path.join(work, 'tar')}`, `${pool}/tar`]);
  const tarRun = () => {
    must(['/bin/sh', '-c', `rm -rf ${quote(path.join(work, 'tar'))}/* && sync`]);
    return measure(['/bin/tar', '--numeric-owner', '-xzpf', aci, '-C', path.join(work, 'tar')]);
  };
  const ours = () => {
    must(jetpack('image', 'rm', 'debian'), { env: conf_env, any: true });
    must(['/bin/sync']);
    return measure(jetpack('import', '--insecure-options=image', aci), conf_env);
  };
  const { wall, cpu } = pair(ours, tarRun, Math.max(7, Math.min(runs, 7)));
  row(
    'import of a Debian system, wall',
    ms(wall[0]),
    `tar -xz: ${ms(wall[1])}`,
    wall[2],
    '≤ 1.3 ×',
  );
  row('the same, cpu', ms(cpu[0]), `tar -xz: ${ms(cpu[1])}`, cpu[2], '');
  if (podman !== undefined) {
    const tree = path.join(work, 'tar', 'rootfs');
    const archive = path.join(work, 'debian.tar.gz');
    must(['/bin/tar', '--numeric-owner', '-C', tree, '-czf', archive, '.']);
    const podmanImport = () => {
      must([...podman.base, 'rmi', '-f', 'bench-debian'], { any: true });
      return measure([...podman.base, 'import', '-q', archive, 'bench-debian']);
    };
    const against = pair(ours, podmanImport, 7);
    row(
      'import of a Debian system, wall',
      ms(against.wall[0]),
      `podman import (overlay on the host's file system): ${ms(against.wall[1])}`,
      against.wall[2],
      '≤ 0.7 ×',
    );
  }
  for (let i = 0; i < 50 && spawnSync(zfs, ['destroy', '-r', `${pool}/tar`]).status !== 0; i += 1)
    spawnSync('/bin/sleep', ['0.1']);
}

/** The most memory that a process of ours ever had, in MB; its children not included. */
async function peakMemory(argv) {
  const child = spawn(argv[0], argv.slice(1), { env: { ...ENV, ...conf_env }, stdio: 'ignore' });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  let peak = 0;
  const look = setInterval(() => {
    try {
      const status = readFileSync(`/proc/${String(child.pid)}/status`, 'utf8');
      peak = Math.max(peak, Number(/^VmHWM:\s+(\d+)/m.exec(status)?.[1] ?? 0));
    } catch {
      // It has just ended.
    }
  }, 5);
  const status = await ended;
  clearInterval(look);
  if (status !== 0) throw new Error(`${argv.join(' ')} → ${String(status)}`);
  return peak / 1024;
}

/** Pulls of a Debian system from a registry on this host. Between the runs the images are removed, with everything that was kept of them. */
async function benchPull() {
  const { debianLayout, OciLayout, peer: run } = await import('../test/support/oci-images.ts');
  const { startRegistry } = await import('../test/support/registry.ts');
  const registry = await startRegistry(work);
  try {
    const { dir } = debianLayout();
    const skopeo = (from, name) =>
      must([
        ...[find('skopeo'), '--insecure-policy', 'copy', '-q', '--dest-tls-verify=false', from],
        `docker://${registry.host}/${name}`,
      ]);
    for (const tag of ['3', '12', 'other', 'own']) skopeo(`oci:${dir}:${tag}`, `debian:${tag}`);
    const ref = (tag) => `docker://${registry.host}/debian:${tag}`;
    const fetch = (tag) => jetpack('fetch', '--insecure-options=image', ref(tag));
    const remove = (tag) => {
      must(jetpack('image', 'rm', ref(tag)), { env: conf_env, any: true });
      must(['/bin/sync']);
    };
    const ours = (tag) => () => {
      remove(tag);
      return measure(fetch(tag), conf_env);
    };
    const count = 7;
    for (const driver of ['overlay', 'vfs']) {
      const podman = podmanPull(driver, registry.host);
      if (podman === undefined) {
        say(`  podman with the driver ${driver}: not here`);
        continue;
      }
      for (const tag of ['3', '12']) {
        const { wall, cpu } = pair(ours(tag), podman(tag), count);
        const what = `pull of a Debian system in ${tag} layers`;
        row(
          `${what}, wall`,
          ms(wall[0]),
          `podman pull, ${driver}: ${ms(wall[1])}`,
          wall[2],
          '≤ 0.7 ×',
        );
        row('the same, cpu', ms(cpu[0]), `podman pull, ${driver}: ${ms(cpu[1])}`, cpu[2], '');
        remove(tag);
      }
    }
    must(fetch('12'), { env: conf_env });
    const { wall } = pair(ours('other'), ours('own'), count);
    row(
      'pull of a second image that shares 10 of 12 layers, wall',
      ms(wall[0]),
      `of an image of its own two: ${ms(wall[1])}`,
      wall[2],
      '≤ 1.2 ×',
    );
    for (const tag of ['other', 'own', '12']) remove(tag);

    const large = new OciLayout(work, 'large');
    large.create('1');
    large.addLayer('1', (tree) => {
      run('/bin/sh', ['-c', `head -c 2000000000 /dev/urandom >'${tree}/file'`]);
      return undefined;
    });
    skopeo(`oci:${large.dir}:1`, 'large:1');
    rmSync(large.dir, { recursive: true });
    const memory = [];
    for (let i = 0; i < 3; i += 1) {
      remove('3');
      memory.push(await peakMemory(fetch('3')));
    }
    const much = await peakMemory(
      jetpack('fetch', '--insecure-options=image', `docker://${registry.host}/large:1`),
    );
    const against = `of 2 GB in one layer: ${much.toFixed(0)} MB`;
    row(
      'memory of a pull of 200 MB (peak RSS)',
      `${median(memory).toFixed(0)} MB`,
      against,
      undefined,
      '≤ 150 MB',
    );
  } finally {
    await registry.stop();
  }
}

/** A function that measures the pull of a tag; undefined where podman cannot do it with this driver. */
function podmanPull(driver, host) {
  const podman = find('podman');
  if (podman === undefined) return undefined;
  const storage = path.join(work, `pull-${driver}`);
  const folders = ['--root', path.join(storage, 'root'), '--runroot', path.join(storage, 'run')];
  const policy = path.join(work, 'policy.json');
  writeFileSync(policy, '{"default":[{"type":"insecureAcceptAnything"}]}');
  const base = peer([
    ...[podman, ...folders, `--storage-driver=${driver}`, '--cgroup-manager=cgroupfs'],
    '--events-backend=none',
  ]);
  const pull = (tag) => [
    ...[...base, 'pull', '-q', '--tls-verify=false', `--signature-policy=${policy}`],
    `${host}/debian:${tag}`,
  ];
  if (spawnSync(pull('3')[0], pull('3').slice(1), { env: ENV }).status !== 0) return undefined;
  return (tag) => () => {
    must([...base, 'rmi', '-a', '-f'], { any: true });
    must(['/bin/sync']);
    return measure(pull(tag));
  };
}

/** Folders as prepare and import leave them: list reads nothing else. */
function benchList() {
  const list = () => measure(jetpack('list'), conf_env);
  const images = path.join(mountpoint, 'images');
  const id = readdirSync(images).find((name) => name.startsWith('sha512-'));
  const few = [];
  const make = (count) => {
    for (let i = 0; i < count; i += 1)
      few.push(must(jetpack('prepare', 'busybox'), { env: conf_env }).trim());
  };
  make(5);
  const status = () => measure(jetpack('status', few[0]), conf_env);
  const small = Array.from({ length: runs }, list);
  const oneOfFew = Array.from({ length: runs }, status);
  const template = path.join(mountpoint, 'pods', few[0]);
  const copies = Array.from(
    { length: 495 },
    (_, i) => `00000000-0000-4000-8000-${String(i).padStart(12, '0')}`,
  );
  for (const uuid of copies) must(['/bin/cp', '-a', template, path.join(mountpoint, 'pods', uuid)]);
  for (let i = 0; i < 200; i += 1)
    must([
      '/bin/cp',
      '-a',
      path.join(images, id),
      path.join(images, `sha512-${String(i).padStart(128, '0')}`),
    ]);
  const large = Array.from({ length: runs }, list);
  const oneOfMany = Array.from({ length: runs }, status);
  for (const uuid of copies) rmSync(path.join(mountpoint, 'pods', uuid), { recursive: true });
  for (let i = 0; i < 200; i += 1)
    rmSync(path.join(images, `sha512-${String(i).padStart(128, '0')}`), { recursive: true });
  const cpu = (set) => median(set.map((each) => each.cpu));
  const wall = (set) => median(set.map((each) => each.wall));
  row(
    'list with 500 pods and 200 images, wall',
    ms(wall(large)),
    `with 5 and 1: ${ms(wall(small))}`,
    wall(large) / wall(small),
    '≤ 2 ×',
  );
  row(
    'the same, cpu',
    ms(cpu(large)),
    `with 5 and 1: ${ms(cpu(small))}`,
    cpu(large) / cpu(small),
    '',
  );
  row(
    'status of one of 500 pods, wall',
    ms(wall(oneOfMany)),
    `of 5: ${ms(wall(oneOfFew))}`,
    wall(oneOfMany) / wall(oneOfFew),
    '≤ 2 ×',
  );
  must(jetpack('rm', ...few), { env: conf_env });
}

/**
 * The real service on the tokens of real pods. Both sides have real-time priority where chrt(1) is there: waiting for a processor that somebody else
 * has is no property of the service.
 */
function benchMds() {
  for (let i = 0; i < 20; i += 1) must(jetpack('prepare', 'busybox'), { env: conf_env });
  const pods = path.join(mountpoint, 'pods');
  const urls = readdirSync(pods).map((uuid) =>
    readFileSync(path.join(pods, uuid, 'metadata-url'), 'utf8').trim(),
  );
  const log = path.join(work, 'mds.log');
  const fd = openSync(log, 'w');
  const first = find('chrt') === undefined ? [] : [find('chrt'), '-r', '1'];
  const [program, ...words] = [...first, node, path.join(root, 'dist', 'mds.cjs')];
  const service = spawn(program, words, {
    env: { ...ENV, ...conf_env },
    stdio: ['ignore', fd, fd],
  });
  try {
    for (let i = 0; i < 100 && !readFileSync(log, 'utf8').includes('listening'); i += 1)
      spawnSync('/bin/sleep', ['0.1']);
    const load = path.join(root, 'scripts', 'mds-load.mjs');
    const rounds = Array.from({ length: 7 }, () =>
      JSON.parse(must([...first, node, load, '1000', '3', '32', 'busybox', ...urls])),
    );
    const failed = rounds.flatMap(({ failures }) => Object.keys(failures));
    if (failed.length > 0) throw new Error(`the service answered: ${failed.join(', ')}`);
    const of = (name) => median(rounds.map((round) => round[name])).toFixed(1);
    const status = readFileSync(`/proc/${String(service.pid)}/status`, 'utf8');
    const peak = Number(/^VmHWM:\s+(\d+)/m.exec(status)?.[1]) / 1024;
    row(
      'metadata service at 1000 requests/s, wall',
      `median ${of('p50')} ms, 99th of 100 ${of('p99')} ms`,
      `7 rounds of 3 s, 20 pods, 32 connections${first.length > 0 ? ', real-time priority' : ''}; slowest of 3000: ${of('max')} ms`,
      undefined,
      '≤ 5 ms',
    );
    row('the same, memory (peak RSS)', `${peak.toFixed(0)} MB`, '', undefined, '≤ 60 MB');
  } finally {
    service.kill('SIGTERM');
    closeSync(fd);
    spawnSync('/bin/sleep', ['0.5']);
    must(jetpack('gc', '--grace-period=0', '--expire-prepared=0'), { env: conf_env });
  }
}

function printTable() {
  const cpu = os.cpus()[0]?.model.trim() ?? 'unknown';
  const version = (argv) =>
    spawnSync(argv[0], argv.slice(1), { encoding: 'utf8', env: ENV })
      .stdout?.split('\n')[0]
      ?.trim();
  const versions = [
    `node ${process.version}`,
    `kernel ${os.release()}`,
    existsSync('/sys/module/zfs/version')
      ? `OpenZFS ${readFileSync('/sys/module/zfs/version', 'utf8').trim()}`
      : 'zfs-fuse',
  ];
  for (const name of ['crun', 'podman']) {
    const file = find(name);
    if (file !== undefined) versions.push(version([file, '--version']));
  }
  const lines = [
    `${String(os.cpus().length)} × ${cpu}, ${(os.totalmem() / 2 ** 30).toFixed(0)} GiB; ${versions.join(', ')}; ${new Date().toISOString().slice(0, 10)}; medians of at least ${String(runs)} alternating runs (pulls: 7)`,
    '',
    '| What | jetpack | Against | Ratio | Budget |',
    '|---|---|---|---|---|',
    ...rows.map((cells) => `| ${cells.join(' | ')} |`),
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
}

try {
  setUp();
  const podman = wants('run') || wants('import') ? podmanSetup() : undefined;
  if (wants('version')) benchVersion();
  if (wants('stage0')) benchStage0();
  if (wants('zfs')) benchZfsProcesses();
  if (wants('shim')) benchShim();
  if (wants('run')) benchRun(podman);
  if (wants('apps')) benchApps();
  if (wants('fleet')) benchFleet();
  if (wants('list')) benchList();
  if (wants('mds')) benchMds();
  if (wants('import')) benchImport(podman);
  if (wants('pull')) await benchPull();
  printTable();
} catch (error) {
  say(error instanceof Error ? error.stack : String(error));
  process.exitCode = 1;
} finally {
  tearDown();
}
