/**
 * Blobs from a source into sinks: hashed while they come, never longer than declared, and continued where they broke off.
 * A sink that was filled is one whose size and digest were right; after a failure it keeps what may be continued later.
 */
import { createHash, type Hash } from 'node:crypto';

import { FetchError } from '../../errors.ts';
import { algorithmOf, type Descriptor, type Digest, hexOf } from '../../formats/oci/model.ts';
import { backOffMs } from './back-off.ts';
import type { Timing } from '../ports.ts';
import type { BlobSink } from '../sink.ts';
import type { OciSource } from '../source.ts';

export interface BlobProgress {
  readonly blob: Descriptor;
  readonly receivedBytes: number;
  /** Of the received ones, those that an earlier download had left. */
  readonly resumedBytes: number;
}

export interface DownloadOptions {
  readonly timing: Timing;
  readonly signal?: AbortSignal | undefined;
  /** Called after every chunk. */
  readonly onProgress?: ((progress: BlobProgress) => void) | undefined;
}

/** Attempts in a row that bring next to nothing, before we give up. */
const MAX_FRUITLESS = 5;
/** Attempts at all: a server that closes after every chunk must not keep us for ever. */
const MAX_ATTEMPTS = 100;
/** An attempt that brought as much was not fruitless. */
const FRUITFUL_BYTES = 256 * 1024;

/** Whole with a wrong digest, where it came in several pieces. */
const MAX_WRONG = 2;

/** One blob on its way: what is in the sink and the hash of exactly that. */
class Transfer {
  readonly #source: OciSource;
  readonly #blob: Descriptor;
  readonly #sink: BlobSink;
  readonly #options: DownloadOptions;
  #hash: Hash;
  #resumedBytes = 0;
  /** Whether all bytes came in one piece: if not, a wrong digest may be the seam's fault. */
  #isOnePiece = true;

  constructor(source: OciSource, blob: Descriptor, sink: BlobSink, options: DownloadOptions) {
    this.#source = source;
    this.#blob = blob;
    this.#sink = sink;
    this.#options = options;
    this.#hash = createHash(algorithmOf(blob.digest));
  }

  get isOnePiece(): boolean {
    return this.#isOnePiece;
  }

  get isWhole(): boolean {
    return this.#sink.bytesSoFar === this.#blob.size;
  }

  async takeUp(): Promise<void> {
    const there = this.#sink.bytesSoFar;
    if (there === 0) return;
    if (there > this.#blob.size) return this.startOver();
    for await (const chunk of this.#sink.read()) {
      this.#options.signal?.throwIfAborted();
      this.#hash.update(chunk);
    }
    this.#resumedBytes = there;
    this.#isOnePiece = false;
    this.#report();
  }

  async startOver(): Promise<void> {
    await this.#sink.restart();
    this.#hash = createHash(algorithmOf(this.#blob.digest));
    this.#resumedBytes = 0;
    this.#isOnePiece = true;
  }

  /** Until the source's stream ends. Throws FetchError. */
  async receive(): Promise<void> {
    const { signal } = this.#options;
    const fromByte = this.#sink.bytesSoFar;
    const stream = await this.#source.openBlob(this.#blob, {
      fromByte,
      ...(signal === undefined ? {} : { signal }),
    });
    if (stream.fromByte !== fromByte) await this.startOver();
    else if (fromByte > 0) this.#isOnePiece = false;
    if (stream.fromByte !== this.#sink.bytesSoFar) {
      throw new FetchError(
        'FETCH_PROTOCOL',
        `${this.#source.name}: blob ${this.#blob.digest} was asked for from byte ${String(fromByte)}, and came from ${String(stream.fromByte)}`,
      );
    }
    for await (const chunk of stream.chunks) {
      signal?.throwIfAborted();
      if (this.#sink.bytesSoFar + chunk.length > this.#blob.size) {
        await this.#sink.restart();
        throw new FetchError(
          'FETCH_SIZE',
          `${this.#source.name}: blob ${this.#blob.digest} is longer than the ${String(this.#blob.size)} bytes that the manifest says`,
          { remedies: ['nothing of it was used; tell those who run the registry or mirror'] },
        );
      }
      this.#hash.update(chunk);
      await this.#sink.write(chunk);
      this.#report();
    }
    if (!this.isWhole) {
      throw new FetchError(
        'FETCH_UNREACHABLE',
        `${this.#source.name}: blob ${this.#blob.digest} ended after ${String(this.#sink.bytesSoFar)} of ${String(this.#blob.size)} bytes`,
        {
          remedies: ['try again: what came is kept, and the rest is asked for'],
          passing: { retryAfterMs: undefined },
        },
      );
    }
  }

  hasRightDigest(): boolean {
    return this.#hash.copy().digest('hex') === hexOf(this.#blob.digest);
  }

  #report(): void {
    this.#options.onProgress?.({
      blob: this.#blob,
      receivedBytes: this.#sink.bytesSoFar,
      resumedBytes: this.#resumedBytes,
    });
  }
}

/** Throws FetchError, what the sink throws, and the signal's reason. */
export async function downloadBlob(
  source: OciSource,
  blob: Descriptor,
  sink: BlobSink,
  options: DownloadOptions,
): Promise<void> {
  const transfer = new Transfer(source, blob, sink, options);
  await transfer.takeUp();
  let wrongTimes = 0;
  for (;;) {
    try {
      await receiveAll(transfer, sink, options);
    } catch (error) {
      const isTooLong = error instanceof FetchError && error.code === 'FETCH_SIZE';
      if (!isTooLong || source.distrust?.(blob) !== true) throw error;
      await transfer.startOver();
      continue;
    }
    if (transfer.hasRightDigest()) return;
    const wasOnePiece = transfer.isOnePiece;
    await transfer.startOver();
    wrongTimes += 1;
    // A second try, since the seam may be wrong; then somewhere else. Who breaks off each time gets no third one.
    if (!wasOnePiece && wrongTimes < MAX_WRONG) continue;
    wrongTimes = 0;
    if (source.distrust?.(blob) !== true) {
      throw new FetchError(
        'FETCH_DIGEST',
        `${source.name}: what came as blob ${blob.digest} has another digest`,
        { remedies: ['nothing of it was used; tell those who run the registry or mirror'] },
      );
    }
  }
}

async function receiveAll(
  transfer: Transfer,
  sink: BlobSink,
  { timing, signal }: DownloadOptions,
): Promise<void> {
  let fruitless = 0;
  for (let attempt = 1; !transfer.isWhole; attempt += 1) {
    const before = sink.bytesSoFar;
    try {
      await transfer.receive();
    } catch (error) {
      signal?.throwIfAborted();
      fruitless = sink.bytesSoFar - before >= FRUITFUL_BYTES ? 0 : fruitless + 1;
      const passing = error instanceof FetchError ? error.passing : undefined;
      if (passing === undefined || fruitless >= MAX_FRUITLESS || attempt >= MAX_ATTEMPTS)
        throw error;
      const ownMs = backOffMs(Math.max(1, fruitless), timing.random());
      await timing.sleep(Math.max(ownMs, passing.retryAfterMs ?? 0), signal);
    }
  }
}

export interface DownloadAllOptions extends DownloadOptions {
  /** At most so many at once. */
  readonly parallel: number;
  /** Opened when the download of the blob begins. */
  readonly openSink: (blob: Descriptor) => Promise<BlobSink>;
  /** After size and digest were found right; the promise of the blob waits for it. */
  readonly onBlob?: (blob: Descriptor, sink: BlobSink) => Promise<void> | void;
}

export interface Downloads {
  /** Settles when this blob is there, or when the whole is lost. */
  blob(digest: Digest): Promise<void>;
  /** All of them. Rejects with the first failure, when nothing goes on any more. */
  readonly all: Promise<void>;
}

/** Starts all, in their order; the same digest twice is one download. The first failure ends the others. */
export function downloadAll(
  source: OciSource,
  blobs: readonly Descriptor[],
  options: DownloadAllOptions,
): Downloads {
  const failed = new AbortController();
  const signal =
    options.signal === undefined ? failed.signal : AbortSignal.any([options.signal, failed.signal]);
  const queue = [...new Map(blobs.map((blob) => [blob.digest, blob])).values()];
  const waiting = new Map(
    queue.map((blob) => {
      const settled = Promise.withResolvers<undefined>();
      // Whoever asks for the blob gets the rejection; nobody has to.
      settled.promise.catch(() => undefined);
      return [blob.digest, settled];
    }),
  );
  let firstFailure: { readonly reason: unknown } | undefined;
  const fail = (reason: unknown) => {
    firstFailure ??= { reason };
    failed.abort(firstFailure.reason);
  };
  const work = async (): Promise<void> => {
    for (let blob = queue.shift(); blob !== undefined; blob = queue.shift()) {
      const settled = waiting.get(blob.digest);
      try {
        signal.throwIfAborted();
        const sink = await options.openSink(blob);
        await downloadBlob(source, blob, sink, { ...options, signal });
        await options.onBlob?.(blob, sink);
        settled?.resolve(undefined);
      } catch (error) {
        fail(error);
        settled?.reject(firstFailure?.reason ?? error);
      }
    }
  };
  const workers = Array.from({ length: Math.max(1, options.parallel) }, work);
  const all = Promise.all(workers).then(() => {
    if (firstFailure !== undefined) throw firstFailure.reason;
  });
  all.catch(() => undefined);
  return {
    all,
    blob(digest) {
      const settled = waiting.get(digest);
      if (settled === undefined) throw new Error(`${digest} is not among the downloads`);
      return settled.promise;
    },
  };
}
