/** What the ZFS at hand can do: asked from its own usage texts, and tried where a pool may be older than its software. */
import { randomUUID } from 'node:crypto';

import { HostError } from '../errors.ts';
import type { Argv, Run, RunResult } from '../exec/exec.ts';
import { createArgv, getArgv } from './argv.ts';
import { codeOf, wordsOf, zfsFailure } from './failure.ts';
import { parseGet, parseUsage } from './parse.ts';
import type { DatasetName, Properties, ZfsFeatures } from './zfs.ts';

interface Probe {
  readonly run: Run;
  readonly zfs: Argv;
  readonly setfattr?: string;
  readonly destroy: (name: DatasetName) => Promise<void>;
}

/** Rejects with ZFS_UNAVAILABLE when no ZFS answers. Leaves nothing behind in `scratch`. */
export async function detectFeatures(probe: Probe, scratch?: DatasetName): Promise<ZfsFeatures> {
  const { run, zfs } = probe;
  const usage = parseUsage((await run(zfs)).stderr);
  const version = await run([...zfs, 'version']);
  // `get` alone prints every property with its values; it also tells whether the module or the daemon is there at all.
  const properties = await run([...zfs, 'get']);
  if (codeOf(wordsOf(properties)) === 'ZFS_UNAVAILABLE') {
    throw zfsFailure(properties, { what: 'use ZFS', dataset: '' });
  }
  const allows = (property: string, value: string) =>
    properties.stderr
      .split('\n')
      .some(
        (line) => line.trim().split(/\s+/)[0] === property && line.split(/[\s|]+/).includes(value),
      );
  const works = async (property: string, value: string) =>
    allows(property, value) &&
    (scratch === undefined || (await canCreate(probe, scratch, { [property]: value })));

  // Only OpenZFS has `version`, and it answers with its module's.
  const mounting = /^zfs-kmod-/m.test(version.stdout) ? 'kernel' : 'fuse';
  return {
    mounting,
    parsable: usage.takes('list', 'p'),
    lz4: await works('compression', 'lz4'),
    diff: usage.has('diff'),
    renameUnmounted: usage.takes('rename', 'u'),
    createUnmounted: usage.takes('create', 'u'),
    json: usage.takes('list', 'j'),
    channelPrograms: usage.has('program'),
    xattrSa: await works('xattr', 'sa'),
    xattrs: mounting === 'kernel' ? true : await keepsXattrs(probe, scratch),
  };
}

async function canCreate(
  probe: Probe,
  scratch: DatasetName,
  properties: Properties,
): Promise<boolean> {
  const name = `${scratch}/probe-${randomUUID()}` as DatasetName;
  const args = createArgv(name, { properties: { mountpoint: 'none', ...properties } });
  const result = await probe.run([...probe.zfs, ...args]);
  if (result.status === 0) {
    await probe.destroy(name);
    return true;
  }
  const failure = zfsFailure(result, { what: `create ${name}`, dataset: name });
  if (failure.code === 'ZFS_UNSUPPORTED') return false;
  throw failure;
}

/** Undefined without the program. */
async function runIfThere(run: Run, argv: Argv): Promise<RunResult | undefined> {
  try {
    return await run(argv);
  } catch (error) {
    if (error instanceof HostError && error.code === 'TOOL_MISSING') return undefined;
    throw error;
  }
}

/** Sets an attribute on the folder where `scratch` is mounted, and takes it away again. */
async function keepsXattrs(
  { run, zfs, setfattr }: Probe,
  scratch: DatasetName | undefined,
): Promise<boolean | undefined> {
  if (scratch === undefined || setfattr === undefined) return undefined;
  const { stdout } = await run([...zfs, ...getArgv(scratch, ['mounted', 'mountpoint'])]);
  const { mounted, mountpoint } = parseGet(stdout);
  if (mounted !== 'yes' || mountpoint === undefined) return undefined;
  const attribute = 'user.jetpack.probe';
  const set = await runIfThere(run, [setfattr, '-n', attribute, '-v', '1', mountpoint]);
  if (set?.status !== 0) return set === undefined ? undefined : false;
  await run([setfattr, '-x', attribute, mountpoint]);
  return true;
}
