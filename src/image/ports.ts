/** What the operations on images need of the world. */
import type { Exec } from '../exec/exec.ts';
import type { Layout } from '../host/layout.ts';
import type { Zfs } from '../zfs/zfs.ts';

export interface ImagePorts {
  readonly zfs: Zfs;
  readonly exec: Exec;
  readonly layout: Layout;
  readonly clock: { now(): Date };
  /** Absolute paths. */
  readonly tools: { readonly xz: string; readonly bzip2: string; readonly shim: string };
}
