/** Whether a stored image is still what was imported: its metadata, and its tree against the listing made when it was unpacked. */
import { createHash, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { isDeepStrictEqual } from 'node:util';

import { takeLease } from '../host/lease.ts';
import { displayName } from '../formats/tar/names.ts';
import { parseImageManifest } from '../schema/image-manifest.ts';
import type { ImagePorts } from './ports.ts';
import { dropScratch, ensureMounted } from './scratch.ts';
import { dumpXattrs } from './shim-special-files.ts';
import { FILES, type ImageMeta, sealOf } from './store.ts';
import { compareTree, compareXattrs, type TreeDifference } from './tree-compare.ts';
import { foldTreeListings } from './tree-fold.ts';

export interface VerifyReport {
  readonly ok: boolean;
  /** The first differences; the path is for people. */
  readonly differences: readonly TreeDifference[];
  /** How many there are beyond those. */
  readonly more: number;
  /** What was compared. */
  readonly entries: number;
}

const SHOWN = 100;

/** Reads everything that is in the image, from a clone of its seal that is mounted for that and removed again. */
export async function verifyImage(
  ports: ImagePorts,
  image: ImageMeta,
  options: { readonly signal?: AbortSignal } = {},
): Promise<VerifyReport> {
  const { zfs, layout } = ports;
  const dir = layout.dir.image(image.id);
  const found: TreeDifference[] = [];
  const manifest = createHash('sha512')
    .update(readFileSync(path.join(dir, FILES.manifest)))
    .digest('hex');
  if (`sha512-${manifest}` !== image.manifestDigest) {
    found.push({ path: '"manifest"', kind: 'changed', detail: 'its content is another' });
  }
  if (!isParsedFrom(dir)) {
    found.push({ path: '"parsed.json"', kind: 'changed', detail: 'it is not of the manifest' });
  }
  const listing = foldTreeListings([readFileSync(path.join(dir, FILES.tree), 'latin1')]);
  if (listing === undefined) {
    found.push({ path: '"tree"', kind: 'changed', detail: 'it is no listing any more' });
    return report(found, 0);
  }
  const uuid = randomUUID();
  const lease = await takeLease(layout.dir.lease(uuid));
  try {
    // Not read-only: on a read-only file system zfs-fuse answers the question for the attributes of a file that has none with
    // ENOSYS, and then the kernel asks for no attributes of that file system any more. Nothing writes to the clone.
    await zfs.clone(sealOf(layout.dataset.image(image.id)), layout.dataset.scratch(uuid));
    const root = await ensureMounted(zfs, layout, uuid);
    for (const difference of compareTree(root, listing)) {
      options.signal?.throwIfAborted();
      found.push(shown(difference));
    }
    found.push(...compareXattrs(await dumpXattrs(ports, root), listing.xattrs).map(shown));
  } finally {
    try {
      await dropScratch(zfs, layout, uuid);
    } finally {
      lease.release();
    }
  }
  return report(found, listing.items.size);
}

/** Whether what every start reads is what the manifest says. */
function isParsedFrom(dir: string): boolean {
  try {
    const { manifest } = parseImageManifest(readFileSync(path.join(dir, FILES.manifest)));
    const parsed: unknown = JSON.parse(readFileSync(path.join(dir, FILES.parsed), 'utf8'));
    return isDeepStrictEqual(parsed, JSON.parse(JSON.stringify(manifest)));
  } catch {
    return false;
  }
}

function shown(difference: TreeDifference): TreeDifference {
  return { ...difference, path: displayName(difference.path === '' ? '/' : difference.path) };
}

function report(found: readonly TreeDifference[], entries: number): VerifyReport {
  return {
    ok: found.length === 0,
    differences: found.slice(0, SHOWN),
    more: Math.max(0, found.length - SHOWN),
    entries,
  };
}
