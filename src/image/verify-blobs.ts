/** Whether what is stored of an image beside its tree is still what came: the archive, or the parts of an OCI image. */
import { lstatSync } from 'node:fs';
import path from 'node:path';

import { type Digest, parseDigest } from '../formats/oci/model.ts';
import type { Layout } from '../host/layout.ts';
import { blobName, checkBlob, digestOfBlobName, findBlob, forgetDamaged } from './blobs.ts';
import { treeNameOf } from './chains.ts';
import { FILES, type ImageMeta, readFolder } from './store.ts';
import type { TreeDifference } from './tree/tree-compare.ts';

/** What was found of a file, by its inode: images share them, and none has to be read twice. */
export type CheckedBlobs = Map<string, string | undefined>;

interface Options {
  readonly checked?: CheckedBlobs | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface BlobsReport {
  readonly differences: readonly TreeDifference[];
  readonly blobs: number;
}

/**
 * Reads all of them. A damaged one is taken out of the store of blobs, so that no other image gets it and a new import brings a good
 * one; the image keeps its link.
 */
export async function verifyBlobs(
  { layout }: { readonly layout: Layout },
  image: ImageMeta,
  { checked = new Map(), signal }: Options,
): Promise<BlobsReport> {
  const folder = path.join(layout.dir.image(image.id), FILES.blobs);
  const names = readFolder(folder);
  const differences: TreeDifference[] = [];
  const there = new Set<Digest>();
  for (const name of names) {
    const digest = digestOfBlobName(name);
    const blob = digest && findBlob({ layout }, digest, folder);
    if (blob === undefined) continue;
    there.add(blob.digest);
    const { dev, ino } = lstatSync(blob.file);
    const key = `${String(dev)}:${String(ino)}`;
    if (!checked.has(key))
      checked.set(key, await checkBlob(blob, signal === undefined ? {} : { signal }));
    const fault = checked.get(key);
    if (fault === undefined) continue;
    forgetDamaged({ layout }, name, folder);
    differences.push({ path: `${FILES.blobs}/${name}`, kind: 'changed', detail: fault });
  }
  for (const digest of expectedBlobs(image, names.length > 0)) {
    if (there.has(digest)) continue;
    const what = `${FILES.blobs}/${blobName(digest)}`;
    differences.push({ path: what, kind: 'missing', detail: 'it is not there' });
  }
  for (const { chainId } of image.oci?.layers ?? []) {
    const name = treeNameOf(chainId as Digest);
    if (names.includes(name)) continue;
    differences.push({
      path: `${FILES.blobs}/${name}`,
      kind: 'missing',
      detail: 'it is not there',
    });
  }
  return { differences, blobs: there.size };
}

/** ACIs that came with a version that kept no archives have no folder of blobs. */
function expectedBlobs({ archive, oci }: ImageMeta, hasBlobs: boolean): readonly Digest[] {
  const texts = [
    ...(archive === undefined || !hasBlobs ? [] : [archive.digest.replace('-', ':')]),
    ...(oci === undefined
      ? []
      : [
          oci.configDigest,
          ...(oci.manifestDigest === undefined ? [] : [oci.manifestDigest]),
          ...oci.layers.map(({ digest }) => digest),
        ]),
  ];
  return [...new Set(texts.flatMap((text) => parseDigest(text) ?? []))];
}
