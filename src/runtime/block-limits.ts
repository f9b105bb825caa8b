/**
 * resource/block-bandwidth and resource/block-iops: io.max of a control group, for the block devices below file systems of
 * the host that an app mounts. ZFS reads and writes its disks from threads of its own, which are in no pod's control group
 * (docs/tools.md): what it does for an app cannot be limited so, and where nothing else is left the isolator is refused.
 */
import { existsSync, readdirSync, realpathSync, statSync } from 'node:fs';
import path from 'node:path';

import type { CgroupSetting } from '../pod/plan.ts';
import { amountOf, type Quantity } from '../schema/appc.ts';
import type { Asked } from './asked.ts';
import { findCgroup2 } from './cgroup2.ts';

type BlockIsolator = 'resource/block-bandwidth' | 'resource/block-iops';

const FILES: Readonly<Record<BlockIsolator, readonly [read: string, write: string]>> = {
  'resource/block-bandwidth': ['rbps', 'wbps'],
  'resource/block-iops': ['riops', 'wiops'],
};

/** Less, and one write of a page takes more than a second. */
const LEAST: Readonly<Record<BlockIsolator, number>> = {
  'resource/block-bandwidth': 4096,
  'resource/block-iops': 1,
};

/** `8:1` → `8:0`: the kernel limits whole disks. Undefined for what has no disk of its own (tmpfs, ZFS, NFS). */
function diskOf(file: string): string | undefined {
  const { dev } = statSync(file, { bigint: true });
  // As glibc packs a dev_t, makedev(3).
  const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & ~0xfffn);
  const minor = (dev & 0xffn) | ((dev >> 12n) & ~0xffn);
  const link = `/sys/dev/block/${String(major)}:${String(minor)}`;
  if (major === 0n || !existsSync(link)) return undefined;
  const folder = realpathSync(link);
  if (!existsSync(path.join(folder, 'partition'))) return path.basename(link);
  const siblings = readdirSync('/sys/dev/block');
  const disk = path.dirname(folder);
  return siblings.find((name) => realpathSync(`/sys/dev/block/${name}`) === disk);
}

/** A kernel may count input and output without being able to limit them (CONFIG_BLK_DEV_THROTTLING). */
function cannotLimit(root: string): boolean {
  const groups = readdirSync(root, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return groups.some(
    ({ name }) =>
      existsSync(path.join(root, name, 'io.stat')) && !existsSync(path.join(root, name, 'io.max')),
  );
}

function perSecond(asked: Asked, name: BlockIsolator, limit: Quantity): string {
  const amount = amountOf(limit);
  if (amount < LEAST[name])
    asked.impossible(name, '.limit', `is less than ${String(LEAST[name])} a second`);
  return Number.isSafeInteger(amount) ? String(amount) : 'max';
}

/** Settings of io.max. Throws for limits that are impossible, or that this host or these file systems cannot have. */
export function blockSettings(
  asked: Asked,
  hostPaths: readonly string[],
): readonly CgroupSetting[] {
  const settings: CgroupSetting[] = [];
  for (const name of Object.keys(FILES) as BlockIsolator[]) {
    const value = asked.value(name);
    if (value === undefined) continue;
    const amount = perSecond(asked, name, value.limit);
    const hierarchy = findCgroup2();
    if (hierarchy?.controllers.includes('io') !== true)
      asked.refuse(name, 'the unified cgroup hierarchy has no io controller');
    if (cannotLimit(hierarchy.root))
      asked.refuse(name, 'this kernel counts input and output of disks, but cannot limit them');
    const disks = new Set(hostPaths.map(diskOf).filter((disk) => disk !== undefined));
    if (disks.size === 0) {
      asked.refuse(
        name,
        'ZFS reads and writes for all apps alike; only volumes of kind host on file systems of another kind can be limited',
      );
    }
    const [read, write] = FILES[name];
    for (const disk of disks)
      settings.push({ file: 'io.max', value: `${disk} ${read}=${amount} ${write}=${amount}` });
    asked.adjusted(
      name,
      'all input and output',
      `that of host volumes on ${[...disks].join(', ')}, without ZFS`,
    );
  }
  return settings;
}
