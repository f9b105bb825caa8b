/** The tree of an ACI: onto an empty folder, or over the images that it depends on (spec/ace.md, "Filesystem Setup"). */
import { AciSink, type TreeSink } from '../../formats/aci/sink.ts';
import {
  type ArchiveProgress,
  type ArchiveSource,
  type ArchiveSummary,
  readArchive,
} from '../../formats/tar/archive.ts';
import type { Compression } from '../../formats/tar/sniff.ts';
import { DEFAULT_LIMITS, type ImportLimits } from '../limits.ts';
import { unpackTree, type UnpackPorts } from './unpack-tree.ts';
import { FilteredTree, findLeftOutTargets, type Whitelist } from './whitelist.ts';

export interface AciRequest {
  /** Asked when the manifest has come. False: the tree will not be needed; what comes from then on is only read and hashed. */
  readonly wantsTree?: (manifestBytes: Buffer) => boolean;
  /** A mounted dataset that nobody else writes to. */
  readonly root: string;
  readonly archive: ArchiveSource;
  /** Takes the listing of what is changed (tree-listing.ts); must not be there yet. */
  readonly listingFile: string;
  readonly limits?: Partial<ImportLimits>;
  readonly allowDevices?: boolean;
  readonly onProgress?: (progress: AciProgress) => void;
  /** Takes the archive's bytes as they are (archive.ts). */
  readonly onBytes?: (bytes: Buffer, compression: Compression) => Promise<void>;
  readonly signal?: AbortSignal;
}

export interface RenderRequest extends Omit<AciRequest, 'archive'> {
  /** Opens the archive, from its beginning: with a whitelist it is read twice. */
  readonly open: () => ArchiveSource;
  /** What may come out of this archive; absent: all of it. */
  readonly whitelist?: Whitelist | undefined;
}

export interface AciProgress extends ArchiveProgress {
  readonly entries: number;
  readonly writtenBytes: number;
}

export interface UnpackedAci {
  readonly archive: ArchiveSummary;
  readonly manifestBytes: Buffer;
  readonly entries: number;
  /** Files that were written, their holes included. */
  readonly treeBytes: number;
  readonly warnings: readonly string[];
}

/** Into an empty folder. Throws ArchiveError, HostError, and the signal's reason; tree and listing are the caller's to remove then. */
export async function unpackAci(ports: UnpackPorts, request: AciRequest): Promise<UnpackedAci> {
  const { archive, ...rest } = request;
  return unpackOn(ports, { ...rest, open: () => archive }, false);
}

/**
 * Over what is in the folder: a path that is there already is replaced, a symlink is replaced and never followed, a folder over a
 * folder keeps what is in it. Whether the bytes are those that they should be is in the summary. Throws as `unpackAci` does; the tree is
 * neither the old nor the new one then.
 */
export async function renderOver(ports: UnpackPorts, request: RenderRequest): Promise<UnpackedAci> {
  return unpackOn(ports, request, true);
}

/** Once closed it lets nothing through. Closed between entries only. */
class Gate implements TreeSink {
  readonly #tree: TreeSink;
  #isClosed = false;

  constructor(tree: TreeSink) {
    this.#tree = tree;
  }

  close(): void {
    this.#isClosed = true;
  }

  begin(...args: Parameters<TreeSink['begin']>): void {
    if (!this.#isClosed) this.#tree.begin(...args);
  }

  data(bytes: Buffer, offset: number): void {
    if (!this.#isClosed) this.#tree.data(bytes, offset);
  }

  end(): void {
    if (!this.#isClosed) this.#tree.end();
  }
}

async function unpackOn(
  ports: UnpackPorts,
  request: RenderRequest,
  isOver: boolean,
): Promise<UnpackedAci> {
  const limits: ImportLimits = { ...DEFAULT_LIMITS, ...request.limits };
  const { onProgress, onBytes, wantsTree, signal, whitelist } = request;
  const target = {
    root: request.root,
    isOver,
    mayRepeatFolders: false,
    allowDevices: request.allowDevices ?? false,
    treeBytes: limits.treeBytes,
    folders: limits.entries,
    listingFile: request.listingFile,
  };
  const reading = { limits, ...(signal === undefined ? {} : { signal }) };
  const targets =
    whitelist === undefined
      ? undefined
      : await findLeftOutTargets(request.open(), ports, whitelist, reading);
  const { read, treeBytes, warnings } = await unpackTree(ports, target, async (writer) => {
    const tree =
      whitelist === undefined || targets === undefined
        ? writer
        : new FilteredTree(writer, whitelist, targets);
    const gate = new Gate(tree);
    const sink = new AciSink(gate, limits, (manifest) => {
      if (wantsTree?.(manifest) === false) gate.close();
    });
    const archive = await readArchive(request.open(), sink, ports, {
      ...reading,
      ...(onBytes === undefined ? {} : { onBytes }),
      ...(onProgress === undefined
        ? {}
        : {
            onProgress: (progress) => {
              const { entries } = sink;
              onProgress({ ...progress, entries, writtenBytes: writer.writtenBytes });
            },
          }),
    });
    return { archive, manifestBytes: sink.finish(), entries: sink.entries };
  });
  return { ...read, treeBytes, warnings };
}
