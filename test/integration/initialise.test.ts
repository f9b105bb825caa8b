import { execFile } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { childExec } from '../../src/exec/child.ts';
import { createLinuxAccounts, type Accounts } from '../../src/host/accounts.ts';
import { initialise, type InitialiseRequest } from '../../src/host/initialise.ts';
import { createLayout } from '../../src/host/layout.ts';
import type { DatasetName } from '../../src/zfs/zfs.ts';
import { testPool } from '../support/environment.ts';
import { realZfs, toolPath } from '../support/real-zfs.ts';

const execute = promisify(execFile);

describe.skipIf(testPool() === undefined)('init on a host without a pool', () => {
  const zfs = realZfs();
  // The accounts of the host are not for a test to make; what getent says is.
  const real = createLinuxAccounts(childExec.run);
  const accounts: Accounts = {
    findGroup: async () => (await real.findGroup()) ?? 0,
    findUser: () => Promise.resolve(0),
    createGroup: () => Promise.reject(new Error('not expected')),
    createUser: () => Promise.reject(new Error('not expected')),
  };
  const pool = `jpinit${String(process.pid)}`;
  let dir: string;
  let request: InitialiseRequest & { readonly poolFile: object };

  beforeAll(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'jp-'));
    request = {
      layout: createLayout(`${pool}/jetpack` as DatasetName, path.join(dir, 'mnt')),
      configFile: path.join(dir, 'etc', 'jetpack.conf'),
      poolFile: { pool, file: path.join(dir, 'pool', 'img'), sizeBytes: 256 * 1024 * 1024 },
    };
  });
  afterAll(async () => {
    if ((await zfs.pools()).includes(pool))
      await execute(toolPath('zpool'), ['destroy', '-f', pool]);
    await rm(dir, { recursive: true });
  });

  it('makes a pool on a file, the datasets and the folders', async () => {
    const steps = await initialise({ zfs, accounts }, request);
    expect(steps[0]).toMatchObject({ kind: 'create-pool' });
    const { dataset, dir: folder } = request.layout;
    expect((await zfs.list(dataset.root)).map((row) => row.name)).toEqual(
      [
        dataset.root,
        dataset.build,
        dataset.images,
        dataset.pods,
        dataset.reserve,
        dataset.trash,
        dataset.volumes,
      ].sort(),
    );
    expect((await stat(folder.pods)).mode & 0o777).toBe(0o750);
    expect((await stat(folder.root)).mode & 0o777).toBe(0o711);
    expect(await readFile(request.configFile, 'utf8')).toContain(`root.zfs = ${dataset.root}\n`);
    const { lz4 } = await zfs.features(dataset.root);
    expect((await zfs.get(dataset.images, ['compression']))['compression']).toBe(
      lz4 ? 'lz4' : 'off',
    );
  });

  it('does nothing the second time, and repairs one folder when that is wrong', async () => {
    expect(await initialise({ zfs, accounts }, request)).toEqual([]);
    await chmod(request.layout.dir.locks, 0o755);
    expect(await initialise({ zfs, accounts }, request)).toMatchObject([{ kind: 'set-up-folder' }]);
  });

  it('imports the pool again when the host has forgotten it', async () => {
    await execute(toolPath('zpool'), ['export', pool]);
    expect(await initialise({ zfs, accounts }, request)).toMatchObject([{ kind: 'import-pool' }]);
    expect(await initialise({ zfs, accounts }, request)).toEqual([]);
  });

  it('does not take another file for a pool', async () => {
    const poolFile = { pool: `${pool}x`, file: request.configFile, sizeBytes: 256 * 1024 * 1024 };
    await expect(initialise({ zfs, accounts }, { ...request, poolFile })).rejects.toMatchObject({
      code: 'HOST_UNSUPPORTED',
      message: `${request.configFile} exists, but holds no pool named ${pool}x`,
    });
  });
});
