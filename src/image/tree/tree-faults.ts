/** What is wrong with an archive whose entries do not make a tree. */
import { ArchiveError, errnoOf } from '../../errors.ts';
import { displayName } from '../../formats/tar/names.ts';

export function duplicate(path: string): ArchiveError {
  return new ArchiveError('ARCHIVE_DUPLICATE', `the archive has ${displayName(path)} twice`, {
    entry: displayName(path),
  });
}

export function notAFolder(path: string): ArchiveError {
  return new ArchiveError(
    'ARCHIVE_DUPLICATE',
    `the archive has ${displayName(path)} as a folder and as something else`,
    { entry: displayName(path) },
  );
}

export function symlinkParent(path: string, parent: string): ArchiveError {
  return new ArchiveError(
    'ARCHIVE_SYMLINK_PARENT',
    `the archive would write through a symlink: ${displayName(path)}, where ${displayName(parent)} is one`,
    { entry: displayName(path) },
  );
}

export function badLink(path: string, target: string, why: string): ArchiveError {
  return new ArchiveError(
    'ARCHIVE_HARD_LINK',
    `the archive has a hard link ${displayName(path)} to ${displayName(target)}, which ${why}`,
    { entry: displayName(path) },
  );
}

export function badWhiteout(path: string, why: string): ArchiveError {
  return new ArchiveError(
    'ARCHIVE_WHITEOUT',
    `the layer has a whiteout that ${why}: ${displayName(path)}`,
    { entry: displayName(path) },
  );
}

/** The error itself, unless the name is to blame. */
export function nameFault(error: unknown, path: string): unknown {
  if (errnoOf(error) !== 'ENAMETOOLONG') return error;
  return new ArchiveError(
    'ARCHIVE_NAME_TOO_LONG',
    `the archive has a name that is too long for the file system: ${displayName(path)}`,
    { entry: displayName(path), cause: error },
  );
}
