/**
 * The error family. Every failure that a user can meet is one of these: a code that never changes for the same fault,
 * a message (what, on which thing) and remedies (what to do next). Anything else that is thrown is a defect of ours.
 */

/** Exit statuses, as the man page has them; 126 and 127 come from the shim. */
export const EXIT = { failed: 1, usage: 2, beforeApp: 125 } as const;

export interface ErrorFields {
  readonly code: string;
  readonly message: string;
  readonly remedies: readonly string[];
}

interface Options {
  readonly remedies?: readonly string[];
  readonly cause?: unknown;
}

export abstract class JetpackError extends Error {
  abstract readonly code: string;
  readonly remedies: readonly string[];
  readonly exitCode: number = EXIT.failed;

  constructor(message: string, options: Options = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.remedies = options.remedies ?? [];
  }

  fields(): ErrorFields {
    return { code: this.code, message: this.message, remedies: this.remedies };
  }
}

/** The command line is wrong. */
export class UsageError extends JetpackError {
  readonly code = 'USAGE';
  override readonly exitCode = EXIT.usage;
}

export type ZfsErrorCode =
  | 'ZFS_BUSY'
  | 'ZFS_EXISTS'
  | 'ZFS_MISSING'
  | 'ZFS_HAS_CLONES'
  | 'ZFS_HAS_CHILDREN'
  | 'ZFS_NO_SPACE'
  | 'ZFS_READ_ONLY'
  | 'ZFS_UNSUPPORTED'
  | 'ZFS_PERMISSION'
  | 'ZFS_UNAVAILABLE'
  | 'ZFS_FAILED';

/** A zfs or zpool command failed. `dependents` names what stands in the way of a destroy, where the tool tells it. */
export class ZfsError extends JetpackError {
  readonly code: ZfsErrorCode;
  readonly dataset: string;
  readonly dependents: readonly string[];

  constructor(
    code: ZfsErrorCode,
    dataset: string,
    message: string,
    options: Options & { readonly dependents?: readonly string[] } = {},
  ) {
    super(message, options);
    this.code = code;
    this.dataset = dataset;
    this.dependents = options.dependents ?? [];
  }
}

export type HostErrorCode =
  | 'NOT_ROOT'
  | 'NOT_INITIALISED'
  | 'TOOL_MISSING'
  | 'TOOL_FAILED'
  | 'CONFIG_INVALID'
  | 'HOST_UNSUPPORTED'
  | 'IO_FAILED';

/** The host lacks something that jetpack needs. */
export class HostError extends JetpackError {
  readonly code: HostErrorCode;
  constructor(code: HostErrorCode, message: string, options: Options = {}) {
    super(message, options);
    this.code = code;
  }
}

export type ArchiveErrorCode =
  | 'ARCHIVE_UNKNOWN_FORMAT'
  | 'ARCHIVE_TRUNCATED'
  | 'ARCHIVE_CORRUPT'
  | 'ARCHIVE_TRAILING_DATA'
  | 'ARCHIVE_ENTRY_NAME'
  | 'ARCHIVE_NAME_TOO_LONG'
  | 'ARCHIVE_ESCAPE'
  | 'ARCHIVE_SYMLINK_PARENT'
  | 'ARCHIVE_HARD_LINK'
  | 'ARCHIVE_DUPLICATE'
  | 'ARCHIVE_ENTRY_TYPE'
  | 'ARCHIVE_LAYOUT'
  | 'ARCHIVE_WHITEOUT'
  | 'ARCHIVE_DIGEST'
  | 'ARCHIVE_TOO_LARGE'
  | 'ARCHIVE_TOO_MANY_ENTRIES'
  | 'ARCHIVE_RATIO'
  | 'ARCHIVE_HEADER_TOO_LARGE'
  | 'ARCHIVE_MANIFEST_TOO_LARGE';

/** The bytes of an archive are not acceptable. `entry` is the offending member, when there is one. */
export class ArchiveError extends JetpackError {
  readonly code: ArchiveErrorCode;
  readonly entry: string | undefined;
  constructor(
    code: ArchiveErrorCode,
    message: string,
    options: Options & { readonly entry?: string } = {},
  ) {
    super(message, options);
    this.code = code;
    this.entry = options.entry;
  }
}

export type ImageErrorCode =
  | 'IMAGE_NOT_FOUND'
  | 'IMAGE_AMBIGUOUS'
  | 'IMAGE_IN_USE'
  | 'IMAGE_UNSIGNED'
  | 'IMAGE_DAMAGED'
  | 'IMAGE_DEPENDENCY'
  | 'IMAGE_PLATFORM'
  | 'IMAGE_NOT_RUNNABLE'
  | 'IMAGE_UNSUPPORTED_REF';

export type FetchErrorCode =
  | 'FETCH_NOT_FOUND'
  | 'FETCH_NO_PLATFORM'
  | 'FETCH_UNAUTHORIZED'
  | 'FETCH_DENIED'
  | 'FETCH_RATE_LIMITED'
  | 'FETCH_UNREACHABLE'
  | 'FETCH_TIMEOUT'
  | 'FETCH_TLS'
  | 'FETCH_PROTOCOL'
  | 'FETCH_DIGEST'
  | 'FETCH_SIZE'
  | 'FETCH_UNSUPPORTED'
  | 'FETCH_CREDENTIALS';

/** An image could not be brought here, or brought there, as it should be. The message names the registry or file. */
export class FetchError extends JetpackError {
  readonly code: FetchErrorCode;
  /** Where the same request may well succeed later: how long the other side wants us to wait, if it told. */
  readonly passing: { readonly retryAfterMs: number | undefined } | undefined;
  constructor(
    code: FetchErrorCode,
    message: string,
    options: Options & { readonly passing?: FetchError['passing'] } = {},
  ) {
    super(message, options);
    this.code = code;
    this.passing = options.passing;
  }
}

/** Something is wrong with, or missing from, the image store. */
export class ImageError extends JetpackError {
  readonly code: ImageErrorCode;
  constructor(code: ImageErrorCode, message: string, options: Options = {}) {
    super(message, options);
    this.code = code;
  }
}

export interface ManifestProblem {
  /** Where in the document, e.g. `apps[1].mounts[0].volume`; empty for the whole. */
  readonly path: string;
  readonly message: string;
}

/** A manifest is not valid; `problems` has every fault found, the message the first. */
export class ManifestError extends JetpackError {
  readonly code = 'MANIFEST_INVALID';
  readonly problems: readonly ManifestProblem[];
  constructor(what: string, problems: readonly ManifestProblem[], options: Options = {}) {
    const first = problems[0];
    const where = first === undefined || first.path === '' ? '' : ` at ${first.path}`;
    const more = problems.length > 1 ? ` (and ${String(problems.length - 1)} more)` : '';
    super(`${what} is not valid${where}: ${first?.message ?? 'unknown fault'}${more}`, options);
    this.problems = problems;
  }
}

export type PodErrorCode =
  | 'POD_NOT_FOUND'
  | 'POD_AMBIGUOUS'
  | 'POD_NAME_TAKEN'
  | 'POD_WRONG_STATE'
  | 'POD_APP_NOT_FOUND'
  | 'POD_VOLUME'
  | 'POD_NET_UNSUPPORTED'
  | 'POD_LIMIT_UNSUPPORTED'
  | 'POD_RACE'
  | 'POD_INVALID'
  | 'POD_CONTROL_FAILED'
  | 'POD_TIMEOUT'
  | 'POD_NOT_READY'
  | 'POD_SOCKETS'
  | 'POD_CLEANUP_INCOMPLETE';

/** A pod cannot do what was asked of it. */
export class PodError extends JetpackError {
  readonly code: PodErrorCode;
  constructor(code: PodErrorCode, message: string, options: Options = {}) {
    super(message, options);
    this.code = code;
  }
}

/** The errno of a Node system error, e.g. `ENOENT`; undefined for anything else. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}
