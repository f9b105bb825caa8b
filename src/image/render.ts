/** The tree of an ACI that has dependencies or a pathWhitelist, in a dataset of its own, with the listing of all that is in it. */
import { readFileSync, rmSync } from 'node:fs';
import path from 'node:path';

import { ImageError } from '../errors.ts';
import type { ArchiveSource } from '../formats/tar/archive.ts';
import { type Digest, parseDigest } from '../formats/oci/model.ts';
import type { Layout } from '../host/layout.ts';
import type { ImageId } from '../schema/appc.ts';
import { findBlob, openBlobStream } from './blobs.ts';
import { planRendering, type RenderStep } from './dependencies.ts';
import type { ImportLimits } from './limits.ts';
import { listingsOf } from './tree/listings-of.ts';
import type { ImagePorts } from './ports.ts';
import { createTree, type Making } from './publish.ts';
import { dropScratch } from './scratch.ts';
import { FILES, getManifest, type ImageMeta, sealOf, writeDurably } from './store.ts';
import { foldTreeListings, renderTreeListing } from './tree/tree-fold.ts';
import type { TreeListing } from './tree/tree-listing.ts';
import { renderOver } from './tree/unpack-aci.ts';
import { createWhitelist, keepOnly, type Whitelist } from './tree/whitelist.ts';

export interface RenderOptions {
  readonly source: string;
  readonly limits?: Partial<ImportLimits> | undefined;
  readonly allowDevices?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface Rendered {
  readonly entries: number;
  /** All files together, their holes included. */
  readonly treeBytes: number;
  readonly warnings: readonly string[];
}

/** The part of an image's metadata that rendering needs. */
type Rendering = Pick<ImageMeta, 'id' | 'name' | 'labels' | 'dependencies' | 'archive'>;

/** Of an archive that was unpacked whole: takes out of the tree what the list does not have. */
export function applyWhitelist(
  making: Making,
  root: string,
  whitelist: readonly string[],
): Rendered {
  const whole = path.join(making.aside, FILES.tree);
  const removals = path.join(making.aside, 'removals');
  keepOnly(root, createWhitelist(whitelist), removals);
  const files = [whole, removals];
  const listing = fold(readAll(files));
  for (const file of files) rmSync(file);
  return finish(making, listing, []);
}

/**
 * A clone of the first dependency's seal, and over it whatever else is to be rendered, from the stored archives, the image's own last
 * (it is among the blobs of the image in the making). What is there of the dataset is thrown away. Throws IMAGE_DEPENDENCY,
 * IMAGE_DAMAGED, and what `renderOver` throws.
 */
export async function renderOnDependencies(
  ports: ImagePorts,
  making: Making,
  image: Rendering,
  whitelist: readonly string[],
  dependencies: readonly ImageMeta[],
  options: RenderOptions,
): Promise<Rendered> {
  const { layout, zfs } = ports;
  const [first, ...others] = dependencies;
  if (first === undefined) throw new TypeError(`${image.name} has no dependencies`);
  const own = whitelist.length === 0 ? undefined : createWhitelist(whitelist);
  const steps = others.flatMap((each) => planRendering(ports, each, [image.id]));
  const archives = steps.map((step) => ({ step, file: archiveOf(layout, step.image) }));
  await dropScratch(zfs, layout, making.uuid);
  const root = await createTree(ports, making, {
    source: options.source,
    from: sealOf(layout.dataset.image(first.id)),
  });
  const files: string[] = [];
  const nextFile = (): string => {
    const file = path.join(making.aside, `part-${String(files.length)}`);
    files.push(file);
    return file;
  };
  if (own !== undefined) keepOnly(root, own, nextFile());
  const warnings: string[] = [];
  const render = async (
    rendered: Rendering,
    open: () => ArchiveSource,
    filter: Whitelist | undefined,
  ): Promise<void> => {
    const { limits, allowDevices, signal } = options;
    const { archive, ...result } = await renderOver(ports, {
      root,
      open,
      whitelist: filter,
      listingFile: nextFile(),
      ...(limits === undefined ? {} : { limits }),
      ...(allowDevices === undefined ? {} : { allowDevices }),
      ...(signal === undefined ? {} : { signal }),
    });
    if (`sha512-${archive.tarSha512}` !== rendered.id) throw damagedArchive(rendered);
    warnings.push(...result.warnings);
  };
  const filters = new Filters(layout, image.id, own);
  for (const { step, file } of archives) {
    await render(step.image, () => file, filters.of(step));
  }
  const self = archiveOf(layout, image, making.blobs);
  await render(image, () => self, own);
  const listing = fold([...listingsOf(layout, first), ...readAll(files)]);
  for (const file of files) rmSync(file);
  rmSync(path.join(making.aside, FILES.tree), { force: true });
  return finish(making, listing, [...new Set(warnings)]);
}

/** The whitelists of images, each made once. */
class Filters {
  readonly #layout: Layout;
  readonly #known = new Map<ImageId, Whitelist | undefined>();

  constructor(layout: Layout, id: ImageId, own: Whitelist | undefined) {
    this.#layout = layout;
    this.#known.set(id, own);
  }

  /** What every list on the way down allows. */
  of({ filteredBy }: RenderStep): Whitelist | undefined {
    const lists = filteredBy.flatMap((id) => this.#get(id) ?? []);
    if (lists.length < 2) return lists[0];
    return { allows: (place, isFolder) => lists.every((list) => list.allows(place, isFolder)) };
  }

  #get(id: ImageId): Whitelist | undefined {
    if (!this.#known.has(id)) {
      const { pathWhitelist = [] } = getManifest(this.#layout, id).manifest;
      this.#known.set(id, pathWhitelist.length === 0 ? undefined : createWhitelist(pathWhitelist));
    }
    return this.#known.get(id);
  }
}

/** Can be read several times. */
function archiveOf(layout: Layout, image: Rendering, folder?: string): ArchiveSource {
  const digest = digestOf(image);
  if (digest === undefined) {
    throw new ImageError(
      'IMAGE_DEPENDENCY',
      `${image.name} (${image.id}) did not come as an ACI: it can be the first dependency of an image, and no other`,
      { remedies: ['name it first in the list of dependencies'] },
    );
  }
  const blob = findBlob(
    { layout },
    digest,
    folder ?? path.join(layout.dir.image(image.id), FILES.blobs),
  );
  if (blob === undefined) {
    throw new ImageError(
      'IMAGE_DEPENDENCY',
      `${image.name} (${image.id}) is in the store without its archive, from which it would have to be rendered`,
      { remedies: ['import its archive again'] },
    );
  }
  return {
    chunks: { [Symbol.asyncIterator]: () => openBlobStream(blob)[Symbol.asyncIterator]() },
  };
}

function digestOf({ archive }: Rendering): Digest | undefined {
  return archive === undefined ? undefined : parseDigest(archive.digest.replace('-', ':'));
}

function damagedArchive({ id, name }: Rendering): ImageError {
  return new ImageError('IMAGE_DAMAGED', `the stored archive of ${name} (${id}) is damaged`, {
    remedies: [`look closer with: jetpack image verify ${id}`, 'import its archive again'],
  });
}

function* readAll(files: readonly string[]): Generator<string> {
  for (const file of files) yield readFileSync(file, 'latin1');
}

function fold(listings: Iterable<string>): TreeListing {
  const listing = foldTreeListings(listings);
  if (listing !== undefined) return listing;
  throw new ImageError('IMAGE_DAMAGED', 'the listing of a dependency is damaged', {
    remedies: ['find it with: jetpack image verify --all', 'import it again'],
  });
}

function finish(making: Making, listing: TreeListing, warnings: readonly string[]): Rendered {
  writeDurably(path.join(making.aside, FILES.tree), renderTreeListing(listing), 0o444);
  let treeBytes = 0;
  for (const item of listing.items.values()) if (item.kind === 'f') treeBytes += item.sizeBytes;
  return { entries: listing.items.size, treeBytes, warnings };
}
