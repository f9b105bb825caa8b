/**
 * What a reference was when it was fetched last: a folder for each reference, in it a small file for each platform. Says whether a pull is needed, and
 * lets the commands find an image by the words it was fetched with. Never more than a memory: the image may be gone.
 */
import { mkdirSync, readFileSync, renameSync, rmdirSync, rmSync } from 'node:fs';
import path from 'node:path';

import { errnoOf } from '../errors.ts';
import { type Digest, parseDigest, type Platform } from '../formats/oci/model.ts';
import { renderPlatform } from '../formats/oci/platform.ts';
import { fileNameFor, type Layout } from '../host/layout.ts';
import { withLock } from '../host/lock.ts';
import type { ImageId } from '../schema/appc.ts';
import { parseImageId, readFolder, writeDurably } from './store.ts';

export interface Fetched {
  readonly version: 1;
  /** Whole: with registry, and tag or digest. */
  readonly ref: string;
  readonly platform: Platform;
  /** What the tag pointed to: an index or a manifest. Absent where the source has none (docker save). */
  readonly digest?: Digest | undefined;
  readonly etag?: string | undefined;
  readonly id: ImageId;
  /** RFC 3339, UTC. */
  readonly fetchedAt: string;
}

function dirOf(layout: Layout, ref: string): string {
  return path.join(layout.dir.fetched, fileNameFor(ref));
}

function fileOf(layout: Layout, ref: string, platform: Platform): string {
  return path.join(dirOf(layout, ref), fileNameFor(renderPlatform(platform)));
}

/** Undefined when it was not fetched, and when what is written there makes no sense. */
export function findFetched(layout: Layout, ref: string, platform: Platform): Fetched | undefined {
  const fetched = readFetched(fileOf(layout, ref, platform));
  return fetched?.ref === ref ? fetched : undefined;
}

/** What it was for every platform that it was fetched for, the latest first. */
export function findFetchedForAll(layout: Layout, ref: string): readonly Fetched[] {
  const dir = dirOf(layout, ref);
  return readFolder(dir)
    .flatMap((name) => (isAside(name) ? [] : (readFetched(path.join(dir, name)) ?? [])))
    .filter((fetched) => fetched.ref === ref)
    .sort((a, b) => (a.fetchedAt < b.fetchedAt ? 1 : -1));
}

/** Replaces what was known. Under the lock that gc takes too. */
export function putFetched(layout: Layout, fetched: Fetched): Promise<void> {
  return withLock(layout.dir.locks, 'images', () => {
    const file = fileOf(layout, fetched.ref, fetched.platform);
    const dir = path.dirname(file);
    mkdirSync(dir, { recursive: true, mode: 0o755 });
    const aside = path.join(dir, ASIDE);
    rmSync(aside, { force: true });
    writeDurably(aside, `${JSON.stringify(fetched)}\n`, 0o444);
    renameSync(aside, file);
    return Promise.resolve();
  });
}

export interface FetchedFile {
  readonly file: string;
  /** Undefined when it is none of ours, damaged, or left by who was killed while writing it. */
  readonly fetched: Fetched | undefined;
}

/** For gc: all there are. */
export function readFetchedFiles(layout: Layout): readonly FetchedFile[] {
  return readFolder(layout.dir.fetched).flatMap((folder) => {
    const dir = path.join(layout.dir.fetched, folder);
    return readFolder(dir).map((name) => {
      const file = path.join(dir, name);
      return { file, fetched: isAside(name) ? undefined : readFetched(file) };
    });
  });
}

/** Idempotent; takes the folder along when nothing else is in it. Under the lock that `putFetched` takes too. */
export function removeFetchedFile(file: string): void {
  rmSync(file, { force: true });
  try {
    rmdirSync(path.dirname(file));
  } catch (error) {
    // FreeBSD says EEXIST for "not empty".
    if (!['ENOTEMPTY', 'EEXIST', 'ENOENT'].includes(errnoOf(error) ?? '')) throw error;
  }
}

/** No platform has such a name: fileNameFor escapes a leading dot. */
const ASIDE = '.new';

function isAside(name: string): boolean {
  return name === ASIDE;
}

function readFetched(file: string): Fetched | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  return isFetched(value) ? value : undefined;
}

function isFetched(value: unknown): value is Fetched {
  if (typeof value !== 'object' || value === null) return false;
  const { version, ref, id, digest, platform } = value as Readonly<Record<string, unknown>>;
  return (
    version === 1 &&
    typeof ref === 'string' &&
    typeof platform === 'object' &&
    typeof id === 'string' &&
    parseImageId(id) !== undefined &&
    (digest === undefined || (typeof digest === 'string' && parseDigest(digest) !== undefined))
  );
}
