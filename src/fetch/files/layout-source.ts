/** Images of an OCI image layout (image-spec image-layout.md), wherever its files are. */
import { FetchError, ManifestError } from '../../errors.ts';
import {
  type Descriptor,
  type OciImage,
  parseDigest,
  type Platform,
} from '../../formats/oci/model.ts';
import { algorithmOf, hexOf } from '../../formats/oci/model.ts';
import {
  descriptorOf,
  resolveEntries,
  resolveImage,
  verifyDocument,
} from '../../formats/oci/resolve.ts';
import {
  isIndexType,
  isManifestType,
  OCI_LIMITS,
  type OciIndexEntry,
  parseIndex,
  parseLayout,
} from '../../schema/oci.ts';
import { isSameName } from '../image-name.ts';
import type { LayoutFiles } from './layout-files.ts';
import type { BlobStream, OciSource } from '../source.ts';

export const LAYOUT_FILE = 'oci-layout';
export const INDEX_FILE = 'index.json';
const LAYOUT_BYTES = 64 * 1024;

const REF_NAME = 'org.opencontainers.image.ref.name';
/** containerd's, and so Docker's: the whole name where the other is only the tag. */
const IMAGE_NAME = 'io.containerd.image.name';

/** Where a blob is. The digest is one of ours, so this is no path that somebody else could have chosen. */
export function blobPath({ digest }: Pick<Descriptor, 'digest'>): string {
  return `blobs/${algorithmOf(digest)}/${hexOf(digest)}`;
}

/** `name`: for people. `ref`: which image, where there are several. The files are the source's from now on. */
export function layoutSource(name: string, files: LayoutFiles, ref: string | undefined): OciSource {
  const read = async (descriptor: Descriptor, limitBytes: number): Promise<Buffer> => {
    const bytes = await files.read(blobPath(descriptor), limitBytes);
    if (bytes === undefined) throw missing(name, descriptor);
    return bytes;
  };
  return {
    name,
    async resolve(wanted) {
      const entries = selectEntries(name, await readEntries(name, files), ref);
      const refName = nameOfEntry(entries[0]);
      const options = { source: name, refName };
      const [only] = entries;
      // Whatever platform it says it is for: nobody else could be meant.
      if (entries.length === 1 && only !== undefined && !isIndexType(only.mediaType)) {
        const descriptor = descriptorOf(only);
        const bytes = await read(descriptor, OCI_LIMITS.manifestBytes);
        verifyDocument(name, descriptor, bytes);
        return resolveImage({ bytes, descriptor }, wanted, read, options);
      }
      return resolveEntries(entries, wanted, read, options);
    },
    openBlob: (blob, options) => openBlob(name, files, blobPath(blob), blob, options),
    close: () => files.close(),
  };
}

/** Throws FETCH_NOT_FOUND. */
export async function openBlob(
  source: string,
  files: LayoutFiles,
  file: string,
  blob: Descriptor,
  options: { readonly fromByte?: number; readonly signal?: AbortSignal } = {},
): Promise<BlobStream> {
  const { fromByte = 0, signal } = options;
  const opened = await files.open(file, { fromByte, signal });
  if (opened === undefined) throw missing(source, blob);
  return { chunks: opened.chunks, fromByte };
}

export function missing(source: string, { digest }: Descriptor): FetchError {
  return new FetchError('FETCH_NOT_FOUND', `${source} lacks ${digest}`, {
    remedies: ['make it again: it is not whole'],
  });
}

async function readEntries(source: string, files: LayoutFiles): Promise<readonly OciIndexEntry[]> {
  const layout = await files.read(LAYOUT_FILE, LAYOUT_BYTES);
  const index = await files.read(INDEX_FILE, OCI_LIMITS.manifestBytes);
  if (layout === undefined || index === undefined) {
    const file = layout === undefined ? LAYOUT_FILE : INDEX_FILE;
    throw new FetchError('FETCH_NOT_FOUND', `${source} is no image layout: it has no ${file}`, {
      remedies: ['an image layout has the files oci-layout and index.json, and the folder blobs'],
    });
  }
  parseLayout(layout);
  return parseIndex(index).manifests;
}

export function nameOfEntry(entry: OciIndexEntry | undefined): string | undefined {
  const name = entry?.annotations?.[IMAGE_NAME] ?? entry?.annotations?.[REF_NAME];
  return name === '' ? undefined : name;
}

function namesOf({ annotations }: OciIndexEntry): readonly string[] {
  return [annotations?.[IMAGE_NAME], annotations?.[REF_NAME]].flatMap((name) =>
    name === undefined || name === '' ? [] : [name],
  );
}

/** The entries of one image: several are its platforms. Throws FETCH_NOT_FOUND. */
function selectEntries(
  source: string,
  all: readonly OciIndexEntry[],
  ref: string | undefined,
): readonly OciIndexEntry[] {
  const images = all.filter(
    ({ mediaType, artifactType }) =>
      (isIndexType(mediaType) || isManifestType(mediaType)) && artifactType === undefined,
  );
  if (images.length === 0) throw notFound(source, 'has no image', images);
  if (ref === undefined) {
    const names = new Set(images.map((entry) => nameOfEntry(entry)));
    if (names.size === 1) return images;
    throw notFound(source, 'has several images', images);
  }
  const digest = parseDigest(ref.replace(/^@/, ''));
  const found =
    digest === undefined
      ? [
          images.filter((entry) => namesOf(entry).includes(ref)),
          images.filter((entry) => namesOf(entry).some((name) => isSameName(name, ref))),
        ].find((entries) => entries.length > 0)
      : images.filter((entry) => entry.digest === digest);
  if (found !== undefined && found.length > 0) return found;
  throw notFound(source, `has no image "${ref}"`, images);
}

const SHOWN = 20;

function notFound(source: string, what: string, images: readonly OciIndexEntry[]): FetchError {
  const names = [...new Set(images.map((entry) => nameOfEntry(entry) ?? entry.digest))];
  return new FetchError('FETCH_NOT_FOUND', `${source} ${what}`, { remedies: remediesOf(names) });
}

/** What there is to choose from. */
export function remediesOf(names: readonly string[]): readonly string[] {
  if (names.length === 0) return [];
  const more = names.length > SHOWN ? ` and ${String(names.length - SHOWN)} more` : '';
  return [
    `name one of those that are there behind a colon: ${names.slice(0, SHOWN).join(', ')}${more}`,
  ];
}

/** An image that a layout has with this configuration: archives of `docker save` may be both. Undefined when there is none. */
export async function findByConfig(
  files: LayoutFiles,
  config: Descriptor['digest'],
  wanted: Platform,
  options: { readonly source: string; readonly refName: string | undefined },
): Promise<OciImage | undefined> {
  const index = await files.read(INDEX_FILE, OCI_LIMITS.manifestBytes);
  if (index === undefined) return undefined;
  for (const entry of parseIndex(index).manifests.slice(0, MAX_LOOKS)) {
    const image = await tryEntry(files, entry, wanted, options);
    if (image?.config.descriptor.digest === config) return image;
  }
  return undefined;
}

const MAX_LOOKS = 64;

async function tryEntry(
  files: LayoutFiles,
  entry: OciIndexEntry,
  wanted: Platform,
  options: { readonly source: string; readonly refName: string | undefined },
): Promise<OciImage | undefined> {
  const read = async (descriptor: Descriptor, limitBytes: number): Promise<Buffer> => {
    const bytes = await files.read(blobPath(descriptor), limitBytes);
    if (bytes === undefined) throw missing(options.source, descriptor);
    return bytes;
  };
  try {
    return await resolveEntries([entry], wanted, read, options);
  } catch (error) {
    if (error instanceof FetchError || error instanceof ManifestError) return undefined;
    throw error;
  }
}
