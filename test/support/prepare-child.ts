/** A prepare that kills itself with SIGKILL before step N (argv: CONF-FILE IMAGE N). Exits with 3 when there are fewer steps. */
import { randomUUID } from 'node:crypto';
import process from 'node:process';

import { childExec } from '../../src/exec/child.ts';
import {
  defaultSettings,
  mergeConfig,
  parseConfigFile,
  rootDatasetOf,
} from '../../src/host/config.ts';
import { createLayout } from '../../src/host/layout.ts';
import { getImage } from '../../src/image/get.ts';
import { getManifest } from '../../src/image/store.ts';
import { executePrepare, planPrepare, type PreparePorts } from '../../src/pod/prepare.ts';
import { LinuxRuntime } from '../../src/runtime/linux.ts';
import { readFileSync } from 'node:fs';
import { composePod } from '../../src/pod/compose.ts';
import { appRequest, NO_NAMES_ASKED, podRequest } from './pod-request.ts';
import { realZfs, zfsArgv } from './real-zfs.ts';

const [conf = '', reference = '', step = ''] = process.argv.slice(2);
const { config } = mergeConfig(
  defaultSettings({ platform: 'linux', packageDir: new URL('../..', import.meta.url).pathname }),
  parseConfigFile(readFileSync(conf, 'utf8'), conf),
);
const layout = createLayout(rootDatasetOf(config), config['root.mountpoint']);
const ports: PreparePorts = {
  zfs: realZfs(),
  zfsAtOnce: realZfs(),
  runtime: new LinuxRuntime({
    architecture: process.arch,
    libexec: config['path.libexec'],
    exec: childExec,
  }),
  layout,
  tools: { zfs: zfsArgv('zfs'), rm: '/bin/rm' },
  settings: { logMaxBytes: 1, logKeep: 1, stopGraceMs: 1 },
  metadata: { port: 1104, warn: false, relay: undefined },
  groupId: undefined,
  now: () => new Date(),
};
const meta = getImage({ layout }, reference);
const plan = await planPrepare(ports, {
  draft: composePod(
    podRequest(
      [
        appRequest(
          { id: meta.id, manifest: getManifest(layout, meta.id).manifest },
          { args: ['true'], mounts: [{ volume: 'v', target: '/v' }] },
        ),
      ],
      { volumes: [{ name: 'v', kind: 'empty', mode: '1777' } as never] },
    ),
  ),
  name: `killed-${randomUUID().slice(0, 8)}`,
  hostname: undefined,
  network: { kind: 'none' },
  nameService: NO_NAMES_ASKED,
  followVolumeLinks: false,
  isolation: { capabilities: true, seccomp: true, paths: true },
  term: undefined,
});
const at = Number(step);
const steps = plan.steps.map((original, i) => ({
  ...original,
  run: () => {
    if (i === at) process.kill(process.pid, 'SIGKILL');
    return original.run();
  },
}));
await executePrepare(ports, { ...plan, steps });
process.exitCode = at < steps.length ? 1 : 3;
