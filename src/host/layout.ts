/** Where everything is: names of datasets and folders, computed, never looked up. */
import path from 'node:path';
import process from 'node:process';

import type { DatasetName } from '../zfs/zfs.ts';

export interface Layout {
  /** `root.zfs` and the datasets below it. */
  readonly dataset: {
    readonly root: DatasetName;
    readonly images: DatasetName;
    readonly build: DatasetName;
    readonly pods: DatasetName;
    readonly volumes: DatasetName;
    readonly trash: DatasetName;
    /** Empty: holds some space back for the day when the pool is full. */
    readonly reserve: DatasetName;
    image(id: string): DatasetName;
    seal(id: string): DatasetName;
    scratch(uuid: string): DatasetName;
    pod(uuid: string): DatasetName;
    app(uuid: string, app: string): DatasetName;
    /** An empty volume of a pod. The dot keeps it apart from the apps, whose names have none. */
    podVolume(uuid: string, volume: string): DatasetName;
    trashed(uuid: string): DatasetName;
  };
  /** `root.mountpoint` and the folders below it. */
  readonly dir: {
    readonly root: string;
    readonly images: string;
    readonly imageNames: string;
    /** Content-addressed files that images share by hard links. */
    readonly blobs: string;
    /** Index: by the chain id of layers, who has a snapshot of them. */
    readonly chains: string;
    /** Index: by the whole reference that an image was fetched as, what it was then. */
    readonly fetched: string;
    readonly pods: string;
    readonly podNames: string;
    /** What only the metadata service may read. */
    readonly mds: string;
    readonly leases: string;
    readonly locks: string;
    /** Where a scratch dataset is mounted while an image is unpacked. */
    scratch(uuid: string): string;
    image(id: string): string;
    /** Index: one empty file per image id in the folder of its name. */
    imageName(name: string): string;
    pod(uuid: string): string;
    podName(name: string): string;
    /** Where zfs-fuse mounts the file systems of pods; kernel ZFS never mounts them in the host. */
    rootfs(uuid: string): string;
    lease(uuid: string): string;
  };
}

/** A file name for any text: percent-escaped where that is short enough, a digest where not. */
export function fileNameFor(text: string): string {
  const escaped = encodeURIComponent(text).replace(/^\./, '%2E');
  if (escaped.length <= 200) return escaped;
  // Loaded only for such names: it costs every start some milliseconds.
  const { createHash } = process.getBuiltinModule('node:crypto');
  return `sha256-${createHash('sha256').update(text).digest('hex')}`;
}

export function createLayout(rootDataset: DatasetName, rootDir: string): Layout {
  const below = (...parts: string[]) => [rootDataset, ...parts].join('/') as DatasetName;
  const inside = (...parts: string[]) => path.join(rootDir, ...parts);
  return {
    dataset: {
      root: rootDataset,
      images: below('images'),
      build: below('build'),
      pods: below('pods'),
      volumes: below('volumes'),
      trash: below('trash'),
      reserve: below('reserve'),
      image: (id) => below('images', id),
      seal: (id) => `${below('images', id)}@seal` as DatasetName,
      scratch: (uuid) => below('build', uuid),
      pod: (uuid) => below('pods', uuid),
      app: (uuid, app) => below('pods', uuid, app),
      podVolume: (uuid, volume) => below('pods', uuid, `volume.${volume}`),
      trashed: (uuid) => below('trash', uuid),
    },
    dir: {
      root: rootDir,
      images: inside('images'),
      imageNames: inside('names', 'images'),
      blobs: inside('blobs'),
      chains: inside('names', 'chains'),
      fetched: inside('names', 'fetched'),
      pods: inside('pods'),
      podNames: inside('names', 'pods'),
      mds: inside('mds'),
      leases: inside('leases'),
      locks: inside('locks'),
      scratch: (uuid) => inside('build', uuid),
      image: (id) => inside('images', id),
      imageName: (name) => inside('names', 'images', fileNameFor(name)),
      pod: (uuid) => inside('pods', uuid),
      podName: (name) => inside('names', 'pods', fileNameFor(name)),
      rootfs: (uuid) => inside('rootfs', uuid),
      lease: (uuid) => inside('leases', uuid),
    },
  };
}
