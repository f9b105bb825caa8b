/** The index: for every name a folder, in it an empty file per image of that name. It can be made anew from the images. */
import { closeSync, mkdirSync, openSync, rmdirSync, rmSync } from 'node:fs';
import path from 'node:path';

import { errnoOf } from '../errors.ts';
import type { Layout } from '../host/layout.ts';
import type { ImageId } from '../schema/appc.ts';
import { readFolder, syncFolder } from './store.ts';

interface Named {
  readonly id: ImageId;
  readonly name: string;
}

/** Idempotent. */
export function addToIndex(layout: Layout, { id, name }: Named): void {
  const dir = layout.dir.imageName(name);
  mkdirSync(dir, { recursive: true, mode: 0o755 });
  closeSync(openSync(path.join(dir, id), 'w', 0o444));
  syncFolder(dir);
}

/** Idempotent. */
export function removeFromIndex(layout: Layout, { id, name }: Named): void {
  removeIndexFile(layout, path.basename(layout.dir.imageName(name)), id);
}

/** By the folder's own name, which need not tell the name of the image. */
export function removeIndexFile(layout: Layout, folder: string, id: string): void {
  const dir = path.join(layout.dir.imageNames, folder);
  rmSync(path.join(dir, id), { force: true });
  try {
    rmdirSync(dir);
  } catch (error) {
    // Other images of that name, or gone already. FreeBSD says EEXIST for "not empty".
    if (!['ENOTEMPTY', 'EEXIST', 'ENOENT'].includes(errnoOf(error) ?? '')) throw error;
  }
}

/** Every entry there is: the folder's name and the image's id. */
export function readWholeIndex(
  layout: Layout,
): readonly { readonly folder: string; readonly id: string }[] {
  return readFolder(layout.dir.imageNames).flatMap((folder) =>
    readFolder(path.join(layout.dir.imageNames, folder)).map((id) => ({ folder, id })),
  );
}
