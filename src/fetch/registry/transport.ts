/** One HTTP request and its answer, on undici: connections, proxies, TLS and time limits. No redirects, no second attempts. */
import { Readable } from 'node:stream';

import { FetchError } from '../../errors.ts';
import { connectionFailure } from './failure.ts';
import { type Environment, findProxy } from './proxy.ts';
import type { TlsMaterial } from './tls-material.ts';
import { Agent, type Dispatcher, ProxyAgent } from './undici.ts';

export type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
export type Headers = Readonly<Record<string, string>>;

export interface StreamBody {
  readonly sizeBytes: number;
  /** From the beginning, every time. */
  readonly open: () => AsyncIterable<Uint8Array>;
}

export interface HttpRequest {
  readonly method: Method;
  readonly url: URL;
  readonly headers: Headers;
  readonly body?: string | Uint8Array | StreamBody | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Registry and repository, for messages. */
  readonly who: string;
  /** The body is a secret: it follows no redirect to another host. */
  readonly stayOnHost?: boolean;
}

export interface HttpAnswer {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** All values of a header that may come several times. */
  all(name: string): readonly string[];
  /** Where it came from. */
  readonly url: URL;
  /** Throws FetchError, also when it stalls or comes much too slowly. */
  readonly chunks: AsyncIterable<Uint8Array>;
  /** The rest is not wanted. */
  discard(): Promise<void>;
}

export interface Timeouts {
  readonly connectMs: number;
  /** From the end of the request to the end of the answer's headers. */
  readonly headersMs: number;
  /** Between two pieces of a body, in either direction. */
  readonly idleMs: number;
  /** For a whole document: a manifest, a token. */
  readonly documentMs: number;
}

export const TIMEOUTS: Timeouts = {
  connectMs: 15_000,
  headersMs: 60_000,
  idleMs: 60_000,
  documentMs: 120_000,
};

/** A body that brings less than so many bytes in `idleMs` counts as stalled: a drop now and then must not keep us for ever. */
const LEAST_BYTES = 1024;

export interface Transport {
  readonly timeouts: Timeouts;
  send(request: HttpRequest): Promise<HttpAnswer>;
  /** Idempotent; open connections are cut. */
  close(): Promise<void>;
}

export interface TransportOptions {
  readonly environment: Environment;
  readonly userAgent: string;
  readonly tlsFor: (host: string) => TlsMaterial;
  readonly nowMs: () => number;
  readonly timeouts?: Partial<Timeouts> | undefined;
}

export function createTransport(options: TransportOptions): Transport {
  const timeouts = { ...TIMEOUTS, ...options.timeouts };
  const dispatchers = new Map<string, Dispatcher>();
  const dispatcherFor = (url: URL): Dispatcher => {
    const known = dispatchers.get(url.origin);
    if (known !== undefined) return known;
    const made = createDispatcher(url, options, timeouts);
    dispatchers.set(url.origin, made);
    return made;
  };
  return {
    timeouts,
    async send(request) {
      request.signal?.throwIfAborted();
      const dispatcher = dispatcherFor(request.url);
      return exchange(dispatcher, request, options, timeouts);
    },
    async close() {
      const open = [...dispatchers.values()];
      dispatchers.clear();
      await Promise.all(open.map((dispatcher) => dispatcher.destroy()));
    },
  };
}

function createDispatcher(url: URL, options: TransportOptions, timeouts: Timeouts): Dispatcher {
  const tls = url.protocol === 'https:' ? options.tlsFor(url.host) : {};
  const connect = { ...tls, timeout: timeouts.connectMs };
  const common = { connectTimeout: timeouts.connectMs, keepAliveTimeout: 10_000 };
  const proxy = findProxy(url, options.environment);
  if (proxy === undefined) return new Agent({ ...common, connect });
  const { username, password } = proxy;
  const uri = new URL(proxy);
  uri.username = '';
  uri.password = '';
  const login = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return new ProxyAgent({
    ...common,
    uri: uri.href,
    requestTls: connect,
    proxyTls: { timeout: timeouts.connectMs },
    // As everybody else does: requests without TLS go to the proxy as they are, not through a tunnel.
    proxyTunnel: url.protocol === 'https:',
    ...(username === '' ? {} : { token: `Basic ${Buffer.from(login, 'utf8').toString('base64')}` }),
  });
}

async function exchange(
  dispatcher: Dispatcher,
  request: HttpRequest,
  { userAgent, nowMs }: TransportOptions,
  timeouts: Timeouts,
): Promise<HttpAnswer> {
  const { method, url, who } = request;
  const abort = new AbortController();
  const signal =
    request.signal === undefined ? abort.signal : AbortSignal.any([request.signal, abort.signal]);
  const toError = (error: unknown): unknown => {
    // What our own side threw while a body was read from it is no failure of the connection.
    if (abort.signal.aborted) return abort.signal.reason;
    if (request.signal?.aborted === true) return request.signal.reason;
    return connectionFailure(who, url.host, error);
  };
  const { body, headers } = outgoing(request, timeouts, abort);
  let answer: Dispatcher.ResponseData;
  try {
    answer = await dispatcher.request({
      origin: url.origin,
      path: `${url.pathname}${url.search}`,
      method,
      headers: { ...request.headers, ...headers, 'user-agent': userAgent },
      body,
      signal,
      headersTimeout: timeouts.headersMs,
      bodyTimeout: timeouts.idleMs,
    });
  } catch (error) {
    throw toError(error);
  }
  const values = answer.headers;
  return {
    status: answer.statusCode,
    headers: Object.fromEntries(
      Object.entries(values).map(([name, value]) => [
        name.toLowerCase(),
        Array.isArray(value) ? value.join(', ') : value,
      ]),
    ),
    all(name) {
      const value = values[name];
      return value === undefined ? [] : Array.isArray(value) ? value : [value];
    },
    url,
    chunks: incoming(answer.body, timeouts.idleMs, nowMs, toError, () =>
      stalled(who, url.host, 'what comes is too slow'),
    ),
    async discard() {
      // A small rest is read, so that the connection can be used again; else it is cut.
      await answer.body.dump({ limit: 16 * 1024 }).catch(() => undefined);
    },
  };
}

function stalled(who: string, host: string, what: string): FetchError {
  return new FetchError('FETCH_TIMEOUT', `${who}: ${what} (${host})`, {
    passing: { retryAfterMs: undefined },
    remedies: ['try again later'],
  });
}

function outgoing(
  { body, who, url }: HttpRequest,
  timeouts: Timeouts,
  abort: AbortController,
): { readonly body: string | Uint8Array | Readable | null; readonly headers: Headers } {
  if (body === undefined) return { body: null, headers: {} };
  if (typeof body === 'string') return { body, headers: {} };
  if (body instanceof Uint8Array && body.length <= PIECE_BYTES) return { body, headers: {} };
  const pieces = body instanceof Uint8Array ? inPieces(body) : body;
  const stream = Readable.from(
    watched(pieces, timeouts.idleMs, abort, () => stalled(who, url.host, 'it takes no more bytes')),
    { objectMode: false, highWaterMark: 256 * 1024 },
  );
  return { body: stream, headers: { 'content-length': String(pieces.sizeBytes) } };
}

const PIECE_BYTES = 64 * 1024;

function inPieces(bytes: Uint8Array): StreamBody {
  return {
    sizeBytes: bytes.length,
    async *open() {
      for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
        yield await Promise.resolve(bytes.subarray(at, at + PIECE_BYTES));
      }
    },
  };
}

/** Whoever sends has no time limit of undici's for a receiver that has stopped to read. */
async function* watched(
  body: StreamBody,
  idleMs: number,
  abort: AbortController,
  late: () => FetchError,
): AsyncGenerator<Uint8Array> {
  let timer: NodeJS.Timeout | undefined;
  try {
    for await (const chunk of body.open()) {
      timer = setTimeout(() => abort.abort(late()), idleMs);
      yield chunk;
      clearTimeout(timer);
    }
  } catch (error) {
    abort.abort(error);
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

async function* incoming(
  body: AsyncIterable<unknown>,
  idleMs: number,
  nowMs: () => number,
  toError: (error: unknown) => unknown,
  late: () => FetchError,
): AsyncGenerator<Uint8Array> {
  let windowStartMs = nowMs();
  let windowBytes = 0;
  try {
    for await (const chunk of body as AsyncIterable<Uint8Array>) {
      windowBytes += chunk.length;
      const waitedFrom = nowMs();
      if (waitedFrom - windowStartMs > idleMs) {
        if (windowBytes < LEAST_BYTES) throw late();
        windowStartMs = waitedFrom;
        windowBytes = 0;
      }
      yield chunk;
      // The time that our own side took is not the sender's.
      windowStartMs += nowMs() - waitedFrom;
    }
  } catch (error) {
    throw error instanceof FetchError ? error : toError(error);
  }
}
