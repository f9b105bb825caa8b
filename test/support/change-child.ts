/**
 * A change of a mutable pod that kills itself with SIGKILL before the Nth of its effects (argv: CONF-FILE add|rm UUID APP N):
 * each call of the ZFS port and each rename, write and removal of a file counts. Exits with 3 when there are fewer.
 */
import fs, { readFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import process from 'node:process';

const [conf = '', work = '', uuid = '', name = '', point = ''] = process.argv.slice(2);
let passed = 0;
let counting = false;

function pass(): void {
  if (!counting) return;
  if (passed === Number(point)) process.kill(process.pid, 'SIGKILL');
  passed += 1;
}

// Before anything else is loaded: what it imports by name is then what is put here.
for (const effect of ['renameSync', 'writeFileSync', 'mkdirSync', 'rmdirSync', 'rmSync'] as const) {
  const original = fs[effect] as (...args: unknown[]) => unknown;
  (fs as unknown as Record<string, unknown>)[effect] = (...args: unknown[]) => {
    pass();
    return original(...args);
  };
}
syncBuiltinESMExports();

const { childExec } = await import('../../src/exec/child.ts');
const { defaultSettings, mergeConfig, parseConfigFile, rootDatasetOf } =
  await import('../../src/host/config.ts');
const { createLayout } = await import('../../src/host/layout.ts');
const { getImage } = await import('../../src/image/get.ts');
const { getManifest } = await import('../../src/image/store.ts');
const { addApp } = await import('../../src/pod/add-app.ts');
const { removeApp } = await import('../../src/pod/remove-app.ts');
const { LinuxRuntime } = await import('../../src/runtime/linux.ts');
const { appRequest, podRequest } = await import('./pod-request.ts');
const { realZfs, zfsArgv } = await import('./real-zfs.ts');

const { config } = mergeConfig(
  defaultSettings({ platform: 'linux', packageDir: new URL('../..', import.meta.url).pathname }),
  parseConfigFile(readFileSync(conf, 'utf8'), conf),
);
const layout = createLayout(rootDatasetOf(config), config['root.mountpoint']);
const zfs = new Proxy(realZfs(), {
  get(target, key) {
    const method: unknown = Reflect.get(target, key);
    if (typeof method !== 'function') return method;
    return (...args: unknown[]) => {
      pass();
      return Reflect.apply(method, target, args) as unknown;
    };
  },
});
const ports = {
  zfs,
  zfsAtOnce: zfs,
  runtime: new LinuxRuntime({
    architecture: process.arch,
    libexec: config['path.libexec'],
    exec: childExec,
  }),
  layout,
  tools: { zfs: zfsArgv('zfs'), rm: '/bin/rm' },
  settings: { logMaxBytes: 1, logKeep: 1, stopGraceMs: 1 },
  metadata: { port: 1, warn: false, relay: undefined },
  groupId: undefined,
  now: () => new Date(),
};

counting = true;
if (work === 'rm') await removeApp(ports, uuid, name, { graceMs: 0, groupId: undefined });
else {
  const { id } = getImage({ layout }, 'busybox');
  const image = { id, manifest: getManifest(layout, id).manifest };
  const request = appRequest(image, {
    name,
    args: ['sleep', '1000'],
    mounts: [{ volume: 'own', target: '/own' }],
  });
  // The volume of an earlier one stays with the pod.
  const manifest = readFileSync(`${layout.dir.pod(uuid)}/manifest`, 'utf8');
  const volumes = manifest.includes('"own"')
    ? []
    : [{ name: 'own', kind: 'empty', mode: '1777' } as never];
  await addApp(ports, uuid, {
    request: podRequest([request], { volumes }),
    isolation: { capabilities: true, seccomp: true, paths: true },
    followVolumeLinks: false,
    strict: false,
  });
}
counting = false;
process.exitCode = passed <= Number(point) ? 3 : 1;
