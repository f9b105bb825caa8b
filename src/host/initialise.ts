/**
 * `jetpack init`: what a host needs before its first image. Facts are gathered, a pure planner says what is missing, and
 * the executor does just that; on a host that has everything the plan is empty. Killed half-way, it goes on the next time.
 */
import { chmod, chown, mkdir, open, rename, rm, stat, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { errnoOf, HostError, UsageError, ZfsError } from '../errors.ts';
import type { DatasetName, Properties, Zfs, ZfsFeatures } from '../zfs/zfs.ts';
import { ACCOUNT, type Accounts } from './accounts.ts';
import { renderConfigFile } from './config.ts';
import type { Layout } from './layout.ts';
import { createMdsKey, mdsKeyFile } from './mds-key.ts';
import { RESERVE_PROPERTIES } from './reserve.ts';

export interface PoolFile {
  readonly pool: string;
  readonly file: string;
  /** Of a new file; it is sparse. */
  readonly sizeBytes: number;
}

export interface InitialiseRequest {
  readonly layout: Layout;
  /** Written when it is missing. */
  readonly configFile: string;
  /** Who the metadata service runs as; our own account unless the administrator made another. */
  readonly mdsUser?: string;
  readonly poolFile?: PoolFile;
}

export interface Folder {
  readonly path: string;
  readonly mode: number;
  readonly group: 'root' | typeof ACCOUNT;
}

export interface DatasetFact {
  readonly mountpoint: string | undefined;
  readonly mounted: boolean;
  readonly canmount: string | undefined;
  /** `io.jetpack:role`. */
  readonly role: string | undefined;
  readonly isEmpty: boolean;
}

export interface HostFacts {
  readonly features: Pick<ZfsFeatures, 'mounting' | 'lz4' | 'xattrSa'>;
  readonly pools: readonly string[];
  readonly poolFileExists: boolean;
  readonly groupId: number | undefined;
  readonly hasUser: boolean;
  /** Those of the plan that exist, by name. */
  readonly datasets: ReadonlyMap<DatasetName, DatasetFact>;
  /** Those of the plan that exist, by path. */
  readonly folders: ReadonlyMap<string, { readonly mode: number; readonly gid: number }>;
  readonly mdsKeyExists: boolean;
  readonly configFileExists: boolean;
}

export type InitialiseStep =
  | { readonly kind: 'create-pool'; readonly poolFile: PoolFile }
  | { readonly kind: 'import-pool'; readonly poolFile: PoolFile }
  | { readonly kind: 'create-group' }
  | { readonly kind: 'create-user' }
  | {
      readonly kind: 'create-dataset';
      readonly name: DatasetName;
      readonly properties: Properties;
      /** Left out where the pool is too old for them. */
      readonly wished: Properties;
    }
  | { readonly kind: 'adopt-dataset'; readonly name: DatasetName; readonly properties: Properties }
  | { readonly kind: 'mount-dataset'; readonly name: DatasetName }
  | { readonly kind: 'set-up-folder'; readonly folder: Folder }
  | { readonly kind: 'create-mds-key'; readonly file: string; readonly user: string }
  | { readonly kind: 'write-config'; readonly file: string; readonly text: string };

export const ROLE = 'io.jetpack:role';
const MIN_POOL_BYTES = 64 * 1024 * 1024;

/** The datasets that ARCHITECTURE.md lists, parents first. */
export function plannedDatasets(
  { dataset, dir }: Layout,
  features: HostFacts['features'],
): readonly {
  readonly name: DatasetName;
  readonly properties: Properties;
  readonly wished: Properties;
}[] {
  const wished = {
    ...(features.lz4 ? { compression: 'lz4' } : {}),
    ...(features.xattrSa ? { xattr: 'sa' } : {}),
  };
  const role = (name: string): Properties => ({ [ROLE]: name });
  return [
    {
      name: dataset.root,
      properties: {
        mountpoint: dir.root,
        atime: 'off',
        devices: 'off',
        ...role('root'),
      },
      wished,
    },
    {
      name: dataset.images,
      properties: { mountpoint: 'none', readonly: 'on', ...role('images') },
      wished: {},
    },
    {
      name: dataset.build,
      properties: { canmount: 'off', mountpoint: path.join(dir.root, 'build'), ...role('build') },
      wished: {},
    },
    {
      name: dataset.pods,
      // The kernel mounts a pod's file systems in the pod's own namespace; zfs-fuse can only mount them in the host's.
      properties:
        features.mounting === 'kernel'
          ? { mountpoint: 'legacy', ...role('pods') }
          : { canmount: 'off', mountpoint: path.join(dir.root, 'rootfs'), ...role('pods') },
      wished: {},
    },
    {
      name: dataset.volumes,
      properties: {
        canmount: 'off',
        mountpoint: path.join(dir.root, 'volumes'),
        ...role('volumes'),
      },
      wished: {},
    },
    {
      // Given up when the pool is full, so that something can be removed (reserve.ts).
      name: dataset.reserve,
      properties: { ...RESERVE_PROPERTIES, ...role('reserve') },
      wished: {},
    },
    {
      name: dataset.trash,
      properties: { canmount: 'off', mountpoint: 'none', ...role('trash') },
      wished: {},
    },
  ];
}

/** Only root may look into most of them; the metadata service reads pods. */
export function plannedFolders({ dir }: Layout): readonly Folder[] {
  const forRoot = (folder: string): Folder => ({ path: folder, mode: 0o700, group: 'root' });
  return [
    { path: dir.root, mode: 0o711, group: 'root' },
    // The metadata service looks up images by their ids.
    { path: dir.images, mode: 0o710, group: ACCOUNT },
    { path: dir.mds, mode: 0o750, group: ACCOUNT },
    forRoot(path.dirname(dir.imageNames)),
    forRoot(dir.imageNames),
    forRoot(dir.chains),
    forRoot(dir.fetched),
    forRoot(dir.podNames),
    forRoot(dir.blobs),
    { path: dir.pods, mode: 0o750, group: ACCOUNT },
    forRoot(dir.leases),
    forRoot(dir.locks),
    forRoot(path.join(dir.root, 'build')),
    forRoot(path.join(dir.root, 'rootfs')),
    forRoot(path.join(dir.root, 'volumes')),
  ];
}

/** Pure. Throws HostError when the root dataset belongs to somebody else or is mounted elsewhere. */
export function planInitialise(
  request: InitialiseRequest,
  facts: HostFacts,
): readonly InitialiseStep[] {
  return [
    ...planPool(request, facts),
    ...planAccounts(facts),
    ...planDatasets(request, facts),
    ...planFolders(request, facts),
    ...planMdsKey(request, facts),
    ...planConfig(request, facts),
  ];
}

function planPool({ poolFile }: InitialiseRequest, facts: HostFacts): readonly InitialiseStep[] {
  if (poolFile === undefined || facts.pools.includes(poolFile.pool)) return [];
  return [{ kind: facts.poolFileExists ? 'import-pool' : 'create-pool', poolFile }];
}

function planAccounts(facts: HostFacts): readonly InitialiseStep[] {
  return [
    ...(facts.groupId === undefined ? [{ kind: 'create-group' } as const] : []),
    ...(facts.hasUser ? [] : [{ kind: 'create-user' } as const]),
  ];
}

function planDatasets({ layout }: InitialiseRequest, facts: HostFacts): readonly InitialiseStep[] {
  return plannedDatasets(layout, facts.features).flatMap((planned): readonly InitialiseStep[] => {
    const { name } = planned;
    const found = facts.datasets.get(name);
    if (found === undefined) return [{ kind: 'create-dataset', ...planned }];
    if (name !== layout.dataset.root) return [];
    const mountpoint = layout.dir.root;
    if (found.role !== 'root') {
      if (!found.isEmpty) throw notOurs(name);
      return [
        { kind: 'adopt-dataset', name, properties: { ...planned.properties, ...planned.wished } },
      ];
    }
    if (found.mountpoint !== mountpoint) throw mountedElsewhere(name, found.mountpoint, mountpoint);
    return found.mounted ? [] : [{ kind: 'mount-dataset', name }];
  });
}

function planFolders({ layout }: InitialiseRequest, facts: HostFacts): readonly InitialiseStep[] {
  return plannedFolders(layout).flatMap((folder): readonly InitialiseStep[] => {
    const found = facts.folders.get(folder.path);
    const gid = folder.group === 'root' ? 0 : facts.groupId;
    const isRight = found?.mode === folder.mode && found.gid === gid;
    return isRight ? [] : [{ kind: 'set-up-folder', folder }];
  });
}

function planMdsKey(
  { layout, mdsUser = ACCOUNT }: InitialiseRequest,
  facts: HostFacts,
): readonly InitialiseStep[] {
  if (facts.mdsKeyExists) return [];
  return [{ kind: 'create-mds-key', file: mdsKeyFile(layout), user: mdsUser }];
}

function planConfig(request: InitialiseRequest, facts: HostFacts): readonly InitialiseStep[] {
  if (facts.configFileExists) return [];
  const { layout, configFile } = request;
  const text = renderConfigFile({
    'root.zfs': layout.dataset.root,
    'root.mountpoint': layout.dir.root,
  });
  return [{ kind: 'write-config', file: configFile, text }];
}

function notOurs(name: DatasetName): HostError {
  return new HostError(
    'HOST_UNSUPPORTED',
    `${name} exists, is not empty, and is not marked as jetpack's`,
    {
      remedies: [
        'choose another with: -o root.zfs=POOL/NAME',
        `or, if it really is jetpack's, mark it: zfs set ${ROLE}=root ${name}`,
      ],
    },
  );
}

function mountedElsewhere(name: DatasetName, found: string | undefined, wanted: string): HostError {
  const where = found ?? 'none';
  return new HostError('HOST_UNSUPPORTED', `${name} has the mount point ${where}, not ${wanted}`, {
    remedies: [
      `zfs set mountpoint=${wanted} ${name}`,
      `or set root.mountpoint = ${where} in the configuration`,
    ],
  });
}

export function renderInitialiseStep(step: InitialiseStep): string {
  switch (step.kind) {
    case 'create-pool':
      return `create the pool ${step.poolFile.pool} on the file ${step.poolFile.file}`;
    case 'import-pool':
      return `import the pool ${step.poolFile.pool} from ${step.poolFile.file}`;
    case 'create-group':
      return `create the group ${ACCOUNT}`;
    case 'create-user':
      return `create the user ${ACCOUNT}`;
    case 'create-dataset':
      return `create the dataset ${step.name}`;
    case 'adopt-dataset':
      return `take over the empty dataset ${step.name}`;
    case 'mount-dataset':
      return `mount ${step.name}`;
    case 'set-up-folder':
      return `set up the folder ${step.folder.path}`;
    case 'create-mds-key':
      return `make the key of the metadata service, ${step.file}`;
    case 'write-config':
      return `write ${step.file}`;
  }
}

export interface InitialisePorts {
  readonly zfs: Zfs;
  readonly accounts: Accounts;
  /** Called before each step. */
  readonly onStep?: (step: InitialiseStep) => void;
}

/**
 * Gathers, plans, does; returns the steps that were done. The pool comes first, because the rest cannot be asked before
 * it is there.
 */
export async function initialise(
  ports: InitialisePorts,
  request: InitialiseRequest,
): Promise<readonly InitialiseStep[]> {
  const { poolFile } = request;
  if (poolFile !== undefined && poolFile.sizeBytes < MIN_POOL_BYTES) {
    throw new UsageError(`a pool needs at least ${String(MIN_POOL_BYTES / 1024 / 1024)} MB`);
  }
  const features = await ports.zfs.features();
  const poolSteps = planPool(request, await gatherPoolFacts(ports, request, features));
  for (const step of poolSteps) await perform(ports, step);
  const steps = planInitialise(request, await gatherFacts(ports, request, features));
  for (const step of steps) await perform(ports, step);
  return [...poolSteps, ...steps];
}

async function gatherPoolFacts(
  { zfs }: InitialisePorts,
  { poolFile }: InitialiseRequest,
  features: ZfsFeatures,
): Promise<HostFacts> {
  return {
    features,
    pools: await zfs.pools(),
    poolFileExists: poolFile !== undefined && (await findStat(poolFile.file)) !== undefined,
    groupId: undefined,
    hasUser: false,
    datasets: new Map(),
    folders: new Map(),
    mdsKeyExists: false,
    configFileExists: false,
  };
}

/** Read-only. */
export async function gatherFacts(
  ports: InitialisePorts,
  request: InitialiseRequest,
  features: ZfsFeatures,
): Promise<HostFacts> {
  const { zfs, accounts } = ports;
  const { layout } = request;
  const rows = await zfs.list(layout.dataset.root, { depth: 1 });
  const datasets = new Map<DatasetName, DatasetFact>();
  for (const { name, mountpoint, mounted } of rows) {
    const isRoot = name === layout.dataset.root;
    const properties = isRoot ? await zfs.get(name, ['canmount', ROLE]) : {};
    datasets.set(name, {
      mountpoint,
      mounted,
      canmount: properties['canmount'],
      role: properties[ROLE],
      isEmpty: rows.length === 1,
    });
  }
  const folders = new Map<string, { mode: number; gid: number }>();
  const isMounted = datasets.get(layout.dataset.root)?.mounted === true;
  // Before the root dataset is mounted, folders of that name would be those under the mount.
  if (isMounted) {
    for (const folder of plannedFolders(layout)) {
      const found = await findStat(folder.path);
      if (found !== undefined)
        folders.set(folder.path, { mode: found.mode & 0o7777, gid: found.gid });
    }
  }
  return {
    ...(await gatherPoolFacts(ports, request, features)),
    groupId: await accounts.findGroup(),
    hasUser: (await accounts.findUser()) !== undefined,
    datasets,
    folders,
    mdsKeyExists: isMounted && (await findStat(mdsKeyFile(layout))) !== undefined,
    configFileExists: (await findStat(request.configFile)) !== undefined,
  };
}

async function findStat(file: string) {
  try {
    return await stat(file);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return undefined;
    throw error;
  }
}

/** Every step may be done twice. */
async function perform(ports: InitialisePorts, step: InitialiseStep): Promise<void> {
  const { zfs, accounts, onStep } = ports;
  onStep?.(step);
  switch (step.kind) {
    case 'create-pool':
      return createPoolOnFile(zfs, step.poolFile);
    case 'import-pool':
      return importPoolFromFile(zfs, step.poolFile);
    case 'create-group':
      return accounts.createGroup();
    case 'create-user':
      return accounts.createUser();
    case 'create-dataset':
      return createDataset(zfs, step);
    case 'adopt-dataset':
      await zfs.set(step.name, step.properties);
      return zfs.mount(step.name);
    case 'mount-dataset':
      return zfs.mount(step.name);
    case 'set-up-folder':
      return setUpFolder(accounts, step.folder);
    case 'create-mds-key':
      return makeMdsKey(accounts, step.file, step.user);
    case 'write-config':
      return writeConfig(step.file, step.text);
  }
}

async function createPoolOnFile(zfs: Zfs, { pool, file, sizeBytes }: PoolFile): Promise<void> {
  await mkdir(path.dirname(file), { recursive: true });
  const handle = await open(file, 'wx', 0o600);
  await handle.close();
  try {
    await truncate(file, sizeBytes);
    await zfs.createPool(pool, file, { atime: 'off' });
  } catch (error) {
    await rm(file, { force: true });
    throw error;
  }
}

async function importPoolFromFile(zfs: Zfs, { pool, file }: PoolFile): Promise<void> {
  try {
    await zfs.importPool(pool, path.dirname(file));
  } catch (error) {
    if (!(error instanceof ZfsError) || error.code !== 'ZFS_MISSING') throw error;
    throw new HostError('HOST_UNSUPPORTED', `${file} exists, but holds no pool named ${pool}`, {
      remedies: ['remove the file, or name another with --pool-file'],
      cause: error,
    });
  }
}

async function createDataset(
  zfs: Zfs,
  step: Extract<InitialiseStep, { readonly kind: 'create-dataset' }>,
): Promise<void> {
  const { name, properties, wished } = step;
  try {
    await zfs.create(name, { properties: { ...properties, ...wished } });
  } catch (error) {
    if (!(error instanceof ZfsError) || error.code !== 'ZFS_UNSUPPORTED') throw error;
    // The software knows them, but the pool is of an older version.
    await zfs.create(name, { properties });
  }
}

async function setUpFolder(accounts: Accounts, folder: Folder): Promise<void> {
  await mkdir(folder.path, { recursive: true, mode: folder.mode });
  const gid = folder.group === 'root' ? 0 : await accounts.findGroup();
  if (gid === undefined) {
    throw new HostError('HOST_UNSUPPORTED', `the group ${folder.group} is missing`, {
      remedies: ['try again: jetpack init'],
    });
  }
  // The mode last: chown(2) would clear parts of it, and mkdir's is cut by the umask.
  await chown(folder.path, 0, gid);
  await chmod(folder.path, folder.mode);
}

async function makeMdsKey(accounts: Accounts, file: string, user: string): Promise<void> {
  const uid = await accounts.findUser(user);
  if (uid !== undefined) return createMdsKey(file, uid);
  throw new HostError('HOST_UNSUPPORTED', `the user ${user} of the metadata service is missing`, {
    remedies: ['create it, in the group _jetpack', 'or change mds.user in the configuration'],
  });
}

async function writeConfig(file: string, text: string): Promise<void> {
  await mkdir(path.dirname(file), { recursive: true, mode: 0o755 });
  const aside = `${file}.new`;
  await writeFile(aside, text, { mode: 0o644, flush: true });
  await rename(aside, file);
}

/** `10G`, `512M`, plain bytes. Throws UsageError. */
export function parseSize(text: string): number {
  const [, digits, unit = ''] = /^(\d{1,12})([KMGT]?)$/i.exec(text) ?? [];
  if (digits === undefined) {
    throw new UsageError(`not a size: ${text}`, { remedies: ['write it like 512M or 10G'] });
  }
  return Number(digits) * 1024 ** ['', 'K', 'M', 'G', 'T'].indexOf(unit.toUpperCase());
}
