/**
 * The port to ZFS: what jetpack needs of it, in our words. Adapter: `cli.ts` (the zfs and zpool programs of OpenZFS and zfs-fuse).
 * Every method throws ZfsError with the codes of errors.ts; the measured behaviour behind them is in docs/tools.md.
 */

declare const datasetBrand: unique symbol;
/** A file system or snapshot name: `pool/a/b` or `pool/a/b@snap`. */
export type DatasetName = string & { readonly [datasetBrand]: true };

/** Native properties (`readonly`) and user properties (`io.jetpack:source`), as text. */
export type Properties = Readonly<Record<string, string>>;

export type DatasetType = 'filesystem' | 'snapshot' | 'volume';

export interface DatasetRow {
  readonly name: DatasetName;
  readonly type: DatasetType;
  /** The snapshot that this file system is a clone of. */
  readonly origin: DatasetName | undefined;
  readonly usedBytes: number;
  readonly referencedBytes: number;
  /** Creation, in seconds since the epoch; undefined where the implementation tells none that can be parsed. */
  readonly createdAtS: number | undefined;
  readonly mountpoint: string | undefined;
  readonly mounted: boolean;
}

/** What this implementation can do, found out by trying, never by its version. */
export interface ZfsFeatures {
  /** `kernel`: mount(2) with type zfs works in any mount namespace. `fuse`: only its daemon mounts, in the host's. */
  readonly mounting: 'kernel' | 'fuse';
  /** `zfs list -p` (exact numbers). */
  readonly parsable: boolean;
  readonly lz4: boolean;
  readonly diff: boolean;
  /** `zfs rename -u` and `clone -u`/`create -u`: do not (re)mount. */
  readonly renameUnmounted: boolean;
  readonly createUnmounted: boolean;
  readonly json: boolean;
  readonly channelPrograms: boolean;
  /** `xattr=sa`. */
  readonly xattrSa: boolean;
  /** File systems keep extended attributes (zfs-fuse needs its daemon started with --enable-xattr); undefined: could not be tried. */
  readonly xattrs: boolean | undefined;
}

export interface Zfs {
  /**
   * Creates a file system with its properties in one step. Mounts it when its mountpoint and canmount say so; one that
   * cannot be mounted is destroyed again before this throws. With `parents` an existing one is not noticed (both tools
   * then succeed and leave its properties as they are).
   */
  create(
    name: DatasetName,
    options?: { readonly properties?: Properties; readonly parents?: boolean },
  ): Promise<void>;
  /**
   * `parents` creates missing parents (they inherit everything, and mount if inherited properties say so), and an existing
   * `name` is then not noticed: use it for names that are fresh UUIDs.
   */
  clone(
    snapshot: DatasetName,
    name: DatasetName,
    options?: { readonly properties?: Properties; readonly parents?: boolean },
  ): Promise<void>;
  snapshot(name: DatasetName, properties?: Properties): Promise<void>;
  /**
   * A mounted file system is unmounted first, and mounted again where its new place says so. Busy ones are tried again like
   * those of `destroy`; what stays busy is where it was, perhaps unmounted. Never replaces: ZFS_EXISTS.
   */
  rename(
    from: DatasetName,
    to: DatasetName,
    options?: { readonly busyTimeoutMs?: number },
  ): Promise<void>;
  /**
   * Unmounts and destroys. `recursive` takes children and snapshots along, never clones: ZFS_HAS_CLONES then, with nothing
   * destroyed. A file system that is still going away (ZFS_BUSY) is tried again until it has stood in the way for
   * `busyTimeoutMs` (default 3000); then part of a recursive destroy may be done.
   */
  destroy(
    name: DatasetName,
    options?: { readonly recursive?: boolean; readonly busyTimeoutMs?: number },
  ): Promise<void>;
  /** The file system is again as this snapshot of it, which must be its newest (ZFS_FAILED else, and nothing is changed). */
  rollback(snapshot: DatasetName): Promise<void>;
  /** The tree below `root` (itself included), parents before children; without `types` file systems and volumes. A missing root is an empty list. `depth` 1 = direct children. */
  list(
    root: DatasetName,
    options?: { readonly depth?: number; readonly types?: readonly DatasetType[] },
  ): Promise<readonly DatasetRow[]>;
  exists(name: DatasetName): Promise<boolean>;
  /** Values of the properties asked for, sizes and times as plain numbers (quota none = 0); a property that is not set is absent. */
  get(name: DatasetName, properties: readonly string[]): Promise<Properties>;
  /** Not one step where the tool takes one property at a time (zfs-fuse). */
  set(name: DatasetName, properties: Properties): Promise<void>;
  /** Idempotent: where it is mounted or not is what counts, not who did it. */
  mount(name: DatasetName): Promise<void>;
  unmount(name: DatasetName, options?: { readonly force?: boolean }): Promise<void>;
  hold(tag: string, snapshot: DatasetName): Promise<void>;
  release(tag: string, snapshot: DatasetName): Promise<void>;
  /** The tags. ZFS_UNSUPPORTED on zfs-fuse, which has only their number (the property `userrefs`). */
  holds(snapshot: DatasetName): Promise<readonly string[]>;
  /** Free space for new data in the dataset, in bytes. */
  availableBytes(name: DatasetName): Promise<number>;
  pools(): Promise<readonly string[]>;
  /** A pool on one file or disk; `properties` are those of its top dataset, which is never mounted. */
  createPool(pool: string, vdev: string, properties?: Properties): Promise<void>;
  /** Brings a pool back whose devices are in `dir`, and mounts what its properties say. */
  importPool(pool: string, dir: string): Promise<void>;
  /** Probes below `scratch` (an existing dataset of ours) where trying needs one. */
  features(scratch?: DatasetName): Promise<ZfsFeatures>;
}

/** Checks the characters and length (255) of a dataset or snapshot name. */
export function parseDatasetName(text: string): DatasetName | undefined {
  const component = '[A-Za-z0-9_][A-Za-z0-9_.:-]*';
  const pattern = new RegExp(`^${component}(?:/${component})*(?:@${component})?$`);
  return text.length <= 255 && pattern.test(text) ? (text as DatasetName) : undefined;
}
