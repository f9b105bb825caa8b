/**
 * zfs-fuse mixes up programs that come at the same moment: its daemon hands a new mount from one thread to another in two
 * writes, and when two mounts cross there, none of its file systems answers any more (docs/tools.md). So they come one after
 * the other, by a lock of the host that the kernel takes back when the program ends, however it ends.
 */
import type { Argv } from '../exec/exec.ts';

export const LOCK_FILE = '/run/jetpack-zfs.lock';

/** `flock`: flock(1) of util-linux, which becomes the program (`--no-fork`) and leaves it the lock. */
export function oneAtATime(program: string, flock: string): Argv {
  return [flock, '--no-fork', LOCK_FILE, program];
}
