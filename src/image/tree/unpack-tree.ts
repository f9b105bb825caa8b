/** A tree from an archive, its special files and its listing: what all kinds of archives have in common. */
import type { DecompressPorts } from '../../formats/tar/decompress.ts';
import { openListing } from './listing-file.ts';
import { createShimSpecialFiles } from './shim-special-files.ts';
import { renderTreeItem, renderTreeRemoval, renderTreeXattr } from './tree-listing.ts';
import { TreeWriter, type TreeWriterOptions } from './tree-writer.ts';

export interface UnpackPorts extends DecompressPorts {
  readonly tools: DecompressPorts['tools'] & { readonly shim: string };
}

export interface TreeTarget extends Omit<TreeWriterOptions, 'onItem' | 'onXattr' | 'onRemoval'> {
  /** Takes the listing; must not be there yet. */
  readonly listingFile: string;
}

export interface WrittenTree<T> {
  readonly read: T;
  /** Files that were written, their holes included. */
  readonly treeBytes: number;
  readonly warnings: readonly string[];
}

/** Rejects with what `read` throws, ArchiveError, HostError. The tree and the listing are the caller's to remove then. */
export async function unpackTree<T>(
  ports: UnpackPorts,
  target: TreeTarget,
  read: (writer: TreeWriter) => Promise<T>,
): Promise<WrittenTree<T>> {
  const listing = openListing(target.listingFile);
  let writer: TreeWriter | undefined;
  try {
    writer = new TreeWriter({
      ...target,
      onItem: (item) => {
        listing.add(renderTreeItem(item));
      },
      onXattr: (xattr) => {
        listing.add(renderTreeXattr(xattr));
      },
      onRemoval: (path) => {
        listing.add(renderTreeRemoval(path));
      },
    });
    const result = await read(writer);
    const warnings = await writer.finish(createShimSpecialFiles(ports));
    listing.finish();
    return { read: result, treeBytes: writer.declaredBytes, warnings };
  } finally {
    writer?.abandon();
    listing.close();
  }
}
