/**
 * What a reference was when it was fetched last: one small file for each reference and platform. Says whether a pull is needed, and
 * lets the commands find an image by the words it was fetched with. Never more than a memory: the image may be gone.
 */
import { readFileSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';

import { errnoOf } from '../errors.ts';
import { type Digest, parseDigest, type Platform } from '../formats/oci/model.ts';
import { fileNameFor, type Layout } from '../host/layout.ts';
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

function fileOf(layout: Layout, ref: string, platform: Platform): string {
  const { os, architecture, variant } = platform;
  const words = [os, architecture, ...(variant === undefined ? [] : [variant])].join('/');
  return path.join(layout.dir.fetched, fileNameFor(`${ref} ${words}`));
}

/** Undefined when it was not fetched, and when what is written there makes no sense. */
export function findFetched(layout: Layout, ref: string, platform: Platform): Fetched | undefined {
  const fetched = readFetched(fileOf(layout, ref, platform));
  return fetched?.ref === ref ? fetched : undefined;
}

/** Replaces what was known. `uuid`: of the lease under which this happens; gc takes the file of a killed one by it. */
export function putFetched(layout: Layout, fetched: Fetched, uuid: string): void {
  const aside = path.join(layout.dir.fetched, `.${uuid}`);
  writeDurably(aside, `${JSON.stringify(fetched)}\n`, 0o444);
  renameSync(aside, fileOf(layout, fetched.ref, fetched.platform));
}

export interface FetchedFile {
  readonly file: string;
  /** Undefined when it is none of ours, or damaged. */
  readonly fetched: Fetched | undefined;
}

/** For gc: all there are. Those that begin with a dot belong to a lease. */
export function readFetchedFiles(layout: Layout): readonly FetchedFile[] {
  return readFolder(layout.dir.fetched).map((name) => {
    const file = path.join(layout.dir.fetched, name);
    return { file, fetched: name.startsWith('.') ? undefined : readFetched(file) };
  });
}

/** Idempotent. */
export function removeFetchedFile(file: string): void {
  rmSync(file, { force: true });
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
