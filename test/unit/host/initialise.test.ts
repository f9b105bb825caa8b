import { describe, expect, it } from 'vitest';

import {
  parseSize,
  planInitialise,
  plannedDatasets,
  plannedFolders,
  renderInitialiseStep,
  type DatasetFact,
  type HostFacts,
  type InitialiseRequest,
} from '../../../src/host/initialise.ts';
import { createLayout } from '../../../src/host/layout.ts';
import type { DatasetName } from '../../../src/zfs/zfs.ts';

const layout = createLayout('tank/jp' as DatasetName, '/var/lib/jetpack');
const request: InitialiseRequest = { layout, configFile: '/etc/jetpack/jetpack.conf' };

const kernel = { mounting: 'kernel', lz4: true, xattrSa: true } as const;
const fuse = { mounting: 'fuse', lz4: false, xattrSa: false } as const;

const fresh: HostFacts = {
  features: kernel,
  pools: ['tank'],
  poolFileExists: false,
  groupId: undefined,
  hasUser: false,
  datasets: new Map(),
  folders: new Map(),
  mdsKeyExists: false,
  configFileExists: false,
};

const rootFact: DatasetFact = {
  mountpoint: '/var/lib/jetpack',
  mounted: true,
  canmount: 'on',
  role: 'root',
  isEmpty: false,
};

const complete: HostFacts = {
  ...fresh,
  groupId: 990,
  hasUser: true,
  datasets: new Map(plannedDatasets(layout, kernel).map(({ name }) => [name, rootFact])),
  folders: new Map(
    plannedFolders(layout).map(({ path, mode, group }) => [
      path,
      { mode, gid: group === 'root' ? 0 : 990 },
    ]),
  ),
  mdsKeyExists: true,
  configFileExists: true,
};

const withRoot = (fact: Partial<DatasetFact>): HostFacts => ({
  ...complete,
  datasets: new Map([...complete.datasets, [layout.dataset.root, { ...rootFact, ...fact }]]),
});

describe('the plan of init', () => {
  it('makes accounts, datasets, folders and the file, in this order, on a fresh host', () => {
    const steps = planInitialise(request, fresh);
    expect(steps.map((step) => step.kind)).toEqual([
      'create-group',
      'create-user',
      ...Array.from({ length: 7 }, () => 'create-dataset'),
      ...Array.from({ length: plannedFolders(layout).length }, () => 'set-up-folder'),
      'create-mds-key',
      'write-config',
    ]);
    expect(steps.at(-1)).toMatchObject({
      text: expect.stringContaining('root.zfs = tank/jp\n') as string,
    });
    for (const step of steps) expect(renderInitialiseStep(step)).not.toBe('');
  });

  it('is empty on a host that has everything', () => {
    expect(planInitialise(request, complete)).toEqual([]);
  });

  it('mounts pods in their own namespace with the kernel, and in the host with zfs-fuse', () => {
    const pods = (features: HostFacts['features']) =>
      plannedDatasets(layout, features).find(({ name }) => name === layout.dataset.pods)
        ?.properties;
    expect(pods(kernel)).toMatchObject({ mountpoint: 'legacy' });
    expect(pods(fuse)).toMatchObject({ canmount: 'off', mountpoint: '/var/lib/jetpack/rootfs' });
  });

  it('wishes for lz4 and xattr=sa only where they may exist', () => {
    expect(plannedDatasets(layout, kernel)[0]?.wished).toEqual({ compression: 'lz4', xattr: 'sa' });
    expect(plannedDatasets(layout, fuse)[0]?.wished).toEqual({});
  });

  it('creates a pool on a new file, imports it from an old one, and leaves an imported one alone', () => {
    const poolFile = { pool: 'jetpack', file: '/var/lib/jetpack.pool', sizeBytes: 1 };
    const first = (facts: Partial<HostFacts>) =>
      planInitialise({ ...request, poolFile }, { ...complete, ...facts })[0];
    expect(first({})).toEqual({ kind: 'create-pool', poolFile });
    expect(first({ poolFileExists: true })).toEqual({ kind: 'import-pool', poolFile });
    expect(first({ pools: ['tank', 'jetpack'] })).toBeUndefined();
  });

  it('repairs the mode and group of a folder, and mounts what is not mounted', () => {
    const folders = new Map(complete.folders).set(layout.dir.pods, { mode: 0o755, gid: 0 });
    expect(planInitialise(request, { ...complete, folders })).toMatchObject([
      { kind: 'set-up-folder', folder: { path: layout.dir.pods, mode: 0o750, group: '_jetpack' } },
    ]);
    expect(planInitialise(request, withRoot({ mounted: false }))).toEqual([
      { kind: 'mount-dataset', name: layout.dataset.root },
    ]);
  });

  it('takes over an empty dataset, and touches nothing of somebody else', () => {
    expect(planInitialise(request, withRoot({ role: undefined, isEmpty: true }))).toMatchObject([
      {
        kind: 'adopt-dataset',
        name: 'tank/jp',
        properties: { mountpoint: '/var/lib/jetpack', 'io.jetpack:role': 'root' },
      },
    ]);
    expect(() => planInitialise(request, withRoot({ role: undefined }))).toThrow(
      /not marked as jetpack's/,
    );
    expect(() => planInitialise(request, withRoot({ mountpoint: '/else' }))).toThrow(
      /tank\/jp has the mount point \/else, not \/var\/lib\/jetpack/,
    );
  });
});

describe('a size', () => {
  it('is bytes or has a unit', () => {
    expect(parseSize('10G')).toBe(10 * 1024 ** 3);
    expect(parseSize('512m')).toBe(512 * 1024 ** 2);
    expect(parseSize('4096')).toBe(4096);
    for (const bad of ['', 'G', '1.5G', '-1', '10GB'])
      expect(() => parseSize(bad)).toThrow(/not a size/);
  });
});
