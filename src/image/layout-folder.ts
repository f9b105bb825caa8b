/** Puts an image into an image layout in a folder, a new one or one with other images. */
import { mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';

import { errnoOf, UsageError } from '../errors.ts';
import {
  blobFiles,
  indexEntry,
  LAYOUT_INDEX_FILE,
  LAYOUT_VERSION_FILE,
  type LayoutNames,
  renderLayoutIndex,
  renderLayoutVersion,
  type WritableImage,
} from '../formats/oci/layout-writer.ts';
import { parseIndex, parseLayout } from '../schema/oci.ts';
import { asOurs, writeAside } from './write-aside.ts';

/**
 * An image that was there under the same name keeps its blobs but not its name. When it throws, what was made is gone again
 * and the layout names what it named before. Throws UsageError for a folder with something else in it.
 */
export async function writeLayoutFolder(
  dir: string,
  image: WritableImage,
  names: LayoutNames,
  onBytes: (bytes: number) => void,
): Promise<number> {
  const made: string[] = [];
  let writtenBytes = 0;
  try {
    const before = prepareFolder(dir, made);
    for (const { name, sizeBytes, open } of blobFiles(image)) {
      const file = path.join(dir, name);
      makeFolders(path.dirname(file), made);
      if (statSync(file, { throwIfNoEntry: false })?.size === sizeBytes) continue;
      made.push(file);
      await writeAside(file, counted(open(), onBytes));
      writtenBytes += sizeBytes;
    }
    const entries = [...before.filter((entry) => !isNamed(entry, names)), indexEntry(image, names)];
    const index = path.join(dir, LAYOUT_INDEX_FILE);
    const version = path.join(dir, LAYOUT_VERSION_FILE);
    if (before.length === 0) made.push(version, index);
    await writeAside(version, bytesOf(renderLayoutVersion()));
    await writeAside(index, bytesOf(renderLayoutIndex(entries)));
    return writtenBytes;
  } catch (error) {
    for (const each of made.reverse()) removeMade(each);
    throw error;
  }
}

/** Returns the entries that are there. */
function prepareFolder(dir: string, made: string[]): readonly object[] {
  makeFolders(dir, made);
  const files = readdirSync(dir);
  if (files.length === 0) return [];
  if (!files.includes(LAYOUT_VERSION_FILE) || !files.includes(LAYOUT_INDEX_FILE)) {
    throw new UsageError(`${dir} is neither empty nor an image layout`, {
      remedies: ['name a new folder, or a file for an archive'],
    });
  }
  parseLayout(readFileSync(path.join(dir, LAYOUT_VERSION_FILE)));
  return parseIndex(readFileSync(path.join(dir, LAYOUT_INDEX_FILE))).manifests;
}

function isNamed(entry: object, { refName }: LayoutNames): boolean {
  const { annotations } = entry as { readonly annotations?: Readonly<Record<string, string>> };
  return annotations?.['org.opencontainers.image.ref.name'] === refName;
}

/** Notes the ones that were not there, outermost first. */
function makeFolders(dir: string, made: string[]): void {
  if (statSync(dir, { throwIfNoEntry: false })?.isDirectory() === true) return;
  const parent = path.dirname(dir);
  if (parent !== dir) makeFolders(parent, made);
  try {
    mkdirSync(dir);
  } catch (error) {
    throw asOurs(error, dir);
  }
  made.push(dir);
}

/** A folder that somebody else uses by now stays. */
function removeMade(place: string): void {
  try {
    if (statSync(place, { throwIfNoEntry: false })?.isDirectory() === true) rmdirSync(place);
    else rmSync(place, { force: true });
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
  }
}

async function* counted(
  chunks: AsyncIterable<Uint8Array>,
  onBytes: (bytes: number) => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of chunks) {
    onBytes(chunk.length);
    yield chunk;
  }
}

async function* bytesOf(bytes: Buffer): AsyncGenerator<Buffer, void, undefined> {
  yield await Promise.resolve(bytes);
}
