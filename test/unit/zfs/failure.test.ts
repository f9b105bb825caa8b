import { describe, expect, it } from 'vitest';

import type { ZfsErrorCode } from '../../../src/errors.ts';
import { codeOf, dependentsOf, wordsOf, zfsFailure } from '../../../src/zfs/failure.ts';

/** The words of both implementations, as docs/tools.md has them. */
const WORDS: readonly (readonly [ZfsErrorCode, string])[] = [
  ['ZFS_EXISTS', "cannot create 'p/a': dataset already exists"],
  ['ZFS_EXISTS', "cannot hold 'p/a@h': tag already exists on this dataset"],
  [
    'ZFS_EXISTS',
    "cannot import 'q': a pool with that name is already created/imported,\nand no additional pools with that name were found",
  ],
  [
    'ZFS_EXISTS',
    "invalid vdev specification\nuse '-f' to override the following errors:\n/img is part of active pool 'q'",
  ],
  ['ZFS_MISSING', "cannot create 'p/no/such': parent does not exist"],
  ['ZFS_MISSING', "cannot create 'q/a': no such pool 'q'"],
  ['ZFS_MISSING', 'could not find any snapshots to destroy; check snapshot names.'],
  ['ZFS_MISSING', "cannot import 'q': no such pool available"],
  ['ZFS_BUSY', "cannot destroy 'p/a': dataset is busy"],
  ['ZFS_BUSY', "cannot unmount '/m/a': pool or dataset is busy"],
  [
    'ZFS_BUSY',
    "umount: /m/a: target is busy.\ncannot unmount '/m/a': umount failed: umount child process failed",
  ],
  [
    'ZFS_BUSY',
    "cannot destroy snapshot p/a@h: it's being held. Run 'zfs holds -r p/a@h' to see holders.",
  ],
  [
    'ZFS_HAS_CLONES',
    "cannot destroy 'p/a@s': snapshot has dependent clones\nuse '-R' to destroy the following datasets:\np/c",
  ],
  [
    'ZFS_HAS_CHILDREN',
    "cannot destroy 'p/t': filesystem has children\nuse '-r' to destroy the following datasets:\np/t/u",
  ],
  ['ZFS_NO_SPACE', "cannot create 'p/g': out of space"],
  ['ZFS_NO_SPACE', 'cannot create snapshots : out of space'],
  [
    'ZFS_NO_SPACE',
    "cannot mount '/m/x': failed to create mountpoint: Disk quota exceeded\nfilesystem successfully created, but not mounted",
  ],
  [
    'ZFS_READ_ONLY',
    "cannot mount '/m/ro/c': failed to create mountpoint: Read-only file system\nfilesystem successfully created, but not mounted",
  ],
  ['ZFS_PERMISSION', "cannot create 'p/x': permission denied"],
  [
    'ZFS_PERMISSION',
    'connect: Permission denied\ninternal error: failed to initialize ZFS library',
  ],
  [
    'ZFS_UNAVAILABLE',
    'connect: Connection refused\nPlease make sure that the zfs-fuse daemon is running.\ninternal error: failed to initialize ZFS library',
  ],
  [
    'ZFS_UNAVAILABLE',
    "The ZFS modules are not loaded.\nTry running 'modprobe zfs' as root to load them.",
  ],
  ['ZFS_UNSUPPORTED', "cannot create 'p/b': invalid property 'nosuch'"],
  [
    'ZFS_UNSUPPORTED',
    "cannot create 'p/b': 'compression' must be one of 'on | off | lzjb | gzip | gzip-[1-9] | zle'",
  ],
  ['ZFS_UNSUPPORTED', "invalid option 'u'"],
  ['ZFS_UNSUPPORTED', "unrecognized command 'diff'"],
  ['ZFS_UNSUPPORTED', 'internal error: /usr/lib/zfs/pyzfs.py not found'],
  ['ZFS_FAILED', "cannot create 'p/b c%': invalid character % in name"],
  ['ZFS_FAILED', ''],
];

describe('a failure of zfs', () => {
  it.each(WORDS)('is %s for: %s', (code, words) => {
    expect(codeOf(words)).toBe(code);
  });

  const result = (stderr: string, stdout = '') => ({
    status: 1,
    signal: undefined,
    stdout,
    stderr,
  });

  it('says what was tried, on which dataset, and why', () => {
    expect(
      zfsFailure(result("cannot create 'p/a': dataset already exists\n"), {
        what: 'create p/a',
        dataset: 'p/a',
      }),
    ).toMatchObject({
      code: 'ZFS_EXISTS',
      dataset: 'p/a',
      message: 'cannot create p/a: dataset already exists',
    });
    expect(
      zfsFailure(result("cannot open 'p/i@s': dataset does not exist\n"), {
        what: 'clone p/i@s as p/c',
        dataset: 'p/c',
      }).message,
    ).toBe('cannot clone p/i@s as p/c: p/i@s: dataset does not exist');
  });

  it('names the datasets that stand in the way', () => {
    const words =
      "cannot destroy 'p/a': filesystem has dependent clones\nuse '-R' to destroy the following datasets:\np/c1\np/c2\n";
    expect(dependentsOf(words)).toEqual(['p/c1', 'p/c2']);
    expect(zfsFailure(result(words), { what: 'destroy p/a', dataset: 'p/a' }).message).toBe(
      'cannot destroy p/a: filesystem has dependent clones (p/c1, p/c2)',
    );
  });

  it('tells an unknown fault with the exit status', () => {
    expect(
      zfsFailure(
        { ...result('something new\n'), status: 134 },
        { what: 'create p/a', dataset: 'p/a' },
      ),
    ).toMatchObject({
      code: 'ZFS_FAILED',
      message: 'cannot create p/a: something new (exit status 134)',
    });
  });

  it('is not judged by the usage text that follows a complaint, but by stdout when there is nothing else', () => {
    expect(wordsOf(result('invalid option\nusage:\n\tis busy'))).toBe('invalid option\n');
    expect(wordsOf(result('', 'internal error: x'))).toBe('internal error: x');
  });
});
