/**
 * One blob into a repository (distribution-spec, "Pushing Blobs"): not at all when it is there, mounted from a neighbour when
 * one has it, in one piece, or, when that does not work, in chunks that go on where the registry has them.
 */
import { createHash } from 'node:crypto';

import { FetchError, ImageError } from '../../errors.ts';
import { algorithmOf, type Digest, hexOf, parseDigest } from '../../formats/oci/model.ts';
import type { Scopes } from './authorizer.ts';
import { backOffMs } from './back-off.ts';
import { cutIntoChunks } from './chunks.ts';
import type { Timing } from '../ports.ts';
import type { PushableBlob } from './pushable.ts';
import { quote } from './quote.ts';
import type { Target } from './registries.ts';
import type { HttpAnswer, HttpRequest } from './transport.ts';

export type UploadOutcome = 'existing' | 'mounted' | 'sent';

export interface UploadOptions {
  readonly timing: Timing;
  readonly signal?: AbortSignal | undefined;
  /** Send all in chunks of this size from the beginning. */
  readonly chunkBytes?: number | undefined;
  /** Bytes that are on their way or there. */
  readonly onSent: (sentBytes: number) => void;
}

const MAX_ATTEMPTS = 5;
const DEFAULT_CHUNK_BYTES = 8 * 1024 * 1024;
/** However long the registry would like chunks to be: they are kept in memory. */
const MAX_CHUNK_BYTES = 128 * 1024 * 1024;
const BINARY = { 'content-type': 'application/octet-stream' };

interface Session {
  readonly url: URL;
  /** OCI-Chunk-Min-Length */
  readonly leastChunkBytes: number;
}

/** The upload is unknown to the registry by now, or at another byte than we are. */
class SessionLost extends Error {}

export class Uploader {
  readonly #target: Target;
  readonly #blob: PushableBlob;
  readonly #options: UploadOptions;
  readonly #what: string;
  readonly #scopes: Scopes;

  constructor(target: Target, blob: PushableBlob, options: UploadOptions) {
    this.#target = target;
    this.#blob = blob;
    this.#options = options;
    this.#what = `blob ${blob.descriptor.digest}`;
    this.#scopes = [`repository:${target.repository.name}:pull,push`];
  }

  /** Throws FetchError; IMAGE_DAMAGED when our own bytes are wrong. */
  async run(): Promise<UploadOutcome> {
    if (await this.#exists()) return 'existing';
    const mounted = await this.#mount();
    if (mounted === 'mounted') return 'mounted';
    let session = mounted;
    // What failed in one piece is tried in chunks: they go on, and they pass where a body must not be long.
    let inChunks = this.#options.chunkBytes !== undefined;
    for (let attempt = 1; ; attempt += 1) {
      try {
        session ??= await this.#begin();
        await (inChunks ? this.#sendChunks(session) : this.#sendWhole(session));
        return 'sent';
      } catch (error) {
        this.#options.signal?.throwIfAborted();
        // Chunks have had their attempts, each of them.
        const isFirstWay =
          !inChunks &&
          (error instanceof TooLong ||
            (error instanceof FetchError && error.passing !== undefined));
        const mayPass = error instanceof SessionLost || isFirstWay;
        if (!mayPass || attempt >= MAX_ATTEMPTS) throw toFailure(error);
        session = undefined;
        inChunks = true;
        await this.#wait(attempt, error);
      }
    }
  }

  async #wait(attempt: number, error: unknown): Promise<void> {
    const { timing, signal } = this.#options;
    const wanted = error instanceof FetchError ? (error.passing?.retryAfterMs ?? 0) : 0;
    await timing.sleep(Math.max(wanted, backOffMs(attempt, timing.random())), signal);
  }

  #send(
    method: HttpRequest['method'],
    at: string | URL,
    more: {
      readonly headers?: Readonly<Record<string, string>>;
      readonly body?: HttpRequest['body'];
      readonly scopes?: Scopes;
      readonly isPatient?: boolean;
    } = {},
  ): Promise<HttpAnswer> {
    const { signal } = this.#options;
    return this.#target.repository.send({ method, at, scopes: this.#scopes, signal, ...more });
  }

  #failureOf(answer: HttpAnswer): Promise<FetchError> {
    return this.#target.repository.failureOf(answer, this.#what);
  }

  async #exists(): Promise<boolean> {
    const answer = await this.#send('HEAD', `blobs/${this.#blob.descriptor.digest}`, {
      isPatient: true,
    });
    if (answer.status !== 200 && answer.status !== 404) throw await this.#failureOf(answer);
    await answer.discard();
    return answer.status === 200;
  }

  /** Undefined: no neighbour has it. A registry that does not do this begins an upload instead. */
  async #mount(): Promise<'mounted' | Session | undefined> {
    const { repository, ref } = this.#target;
    const own = `${ref.registry}/`;
    const neighbours = (this.#blob.origins ?? [])
      .filter((origin) => origin.startsWith(own))
      .map((origin) => origin.slice(own.length))
      .filter((name) => name !== repository.name);
    for (const from of neighbours.slice(0, 3)) {
      const query = new URLSearchParams({ mount: this.#blob.descriptor.digest, from });
      try {
        const answer = await this.#send('POST', `blobs/uploads/?${query.toString()}`, {
          headers: { 'content-length': '0' },
          scopes: [...this.#scopes, `repository:${from}:pull`],
          isPatient: true,
        });
        await answer.discard();
        if (answer.status === 201) return 'mounted';
        if (answer.status === 202) return this.#sessionOf(answer);
      } catch (error) {
        // We may not read there, or it is gone: the bytes are here anyway.
        if (!(error instanceof FetchError) || error.passing !== undefined) throw error;
      }
    }
    return undefined;
  }

  async #begin(): Promise<Session> {
    const answer = await this.#send('POST', 'blobs/uploads/', {
      headers: { 'content-length': '0' },
      isPatient: true,
    });
    if (answer.status !== 202) throw await this.#failureOf(answer);
    await answer.discard();
    return this.#sessionOf(answer);
  }

  #sessionOf(answer: HttpAnswer): Session {
    const least = Number(answer.headers['oci-chunk-min-length'] ?? 0);
    return {
      url: this.#locationOf(answer),
      leastChunkBytes: Number.isSafeInteger(least) && least > 0 ? least : 0,
    };
  }

  /** Relative or absolute; its query is the registry's and stays as it is. */
  #locationOf(answer: HttpAnswer): URL {
    const { who } = this.#target.repository;
    const text = answer.headers['location'];
    const url = text === undefined ? null : URL.parse(text, answer.url.href);
    if (url === null || !['http:', 'https:'].includes(url.protocol)) {
      throw new FetchError(
        'FETCH_PROTOCOL',
        `${who}: ${answer.url.host} begins an upload at ${quote(text ?? '')}, which is no address`,
        { remedies: ['tell those who run the registry'] },
      );
    }
    url.username = '';
    url.password = '';
    if (url.protocol === 'http:' && answer.url.protocol === 'https:') {
      // Behind a proxy that has the TLS, many registries do not know their own scheme.
      if (url.hostname !== answer.url.hostname) {
        throw new FetchError(
          'FETCH_TLS',
          `${who}: ${answer.url.host} wants the upload at ${url.host}, without TLS`,
          { remedies: ['tell those who run the registry'] },
        );
      }
      return new URL(`${url.pathname}${url.search}`, answer.url.origin);
    }
    return url;
  }

  #withDigest(url: URL): URL {
    const finished = new URL(url);
    const digest = encodeURIComponent(this.#blob.descriptor.digest);
    finished.search = `${url.search === '' ? '?' : `${url.search}&`}digest=${digest}`;
    return finished;
  }

  async #sendWhole({ url }: Session): Promise<void> {
    const { descriptor } = this.#blob;
    const answer = await this.#send('PUT', this.#withDigest(url), {
      headers: BINARY,
      body:
        descriptor.size === 0
          ? new Uint8Array()
          : { sizeBytes: descriptor.size, open: () => this.#checked() },
    });
    await this.#finish(answer);
  }

  /** Our own bytes, which must be what the descriptor says: a damaged one is not to be sent under a good name. */
  async *#checked(): AsyncGenerator<Uint8Array> {
    const { digest, size } = this.#blob.descriptor;
    const hash = createHash(algorithmOf(digest));
    let sent = 0;
    for await (const chunk of this.#blob.open()) {
      hash.update(chunk);
      sent += chunk.length;
      if (sent > size) throw damaged(digest);
      // The last piece completes the upload: it is only let go when all of it is right.
      if (sent === size && hash.copy().digest('hex') !== hexOf(digest)) throw damaged(digest);
      yield chunk;
      this.#options.onSent(sent);
    }
    if (sent !== size) throw damaged(digest);
  }

  async #sendChunks(session: Session): Promise<void> {
    const chunkBytes = Math.min(
      MAX_CHUNK_BYTES,
      Math.max(this.#options.chunkBytes ?? DEFAULT_CHUNK_BYTES, session.leastChunkBytes),
    );
    let { url } = session;
    let at = 0;
    let furthest = 0;
    let failures = 0;
    while (at < this.#blob.descriptor.size) {
      // After a failure from the beginning: what the registry has is passed over.
      for await (const chunk of cutIntoChunks(this.#checked(), chunkBytes, at)) {
        try {
          url = await this.#sendChunk(url, chunk, at);
          at += chunk.length;
          // What was there once is no progress: it may be lost each time.
          if (at > furthest) failures = 0;
          furthest = Math.max(furthest, at);
        } catch (error) {
          this.#options.signal?.throwIfAborted();
          failures += 1;
          const mayGoOn = error instanceof FetchError && error.passing !== undefined;
          if (!mayGoOn || failures >= MAX_ATTEMPTS) throw error;
          await this.#wait(failures, error);
          const status = await this.#askStatus(url);
          url = status.url;
          at = status.haveBytes;
          break;
        }
      }
    }
    const answer = await this.#send('PUT', this.#withDigest(url), {
      headers: { 'content-length': '0' },
      isPatient: true,
    });
    await this.#finish(answer);
  }

  async #sendChunk(url: URL, chunk: Uint8Array, at: number): Promise<URL> {
    const answer = await this.#send('PATCH', url, {
      headers: { ...BINARY, 'content-range': `${String(at)}-${String(at + chunk.length - 1)}` },
      body: chunk,
    });
    if (answer.status === 404 || answer.status === 416) {
      await answer.discard();
      throw new SessionLost();
    }
    if (answer.status !== 202 && answer.status !== 204) throw await this.#failureOf(answer);
    await answer.discard();
    const have = endOfRange(answer.headers['range']);
    const end = at + chunk.length;
    // One byte and none are written the same.
    if (have !== undefined && have !== end && (have > 0 || end > 1)) throw new SessionLost();
    return this.#locationOf(answer);
  }

  /** How much of it the registry has. */
  async #askStatus(url: URL): Promise<{ readonly url: URL; readonly haveBytes: number }> {
    const answer = await this.#send('GET', url, { isPatient: true });
    await answer.discard();
    const have = endOfRange(answer.headers['range']);
    if (answer.status !== 204 || have === undefined || have > this.#blob.descriptor.size) {
      throw new SessionLost();
    }
    const next = answer.headers['location'] === undefined ? url : this.#locationOf(answer);
    return { url: next, haveBytes: have };
  }

  async #finish(answer: HttpAnswer): Promise<void> {
    const { digest } = this.#blob.descriptor;
    if (answer.status === 413) {
      await answer.discard();
      throw new TooLong(
        'FETCH_SIZE',
        `${this.#target.repository.who}: ${answer.url.host} does not take as much as blob ${digest} at once`,
        { remedies: ['send it in smaller chunks: --chunk-size'] },
      );
    }
    if (answer.status === 404 || answer.status === 416) {
      await answer.discard();
      throw new SessionLost();
    }
    if (answer.status !== 201 && answer.status !== 204) throw await this.#failureOf(answer);
    await answer.discard();
    const said = answer.headers['docker-content-digest'];
    if (said === undefined || parseDigest(said) === digest) return;
    // Some registries know their blobs by another algorithm.
    const other = parseDigest(said);
    if (other !== undefined && algorithmOf(other) !== algorithmOf(digest)) return;
    throw new FetchError(
      'FETCH_DIGEST',
      `${this.#target.repository.who}: ${answer.url.host} took blob ${digest} as ${quote(said)}`,
      { remedies: ['push it again; tell those who run the registry'] },
    );
  }
}

class TooLong extends FetchError {}

function toFailure(error: unknown): unknown {
  if (!(error instanceof SessionLost)) return error;
  return new FetchError('FETCH_PROTOCOL', 'the registry forgets uploads while they go on', {
    remedies: ['several registries behind one name must share their storage'],
  });
}

function damaged(digest: Digest): ImageError {
  return new ImageError('IMAGE_DAMAGED', `what is kept as blob ${digest} has other bytes`, {
    remedies: ['look closer with: jetpack image verify'],
  });
}

/** `Range: 0-1023` is 1024 bytes; `0-0` is what registries say of an upload that has nothing yet. */
function endOfRange(header: string | undefined): number | undefined {
  const [, last] = /^(?:bytes=)?0-(\d{1,15})$/.exec(header?.trim() ?? '') ?? [];
  if (last === undefined) return undefined;
  return last === '0' ? 0 : Number(last) + 1;
}
