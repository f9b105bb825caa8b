/** New files and folders with the very mode that is asked for: another account reads them, whatever the umask of the caller is. */
import {
  chmodSync,
  chownSync,
  closeSync,
  fchmodSync,
  fchownSync,
  mkdirSync,
  openSync,
  writeFileSync,
} from 'node:fs';

/** `groupId`: of the group that they belong to, root's without it. Throws when it is there already. */
export function makeFolder(folder: string, mode: number, groupId?: number): void {
  mkdirSync(folder, { mode });
  if (groupId !== undefined) chownSync(folder, 0, groupId);
  chmodSync(folder, mode);
}

/** As `makeFolder`. */
export function writeNewFile(
  file: string,
  content: string | Uint8Array,
  mode: number,
  groupId?: number,
): void {
  const fd = openSync(file, 'wx', mode);
  try {
    writeFileSync(fd, content);
    if (groupId !== undefined) fchownSync(fd, 0, groupId);
    fchmodSync(fd, mode);
  } finally {
    closeSync(fd);
  }
}
