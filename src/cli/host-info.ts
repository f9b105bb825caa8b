/** What `info` tells: facts about the host, each with what its absence costs. */
import { existsSync } from 'node:fs';
import os from 'node:os';
import process from 'node:process';

import { JetpackError } from '../errors.ts';
import { findUserName } from '../host/local-accounts.ts';
import { findCgroup2 } from '../runtime/cgroup2.ts';
import { findRateTool, RATE_TOOLS } from '../runtime/rate-tools.ts';
import type { Context } from './context.ts';
import { findMetadataService } from './metadata-finding.ts';

export interface Finding {
  readonly what: string;
  readonly value: string;
  /** Missing, or not as it could be. `fatal`: pods cannot run without it. */
  readonly lack?: { readonly fatal: boolean; readonly cost: string };
}

async function attempt(what: string, look: () => Promise<Finding> | Finding): Promise<Finding> {
  try {
    return await look();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const remedy = error instanceof JetpackError ? error.remedies[0] : undefined;
    return {
      what,
      value: why,
      lack: {
        fatal: true,
        cost: remedy === undefined ? 'pods cannot run' : `pods cannot run; try: ${remedy}`,
      },
    };
  }
}

async function zfsFindings({ zfs, layout }: Context): Promise<readonly Finding[]> {
  const features = await zfs.features(layout.dataset.root);
  const lacks = (what: string, has: boolean | undefined, cost: string): Finding =>
    has === true
      ? { what, value: 'yes' }
      : { what, value: has === undefined ? 'not known' : 'no', lack: { fatal: false, cost } };
  return [
    { what: 'zfs', value: features.mounting === 'kernel' ? 'OpenZFS in the kernel' : 'zfs-fuse' },
    lacks('zfs: lz4', features.lz4, 'images and pods take more space'),
    lacks('zfs: diff', features.diff, 'changes of a pod are found by comparing files'),
    lacks(
      'zfs: extended attributes',
      features.xattrs,
      'file capabilities and labels of images are lost; zfs-fuse keeps them when started with --enable-xattr',
    ),
  ];
}

function toolFinding(what: string, file: string, cost: string, fatal = false): Finding {
  return existsSync(file)
    ? { what, value: file }
    : { what, value: `${file} is not there`, lack: { fatal, cost } };
}

function cgroupFinding(): Finding {
  const hierarchy = findCgroup2();
  const what = 'cgroup v2';
  const cost =
    'limits of memory, processor time and processes are refused; pods without limits run';
  if (hierarchy === undefined) return { what, value: 'no', lack: { fatal: false, cost } };
  const value = `${hierarchy.root}: ${hierarchy.controllers.join(' ') || 'no controllers'}`;
  return hierarchy.controllers.includes('memory') && hierarchy.controllers.includes('cpu')
    ? { what, value }
    : { what, value, lack: { fatal: false, cost } };
}

export async function gatherInfo(context: Context, version: string): Promise<readonly Finding[]> {
  const { tools } = context;
  const findings: Finding[] = [
    { what: 'jetpack', value: version },
    {
      what: 'platform',
      value: `${os.type()} ${os.release()} ${process.arch}, node ${process.version}`,
    },
  ];
  findings.push(
    process.geteuid?.() === 0
      ? { what: 'user', value: 'root' }
      : {
          what: 'user',
          value: os.userInfo().username,
          lack: { fatal: true, cost: 'pods cannot run; try: sudo jetpack info' },
        },
  );
  findings.push(
    await attempt('store', () => {
      context.ensureReady();
      return {
        what: 'store',
        value: `${context.layout.dataset.root} on ${context.layout.dir.root}`,
      };
    }),
  );
  try {
    findings.push(...(await zfsFindings(context)));
  } catch (error) {
    findings.push(
      await attempt('zfs', () =>
        Promise.reject(error instanceof Error ? error : new Error(String(error))),
      ),
    );
  }
  findings.push(
    await attempt('shim', async () => {
      const result = await context.exec.run([tools.shim, 'version']);
      return { what: 'shim', value: `${tools.shim}: ${result.stdout.trim()}` };
    }),
    cgroupFinding(),
    toolFinding('xz', tools.xz, 'images packed with xz cannot be imported'),
    toolFinding('bzip2', tools.bzip2, 'images packed with bzip2 cannot be imported'),
    ...RATE_TOOLS.map(({ name, debianPackage }) =>
      toolFinding(
        name,
        findRateTool(name) ?? `/usr/sbin/${name}`,
        `limits of the network's bandwidth are refused; it is in the package ${debianPackage}`,
      ),
    ),
    await findMetadataService(context.config, version, findUserName),
  );
  return findings;
}
