/**
 * Pods as the metadata service sees them: files that it reads, and nothing else. What was read is kept until the manifest's file
 * is another, or gone, which is seen within a second; a pod that keeps asking is looked at beside its answers. The first look blocks,
 * since the files are small and local.
 */
import { readdirSync, readFileSync, stat, statSync, type Stats } from 'node:fs';
import path from 'node:path';

import { errnoOf } from '../errors.ts';
import { METADATA_FILE } from '../pod/metadata.ts';
import { createByteCache, type ByteCache } from './byte-cache.ts';
import { isSameToken, uuidOfToken } from './token.ts';

export interface Annotation {
  readonly name: string;
  readonly value: string;
}

export interface AppView {
  readonly imageId: string;
  readonly annotations: readonly Annotation[];
}

export interface PodView {
  readonly uuid: string;
  /** The bytes of the reified manifest. */
  readonly manifest: Buffer;
  /** These throw DamagedError when the manifest is too large to be looked into. */
  readonly annotations: readonly Annotation[];
  readonly apps: ReadonlyMap<string, AppView>;
}

export interface ImageView {
  /** The bytes that were in the archive. */
  readonly manifest: Buffer;
  /** Throws DamagedError as those of a pod. */
  readonly annotations: readonly Annotation[];
}

/** A file that is there cannot be used; the message names it, for the log and not for a pod. */
export class DamagedError extends Error {
  override readonly name = 'DamagedError';
}

export interface PodSource {
  /** Undefined unless the token is the right one of a pod that exists. Throws DamagedError. */
  find(token: string): PodView | undefined;
  /** Undefined when the store has no such image. Throws DamagedError. */
  findImage(id: string): ImageView | undefined;
  /** How many pods there are; for people. */
  count(): number;
}

const MAX_FILE_BYTES = 4 * 1024 * 1024;
/** What is larger is given as it is, and not looked into: its parts could fill the heap, and images say what they are. */
const MAX_PARSED_BYTES = 256 * 1024;
/** How long an answer is given without a look, and when to look beside it. */
const TRUST_MS = 1000;
const LOOK_AGAIN_MS = 300;
const MAX_CACHE_BYTES = 1024 * 1024;

type Fields = Readonly<Record<string, unknown>>;

function damaged(file: string, why: string): DamagedError {
  return new DamagedError(`${file}: ${why}`);
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function parseObject(file: string, bytes: Buffer): Fields {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch {
    throw damaged(file, 'it is not JSON');
  }
  if (!isObject(value)) throw damaged(file, 'it is not an object');
  return value;
}

/** Parsed at once, or, when it is too large for that, never: then asking for its parts throws DamagedError. */
function lookInto<T>(file: string, bytes: Buffer, parse: (fields: Fields) => T): () => T {
  if (bytes.length > MAX_PARSED_BYTES) {
    const error = damaged(
      file,
      `${String(bytes.length)} bytes are too many to be looked into, at most ${String(MAX_PARSED_BYTES)}`,
    );
    return () => {
      throw error;
    };
  }
  const value = parse(parseObject(file, bytes));
  return () => value;
}

function parseAnnotations(file: string, value: unknown): readonly Annotation[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw damaged(file, 'its annotations are not a list');
  return value.map((item: unknown): Annotation => {
    const { name, value: text } = isObject(item) ? item : {};
    if (typeof name !== 'string' || typeof text !== 'string')
      throw damaged(file, 'an annotation is not a name with a value');
    return { name, value: text };
  });
}

function parseApps(file: string, value: unknown): ReadonlyMap<string, AppView> {
  if (!Array.isArray(value)) throw damaged(file, 'it has no list of apps');
  return new Map(
    value.map((item: unknown): readonly [string, AppView] => {
      const { name, image, annotations } = isObject(item) ? item : {};
      const id = isObject(image) ? image['id'] : undefined;
      // The id becomes a part of a path.
      if (typeof name !== 'string' || typeof id !== 'string' || !/^sha512-[0-9a-f]{128}$/.test(id))
        throw damaged(file, 'an app has no name or no image');
      return [name, { imageId: id, annotations: parseAnnotations(file, annotations) }];
    }),
  );
}

function isMissing(error: unknown): boolean {
  const errno = errnoOf(error);
  return errno === 'ENOENT' || errno === 'ENOTDIR' || errno === 'ESTALE';
}

/** Undefined when it is not there. */
function look<T>(file: string, read: (file: string) => T | undefined): T | undefined {
  try {
    return read(file);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw damaged(file, errnoOf(error) ?? String(error));
  }
}

const statOf = (file: string) =>
  look(file, (name): Stats | undefined => statSync(name, { throwIfNoEntry: false }));

function readSmall(file: string): Buffer | undefined {
  const stat = statOf(file);
  if (stat === undefined) return undefined;
  if (!stat.isFile() || stat.size > MAX_FILE_BYTES) throw damaged(file, 'it is too large');
  return look(file, (name) => readFileSync(name));
}

interface CachedPod {
  readonly view: PodView;
  readonly token: string;
  readonly identity: string;
  /** When the file was last seen to be the same. */
  seenAt: number;
  isLookedAt: boolean;
}

/** Another file of that name, or other content: manifests are replaced, never written into. */
function identityOf({ ino, size, mtimeMs }: Stats): string {
  return `${String(ino)}:${String(size)}:${String(mtimeMs)}`;
}

function loadPod(
  dir: string,
  uuid: string,
  identity: string,
  seenAt: number,
): CachedPod | undefined {
  const file = path.join(dir, 'manifest');
  const url = readSmall(path.join(dir, METADATA_FILE));
  const manifest = readSmall(file);
  if (url === undefined || manifest === undefined) return undefined;
  const parts = lookInto(file, manifest, (fields) => ({
    annotations: parseAnnotations(file, fields['annotations']),
    apps: parseApps(file, fields['apps']),
  }));
  const view: PodView = {
    uuid,
    manifest,
    get annotations() {
      return parts().annotations;
    },
    get apps() {
      return parts().apps;
    },
  };
  const token = url.toString('latin1').trimEnd().split('/').at(-1) ?? '';
  return { view, token, identity, seenAt, isLookedAt: false };
}

export interface PodFolders {
  readonly pods: string;
  readonly images: string;
}

/** `now` is a clock in milliseconds that only goes forward. */
export function createPodSource(folders: PodFolders, now: () => number): PodSource {
  const pods: ByteCache<CachedPod> = createByteCache(MAX_CACHE_BYTES);
  const images: ByteCache<ImageView> = createByteCache(MAX_CACHE_BYTES);

  /** Forgets it when it has changed: then the next request reads it again, or says what is wrong. */
  function lookAgain(uuid: string, file: string, known: CachedPod): void {
    known.isLookedAt = true;
    stat(file, (error, found) => {
      known.isLookedAt = false;
      if (error === null && identityOf(found) === known.identity) known.seenAt = now();
      else pods.delete(uuid);
    });
  }

  function getPod(uuid: string): CachedPod | undefined {
    const dir = path.join(folders.pods, uuid);
    const file = path.join(dir, 'manifest');
    const known = pods.get(uuid);
    const age = known === undefined ? Infinity : now() - known.seenAt;
    if (known !== undefined && age < TRUST_MS) {
      if (age > LOOK_AGAIN_MS && !known.isLookedAt) lookAgain(uuid, file, known);
      return known;
    }
    const found = statOf(file);
    if (found === undefined) {
      pods.delete(uuid);
      return undefined;
    }
    const identity = identityOf(found);
    if (known?.identity === identity) {
      known.seenAt = now();
      return known;
    }
    const loaded = loadPod(dir, uuid, identity, now());
    if (loaded !== undefined) pods.set(uuid, loaded, loaded.view.manifest.length * 3);
    return loaded;
  }

  return {
    find(token) {
      const uuid = uuidOfToken(token);
      const pod = uuid === undefined ? undefined : getPod(uuid);
      return pod !== undefined && isSameToken(token, pod.token) ? pod.view : undefined;
    },
    findImage(id) {
      const known = images.get(id);
      if (known !== undefined) return known;
      const dir = path.join(folders.images, id);
      const parsed = path.join(dir, 'parsed.json');
      const manifest = readSmall(path.join(dir, 'manifest'));
      const fields = readSmall(parsed);
      if (manifest === undefined || fields === undefined) return undefined;
      const annotations = lookInto(parsed, fields, ({ annotations: list }) =>
        parseAnnotations(parsed, list),
      );
      const view: ImageView = {
        manifest,
        get annotations() {
          return annotations();
        },
      };
      images.set(id, view, manifest.length * 2);
      return view;
    },
    count: () => look(folders.pods, (dir) => readdirSync(dir).length) ?? 0,
  };
}
