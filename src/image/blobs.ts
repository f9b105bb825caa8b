/**
 * Files that images share: `<root>/blobs/<algorithm>-<hex>` has the bytes that this is the digest of, and `<algorithm>-<hex>.zst`
 * has them compressed, where they came uncompressed. Other immutable files have names of their own (`tree-…`). An image that needs
 * one has a hard link to it in its folder `blobs`; a file with one link is needed by nobody.
 *
 * While it is written a file is `.<uuid>.<name>`, and belongs to the lease of this uuid. What a dead lease has left, whoever wants
 * the same bytes may take over. A name appears with link(2): whole, durable, and never in the place of another.
 */
import { createHash, type Hash, randomUUID } from 'node:crypto';
import {
  closeSync,
  constants,
  createReadStream,
  fsyncSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream';
import {
  constants as zlib,
  createZstdCompress,
  createZstdDecompress,
  type ZstdCompress,
} from 'node:zlib';

import { ArchiveError, errnoOf, ImageError } from '../errors.ts';
import {
  algorithmOf,
  type Digest,
  type DigestAlgorithm,
  hexOf,
  parseDigest,
} from '../formats/oci/model.ts';
import type { Layout } from '../host/layout.ts';
import type { BlobSink } from '../fetch/sink.ts';
import { isAnswered } from '../host/lease.ts';
import { readFolder, syncFolder } from './store.ts';

/** The part of the layout that this is about. */
export interface BlobPorts {
  readonly layout: Layout;
}

export interface StoredBlob {
  readonly digest: Digest;
  readonly file: string;
  /** `zstd`: the digest is of what comes out of it. */
  readonly form: 'as-is' | 'zstd';
  /** Of the file. */
  readonly storedBytes: number;
}

/** A sink of a download (fetch/sink.ts), among others: what is there from an earlier try is hashed again. */
export interface BlobWriter extends BlobSink {
  /**
   * The blob is in the store and durable, or was there already. Throws ARCHIVE_DIGEST when the bytes are not those that were asked
   * for, and nothing is left of them then. `known`: the digest, where the caller has taken it (`hashedByCaller`) and did not
   * know it before.
   */
  commit(known?: Digest): Promise<StoredBlob>;
  /** Idempotent, and nothing after `commit`. `leave`: what has come stays, for whoever wants the same. */
  abandon(options?: { readonly leave?: boolean }): Promise<void>;
}

export interface BlobWriterRequest {
  /** Of the lease that this work is done under. */
  readonly uuid: string;
  /** What the bytes must be. Without it they are what they are. */
  readonly digest?: Digest;
  /** How many there must be. */
  readonly sizeBytes?: number;
  /** Where `digest` does not tell it; sha512 by default. */
  readonly algorithm?: DigestAlgorithm;
  /** The bytes are not compressed: keep them as zstd. Nothing of an earlier try is taken over then. */
  readonly compress?: boolean;
  /** The caller hashes the bytes anyway, those of an earlier try too: what it commits has the digest. */
  readonly hashedByCaller?: boolean;
  /** The folder of an image in the making: it has its hard link before the store has the file, so that no gc comes between. */
  readonly keepIn?: string;
}

const FOLDER_MODE = 0o700;
const FILE_MODE = 0o400;
const ZST = '.zst';
const READ_BYTES = 256 * 1024;
const WRITE_BYTES = 256 * 1024;
/** The fastest: what is kept so is kept for an export that may never come. */
const ZSTD_LEVEL = 1;
const PARTIAL = /^\.([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.(.+)$/;

/** `sha256-<hex>`. */
export function blobName(digest: Digest): string {
  return `${algorithmOf(digest)}-${hexOf(digest)}`;
}

/** The other way round, also for what is kept compressed; undefined for files with names of their own. */
export function digestOfBlobName(name: string): Digest | undefined {
  const plain = name.endsWith(ZST) ? name.slice(0, -ZST.length) : name;
  return parseDigest(plain.replace('-', ':'));
}

/** The lease that a file in the making belongs to; undefined for one that is whole. */
export function uuidOfPartial(name: string): string | undefined {
  return PARTIAL.exec(name)?.[1];
}

/** `folder`: where to look, the store's unless it is an image's own. */
export function findBlob(
  { layout }: BlobPorts,
  digest: Digest,
  folder: string = layout.dir.blobs,
): StoredBlob | undefined {
  for (const form of ['as-is', 'zstd'] as const) {
    const file = path.join(folder, `${blobName(digest)}${form === 'zstd' ? ZST : ''}`);
    const stats = lstatSync(file, { throwIfNoEntry: false });
    if (stats?.isFile() === true) return { digest, file, form, storedBytes: stats.size };
  }
  return undefined;
}

/**
 * The bytes that the digest is of; not checked against it. Throws IMAGE_DAMAGED when the file is gone, cannot be read or cannot be
 * decompressed.
 */
export async function* openBlobStream(
  blob: StoredBlob,
  options: { readonly fromByte?: number; readonly signal?: AbortSignal } = {},
): AsyncGenerator<Buffer, void, undefined> {
  const { fromByte = 0, signal } = options;
  const isCompressed = blob.form === 'zstd';
  const file = createReadStream(blob.file, {
    highWaterMark: READ_BYTES,
    ...(isCompressed ? {} : { start: fromByte }),
  });
  const decoder = isCompressed ? createZstdDecompress({ chunkSize: READ_BYTES / 4 }) : undefined;
  if (decoder !== undefined) pipeline(file, decoder, () => undefined);
  const bytes: AsyncIterable<Buffer> = decoder ?? file;
  let skip = isCompressed ? fromByte : 0;
  try {
    for await (const chunk of bytes) {
      signal?.throwIfAborted();
      if (skip >= chunk.length) skip -= chunk.length;
      else {
        yield skip === 0 ? chunk : chunk.subarray(skip);
        skip = 0;
      }
    }
  } catch (cause) {
    const errno = errnoOf(cause);
    if (errno === undefined || signal?.aborted === true) throw cause;
    throw new ImageError(
      'IMAGE_DAMAGED',
      `the stored blob ${blob.digest} cannot be read: ${errno}`,
      {
        remedies: ['see which images have it with: jetpack image verify --all'],
        cause,
      },
    );
  } finally {
    file.destroy();
    decoder?.destroy();
  }
}

/** Reads all of it. Undefined when it is what its digest says; else what is wrong, for people. */
export async function checkBlob(
  blob: StoredBlob,
  options: { readonly signal?: AbortSignal } = {},
): Promise<string | undefined> {
  const hash = createHash(algorithmOf(blob.digest));
  try {
    for await (const chunk of openBlobStream(blob, options)) hash.update(chunk);
  } catch (error) {
    if (!(error instanceof ImageError)) throw error;
    return error.message;
  }
  return hash.digest('hex') === hexOf(blob.digest) ? undefined : 'its content is another';
}

/**
 * Gives a folder (of an image in the making) its link to a blob. False when there is no such blob: it may have gone just now.
 * Idempotent. The folder's names are the caller's to make durable.
 */
export function keepBlob(ports: BlobPorts, digest: Digest, folder: string): boolean {
  return [blobName(digest), `${blobName(digest)}${ZST}`].some((name) =>
    keepFile(ports, name, folder),
  );
}

/** As keepBlob, for a file with a name of its own. */
export function keepFile({ layout }: BlobPorts, name: string, folder: string): boolean {
  return linkInto(path.join(layout.dir.blobs, name), folder, name);
}

/**
 * Puts a whole file, written by the caller into `folder` (an image's in the making) under its name, into the store too. When
 * the store has one of that name already the folder gets that. Durable when it returns.
 */
export function shareFile({ layout }: BlobPorts, name: string, folder: string): void {
  const own = path.join(folder, name);
  syncFile(own);
  ensureBlobFolder(layout);
  if (!linkInto(own, layout.dir.blobs, name, 'exclusive')) {
    rmSync(own);
    if (!keepFile({ layout }, name, folder)) {
      throw new ImageError('IMAGE_DAMAGED', `${name} has gone from the store of blobs`);
    }
  }
  syncFolder(layout.dir.blobs);
}

/**
 * Takes a file out of the store if no image has a link to it. An image in the making that links it at this very moment keeps it:
 * under its new name nobody finds it, so that the count of its links is the last word. Returns whether it has gone.
 */
export function dropUnneeded({ layout }: BlobPorts, name: string): boolean {
  const file = path.join(layout.dir.blobs, name);
  if (!isUnneeded(file)) return false;
  const aside = path.join(layout.dir.blobs, `.${randomUUID()}.${name}`);
  try {
    renameSync(file, aside);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false;
    throw error;
  }
  const isStillUnneeded = isUnneeded(aside);
  if (!isStillUnneeded) linkInto(aside, layout.dir.blobs, name);
  rmSync(aside, { force: true });
  return isStillUnneeded;
}

/** Takes the store's link to a damaged file away; those of images stay. */
export function forgetDamaged({ layout }: BlobPorts, name: string, folder: string): void {
  const shared = path.join(layout.dir.blobs, name);
  const store = lstatSync(shared, { throwIfNoEntry: false });
  const own = lstatSync(path.join(folder, name), { throwIfNoEntry: false });
  if (store !== undefined && store.ino === own?.ino) rmSync(shared, { force: true });
}

/** Whether the store's own link is the only one; `going`: links that are about to go. */
export function isUnneeded(file: string, going = 0): boolean {
  return lstatSync(file, { throwIfNoEntry: false })?.nlink === 1 + going;
}

/** Stores initialised by an earlier version have none. */
export function ensureBlobFolder(layout: Layout): void {
  mkdirSync(layout.dir.blobs, { recursive: true, mode: FOLDER_MODE });
}

/** Makes the folder of an image that its links go to. */
export function makeLinkFolder(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: FOLDER_MODE });
}

/** The lease of `request.uuid` must be held. */
export async function createBlobWriter(
  ports: BlobPorts,
  request: BlobWriterRequest,
): Promise<BlobWriter> {
  const { layout } = ports;
  ensureBlobFolder(layout);
  const { digest, compress = false, hashedByCaller = false } = request;
  const algorithm = digest === undefined ? (request.algorithm ?? 'sha512') : algorithmOf(digest);
  const hash = hashedByCaller ? undefined : createHash(algorithm);
  const name = digest === undefined ? undefined : `${blobName(digest)}${compress ? ZST : ''}`;
  const own = path.join(layout.dir.blobs, `.${request.uuid}.${name ?? `new-${randomUUID()}`}`);
  // Twice the same under one lease: the second goes its own way.
  const file =
    lstatSync(own, { throwIfNoEntry: false }) === undefined ? own : `${own}-${randomUUID()}`;
  if (name !== undefined && !compress) await takeOver(layout, name, file);
  const handle = await open(
    file,
    constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW,
    0o600,
  );
  try {
    const { size } = await handle.stat();
    if (hash !== undefined) await hashAgain(handle, hash);
    return new Writer(ports, request, { file, handle, algorithm }, { hash, bytes: size });
  } catch (error) {
    await handle.close();
    rmSync(file, { force: true });
    throw error;
  }
}

/** Renames what a dead lease has left of the same file. Of two that want it one has it then, and the other finds nothing. */
async function takeOver(layout: Layout, name: string, file: string): Promise<void> {
  for (const each of readFolder(layout.dir.blobs)) {
    const [, uuid, of] = PARTIAL.exec(each) ?? [];
    if (uuid === undefined || of !== name) continue;
    // Whole, linked, and only its last step is missing: nothing may be written to it any more.
    if (!isUnneeded(path.join(layout.dir.blobs, each))) continue;
    if (await isAnswered(layout.dir.lease(uuid))) continue;
    try {
      renameSync(path.join(layout.dir.blobs, each), file);
      return;
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error;
    }
  }
}

async function hashAgain(handle: FileHandle, hash: Hash): Promise<void> {
  for await (const chunk of readFrom(handle)) hash.update(chunk);
}

/** Every chunk is gone with the next. */
async function* readFrom(handle: FileHandle): AsyncGenerator<Buffer, void, undefined> {
  const buffer = Buffer.allocUnsafe(READ_BYTES);
  for (let at = 0; ;) {
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, at);
    if (bytesRead === 0) return;
    yield buffer.subarray(0, bytesRead);
    at += bytesRead;
  }
}

interface OpenBlob {
  readonly file: string;
  readonly handle: FileHandle;
  readonly algorithm: DigestAlgorithm;
}

class Writer implements BlobWriter {
  readonly #ports: BlobPorts;
  readonly #request: BlobWriterRequest;
  readonly #open: OpenBlob;
  #hash: Hash | undefined;
  #bytes: number;
  #output: Output;
  #encoder: Encoder | undefined;
  #isDone = false;

  constructor(
    ports: BlobPorts,
    request: BlobWriterRequest,
    opened: OpenBlob,
    sofar: { readonly hash: Hash | undefined; readonly bytes: number },
  ) {
    this.#ports = ports;
    this.#request = request;
    this.#open = opened;
    this.#hash = sofar.hash;
    this.#bytes = sofar.bytes;
    this.#output = new Output(opened.handle, sofar.bytes);
    this.#encoder = request.compress === true ? new Encoder(this.#output) : undefined;
  }

  get bytesSoFar(): number {
    return this.#bytes;
  }

  async *read(): AsyncGenerator<Buffer, void, undefined> {
    if (this.#encoder !== undefined && this.#bytes > 0) {
      throw new TypeError('what is being compressed cannot be read before it is whole');
    }
    await this.#output.finish();
    yield* readFrom(this.#open.handle);
  }

  async write(chunk: Uint8Array): Promise<void> {
    const { sizeBytes } = this.#request;
    // Not one byte more than announced goes to the disk: a server that does not stop would else fill it.
    if (sizeBytes !== undefined && this.#bytes + chunk.length > sizeBytes)
      throw this.#wrongSize('more');
    this.#bytes += chunk.length;
    this.#hash?.update(chunk);
    await (this.#encoder ?? this.#output).add(chunk);
  }

  async restart(): Promise<void> {
    this.#encoder?.abandon();
    await this.#output.settle();
    await this.#open.handle.truncate(0);
    this.#output = new Output(this.#open.handle, 0);
    if (this.#encoder !== undefined) this.#encoder = new Encoder(this.#output);
    if (this.#hash !== undefined) this.#hash = createHash(this.#open.algorithm);
    this.#bytes = 0;
  }

  async commit(known?: Digest): Promise<StoredBlob> {
    const { layout } = this.#ports;
    const { digest: wanted, sizeBytes, keepIn, compress = false } = this.#request;
    try {
      await this.#encoder?.finish();
      await this.#output.finish();
      const digest = this.#digest(known);
      if (sizeBytes !== undefined && this.#bytes !== sizeBytes) throw this.#wrongSize('fewer');
      if (wanted !== undefined && wanted !== digest) {
        throw new ArchiveError(
          'ARCHIVE_DIGEST',
          `the digest of what has come is ${digest} and not ${wanted}`,
          { remedies: ['fetch it again, from a source that you trust'] },
        );
      }
      await this.#open.handle.chmod(FILE_MODE);
      await this.#open.handle.sync();
      const name = `${blobName(digest)}${compress ? ZST : ''}`;
      if (keepIn !== undefined) linkInto(this.#open.file, keepIn, name);
      if (!linkInto(this.#open.file, layout.dir.blobs, name, 'exclusive') && keepIn !== undefined) {
        // Somebody else's is as good, and one of them is enough.
        rmSync(path.join(keepIn, name), { force: true });
        if (!keepFile(this.#ports, name, keepIn)) linkInto(this.#open.file, keepIn, name);
      }
      await this.#close();
      syncFolder(layout.dir.blobs);
      const stored =
        findBlob(this.#ports, digest) ??
        (keepIn === undefined ? undefined : findBlob(this.#ports, digest, keepIn));
      if (stored !== undefined) return stored;
      throw new ImageError('IMAGE_DAMAGED', `${digest} has gone from the store of blobs`);
    } catch (error) {
      await this.abandon();
      throw error;
    }
  }

  async abandon(options: { readonly leave?: boolean } = {}): Promise<void> {
    if (this.#isDone) return;
    this.#encoder?.abandon();
    if (options.leave === true) await this.#output.finish().catch(() => undefined);
    await this.#close(options.leave);
  }

  async #close(leave = false): Promise<void> {
    if (this.#isDone) return;
    this.#isDone = true;
    await this.#output.settle();
    await this.#open.handle.close();
    if (!leave) rmSync(this.#open.file, { force: true });
  }

  #digest(known: Digest | undefined): Digest {
    const told = known ?? this.#request.digest;
    const text =
      this.#hash === undefined ? told : `${this.#open.algorithm}:${this.#hash.digest('hex')}`;
    const digest = text === undefined ? undefined : parseDigest(text);
    if (digest === undefined) throw new TypeError('a blob was committed without its digest');
    return digest;
  }

  #wrongSize(how: 'more' | 'fewer'): ArchiveError {
    const { digest, sizeBytes } = this.#request;
    return new ArchiveError(
      'ARCHIVE_DIGEST',
      `${digest ?? 'the blob'} has ${how} than the ${String(sizeBytes)} bytes announced`,
      { remedies: ['fetch it again, from a source that you trust'] },
    );
  }
}

/** Writes behind each other in large pieces, one of them under way while the next is filled. */
class Output {
  readonly #handle: FileHandle;
  #at: number;
  #piece = Buffer.allocUnsafe(WRITE_BYTES);
  #filled = 0;
  #spare = Buffer.allocUnsafe(WRITE_BYTES);
  #running: Promise<void> = Promise.resolve();

  constructor(handle: FileHandle, at: number) {
    this.#handle = handle;
    this.#at = at;
  }

  async add(chunk: Uint8Array): Promise<void> {
    for (let from = 0; from < chunk.length;) {
      const part = chunk.subarray(from, from + WRITE_BYTES - this.#filled);
      this.#piece.set(part, this.#filled);
      this.#filled += part.length;
      from += part.length;
      if (this.#filled === WRITE_BYTES) await this.#flush();
    }
  }

  async finish(): Promise<void> {
    await this.#flush();
    await this.#running;
  }

  /** Resolves when nothing is being written any more, well or not. */
  async settle(): Promise<void> {
    await this.#running.catch(() => undefined);
  }

  async #flush(): Promise<void> {
    await this.#running;
    if (this.#filled === 0) return;
    const full = this.#piece;
    this.#running = this.#write(full.subarray(0, this.#filled));
    this.#piece = this.#spare;
    this.#spare = full;
    this.#filled = 0;
    // Told by whoever waits for it next.
    this.#running.catch(() => undefined);
  }

  async #write(piece: Uint8Array): Promise<void> {
    for (let from = 0; from < piece.length;) {
      const { bytesWritten } = await this.#handle.write(piece, from, piece.length - from, this.#at);
      from += bytesWritten;
      this.#at += bytesWritten;
    }
  }
}

/** zstd, on a thread of libuv's pool. */
class Encoder {
  readonly #stream: ZstdCompress;
  readonly #output: Output;
  /** Ends with the stream; rejects with what went wrong in writing its output. */
  readonly #copied: Promise<void>;
  #copy = Buffer.alloc(0);
  #running: Promise<void> = Promise.resolve();
  /** Of the chunk that is being compressed: a stream that was destroyed never calls back. */
  #giveUp: (reason: unknown) => void = () => undefined;

  constructor(output: Output) {
    this.#output = output;
    this.#stream = createZstdCompress({
      chunkSize: WRITE_BYTES / 4,
      params: { [zlib.ZSTD_c_compressionLevel]: ZSTD_LEVEL, [zlib.ZSTD_c_checksumFlag]: 1 },
    });
    this.#copied = this.#copyOut();
    this.#copied.catch((reason: unknown) => this.#giveUp(reason));
  }

  /** Returns while the chunk is still being compressed, but not before the one before it is. */
  async add(chunk: Uint8Array): Promise<void> {
    await this.#running;
    // The caller may use the chunk again. The stream is done with the copy before the next one is made.
    if (this.#copy.length < chunk.length) this.#copy = Buffer.allocUnsafeSlow(chunk.length);
    const copy = this.#copy.subarray(0, chunk.length);
    copy.set(chunk);
    this.#running = new Promise((resolve, reject) => {
      this.#giveUp = reject;
      this.#stream.write(copy, (error) => {
        if (error === undefined || error === null) resolve();
        else this.#copied.then(resolve, reject);
      });
    });
    this.#running.catch(() => undefined);
  }

  async finish(): Promise<void> {
    await this.#running;
    this.#stream.end();
    await this.#copied;
  }

  abandon(): void {
    this.#stream.destroy();
  }

  async #copyOut(): Promise<void> {
    for await (const chunk of this.#stream as AsyncIterable<Buffer>) await this.#output.add(chunk);
  }
}

/** False: `file` is not there or, `exclusive`, another one has the name. Without it another one of the name is as good. */
function linkInto(file: string, folder: string, name: string, how?: 'exclusive'): boolean {
  try {
    linkSync(file, path.join(folder, name));
    return true;
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 'EEXIST') return how !== 'exclusive';
    if (errno === 'ENOENT' && lstatSync(file, { throwIfNoEntry: false }) === undefined)
      return false;
    throw error;
  }
}

function syncFile(file: string): void {
  const fd = openSync(file, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
