/** The command lines of zfs(8) and zpool(8) that jetpack uses: pure, without the program's own name. */
import { ZfsError } from '../errors.ts';
import type { DatasetName, DatasetType, Properties } from './zfs.ts';

/** Longest value of a property; OpenZFS and zfs-fuse abort (status 134) beyond it. */
export const MAX_PROPERTY_BYTES = 8191;

/** The columns of a `DatasetRow`, in the order in which `parseList` reads them. */
export const LIST_COLUMNS = [
  'name',
  'type',
  'origin',
  'used',
  'referenced',
  'creation',
  'mountpoint',
  'mounted',
] as const;

function assignment(dataset: DatasetName, key: string, value: string): string {
  // A tab or a newline would come back as another field or another row of -H output.
  if (/[\0-\x1f\x7f]/.test(value) || Buffer.byteLength(value) > MAX_PROPERTY_BYTES) {
    throw new ZfsError(
      'ZFS_UNSUPPORTED',
      dataset,
      `the value of the property ${key} of ${dataset} has control characters or more than ${String(MAX_PROPERTY_BYTES)} bytes`,
    );
  }
  return `${key}=${value}`;
}

function dashO(dataset: DatasetName, properties: Properties = {}): string[] {
  return Object.entries(properties).flatMap(([key, value]) => [
    '-o',
    assignment(dataset, key, value),
  ]);
}

export function createArgv(
  name: DatasetName,
  options: { readonly properties?: Properties; readonly parents?: boolean } = {},
): string[] {
  return ['create', ...(options.parents ? ['-p'] : []), ...dashO(name, options.properties), name];
}

export function cloneArgv(
  snapshot: DatasetName,
  name: DatasetName,
  options: { readonly properties?: Properties; readonly parents?: boolean } = {},
): string[] {
  const parents = options.parents ? ['-p'] : [];
  return ['clone', ...parents, ...dashO(name, options.properties), snapshot, name];
}

export function snapshotArgv(name: DatasetName, properties?: Properties): string[] {
  return ['snapshot', ...dashO(name, properties), name];
}

export function renameArgv(from: DatasetName, to: DatasetName): string[] {
  return ['rename', from, to];
}

/** Without -r: only to the newest snapshot. */
export function rollbackArgv(snapshot: DatasetName): string[] {
  return ['rollback', snapshot];
}

export function destroyArgv(
  name: DatasetName,
  options: { readonly recursive?: boolean },
): string[] {
  return ['destroy', ...(options.recursive ? ['-r'] : []), name];
}

interface ListOptions {
  readonly depth?: number;
  readonly types?: readonly DatasetType[];
}

function reach(options: ListOptions): string[] {
  return options.depth === undefined ? ['-r'] : ['-d', String(options.depth)];
}

/** Exact numbers in one row per dataset; zfs-fuse has no `-p` here. */
export function listArgv(root: DatasetName, options: ListOptions = {}): string[] {
  const types = (options.types ?? DEFAULT_TYPES).join(',');
  return ['list', '-Hp', ...reach(options), '-t', types, '-o', LIST_COLUMNS.join(','), root];
}

/** The same from zfs-fuse, whose `get` knows `-p`, but not `-t`: one row per property, snapshots always included. */
export function listByGetArgv(root: DatasetName, options: ListOptions = {}): string[] {
  const [, ...columns] = LIST_COLUMNS;
  return ['get', '-Hp', ...reach(options), '-o', 'name,property,value', columns.join(','), root];
}

export const DEFAULT_TYPES: readonly DatasetType[] = ['filesystem', 'volume'];

export function existsArgv(name: DatasetName): string[] {
  return ['list', '-H', '-o', 'name', name];
}

export function getArgv(name: DatasetName, properties: readonly string[]): string[] {
  return ['get', '-Hp', '-o', 'property,value,source', properties.join(','), name];
}

export function setArgv(name: DatasetName, properties: Properties): string[] {
  const assignments = Object.entries(properties).map(([key, value]) =>
    assignment(name, key, value),
  );
  return ['set', ...assignments, name];
}

export function mountArgv(name: DatasetName): string[] {
  return ['mount', name];
}

export function unmountArgv(name: DatasetName, options: { readonly force?: boolean }): string[] {
  return ['unmount', ...(options.force ? ['-f'] : []), name];
}

export function holdArgv(tag: string, snapshot: DatasetName): string[] {
  return ['hold', tag, snapshot];
}

export function releaseArgv(tag: string, snapshot: DatasetName): string[] {
  return ['release', tag, snapshot];
}

export function holdsArgv(snapshot: DatasetName): string[] {
  return ['holds', '-H', snapshot];
}

/** zpool(8): the names of the imported pools. */
export function poolsArgv(): string[] {
  return ['list', '-H', '-o', 'name'];
}

/** zpool(8): a pool on files or disks; nothing of it is mounted by itself. */
export function poolCreateArgv(pool: string, vdev: string, properties: Properties): string[] {
  const fs = Object.entries(properties).flatMap(([key, value]) => ['-O', `${key}=${value}`]);
  // Debian's zfs-fuse takes sectors of 4 KiB even for a file: a small dataset then needs 112 KB instead of 21.
  const sectors = vdev.startsWith('/dev/') ? [] : ['-o', 'ashift=9'];
  return ['create', '-m', 'none', ...sectors, ...fs, pool, vdev];
}

/** zpool(8): a pool whose devices are in `dir`. (zfs-fuse has no `-N`, which would leave everything unmounted.) */
export function poolImportArgv(pool: string, dir: string): string[] {
  return ['import', '-d', dir, pool];
}
