/** From the words and the exit status of zfs(8) and zpool(8), both implementations, to a ZfsError. Pure. */
import { ZfsError, type ZfsErrorCode } from '../errors.ts';
import type { RunResult } from '../exec/exec.ts';

/** First match wins: the more telling lines stand above those that go with several causes. */
const RULES: readonly (readonly [ZfsErrorCode, RegExp])[] = [
  [
    'ZFS_PERMISSION',
    /permission denied|insufficient privileges|operation not permitted|must be (?:super-?user|root)/i,
  ],
  [
    'ZFS_UNAVAILABLE',
    /failed to initialize (?:the )?(?:ZFS|libzfs) library|zfs-fuse daemon|modules? (?:are not loaded|cannot be auto-loaded)|\/dev\/zfs (?:and|is)|unable to open \/dev\/zfs/i,
  ],
  ['ZFS_HAS_CLONES', /has dependent clones|clones of previous snapshots exist/],
  ['ZFS_HAS_CHILDREN', /has children/],
  ['ZFS_NO_SPACE', /out of space|no space left|quota exceeded|exceeds? (?:its |the )?quota/i],
  ['ZFS_BUSY', /is busy|being held/],
  [
    'ZFS_READ_ONLY',
    /read-only file system|dataset is read-?only|pool is read-?only|readonly pool/i,
  ],
  ['ZFS_EXISTS', /already exists|already created\/imported|is part of active pool/],
  [
    'ZFS_MISSING',
    /does not exist|no such pool|could not find any snapshots|no such tag|not found: /i,
  ],
  [
    'ZFS_UNSUPPORTED',
    /invalid option|unrecognized command|invalid property|must be one of|must be upgraded|not supported|is readonly|pyzfs/,
  ],
];

const REMEDIES: Readonly<Partial<Record<ZfsErrorCode, readonly string[]>>> = {
  ZFS_PERMISSION: ['run it as root'],
  ZFS_UNAVAILABLE: ['load the zfs module or start the zfs-fuse daemon', 'see: jetpack info'],
  ZFS_NO_SPACE: ['free some with: jetpack gc', 'or give the pool more space'],
  ZFS_BUSY: ['find the processes that use it with: fuser -vm MOUNTPOINT', 'then try again'],
};

export interface Attempt {
  /** What was tried, in the words after "cannot": `destroy tank/a`. */
  readonly what: string;
  readonly dataset: string;
}

/** The code for the words that a failed command left; ZFS_FAILED for those never seen. */
export function codeOf(words: string): ZfsErrorCode {
  return RULES.find(([, pattern]) => pattern.test(words))?.[0] ?? 'ZFS_FAILED';
}

/** The dataset that the tool's own words name first, e.g. the child that keeps a recursive destroy from going on. */
export function culpritOf(words: string): string | undefined {
  return /'([^']+)'/.exec(words)?.[1];
}

/** The names below "use '-R' to destroy the following datasets:". */
export function dependentsOf(words: string): readonly string[] {
  const lines = words.split('\n');
  const start = lines.findIndex((line) => /^use '-[rR]' to destroy the following/.test(line));
  return start < 0 ? [] : lines.slice(start + 1).filter((line) => line !== '');
}

/** The first line that says why, without "cannot do 'it': " where it repeats what we say ourselves. */
function reasonOf(words: string, attempt: Attempt): string {
  const lines = words.split('\n').map((line) => line.trim());
  const line =
    lines.find((text) => RULES.some(([, pattern]) => pattern.test(text))) ??
    lines.find((text) => text !== '');
  if (line === undefined) return 'it gave no reason';
  const [, name, rest] = /^cannot [a-z ]+'([^']+)': (.*)$/.exec(line) ?? [];
  if (name === undefined || rest === undefined) return line;
  return name === attempt.dataset ? rest : `${name}: ${rest}`;
}

/** What the tool said, without the usage text that follows some complaints. */
export function wordsOf(result: RunResult): string {
  // zfs-fuse prints some internal errors to stdout.
  const words = result.stderr.trim() === '' ? result.stdout : result.stderr;
  return words.split(/^usage:/m)[0] ?? '';
}

export function zfsFailure(result: RunResult, attempt: Attempt): ZfsError {
  const words = wordsOf(result);
  const code = codeOf(words);
  const dependents = dependentsOf(words);
  const ended =
    result.signal === undefined
      ? `exit status ${String(result.status)}`
      : `killed by ${result.signal}`;
  const reason =
    code === 'ZFS_FAILED' ? `${reasonOf(words, attempt)} (${ended})` : reasonOf(words, attempt);
  const names =
    dependents.length === 0
      ? ''
      : ` (${dependents.slice(0, 5).join(', ')}${dependents.length > 5 ? ', …' : ''})`;
  return new ZfsError(code, attempt.dataset, `cannot ${attempt.what}: ${reason}${names}`, {
    dependents,
    remedies: REMEDIES[code] ?? [],
  });
}
