/**
 * Requests with what every one of them needs: redirects that leak nothing, further attempts where they may help, and
 * documents that end somewhere.
 */
import { FetchError } from '../../errors.ts';
import { backOffMs, parseRetryAfter } from './back-off.ts';
import { isPassingStatus, statusFailure } from './failure.ts';
import type { Timing } from '../ports.ts';
import { quote } from './quote.ts';
import type { Headers, HttpAnswer, HttpRequest, Transport } from './transport.ts';

export const MAX_DOCUMENT_BYTES = 4 * 1024 * 1024;
/** What is read of an answer that is a failure. */
const MAX_ERROR_BYTES = 16 * 1024;
const MAX_REDIRECTS = 10;
const MAX_ATTEMPTS = 5;
/** However long the other side would like us to wait. */
export const LONGEST_WAIT_MS = 60_000;

/** Headers that are for one host alone. */
const PERSONAL = new Set(['authorization', 'cookie', 'proxy-authorization']);

export interface Http {
  /**
   * One request, redirects followed. Headers with secrets only go to the host they were meant for. Answers of every status
   * come back. Throws FetchError.
   */
  send(request: HttpRequest): Promise<HttpAnswer>;
  /** The same, again after a while if the failure may pass. Requests whose repetition does no harm only. */
  sendPatiently(request: HttpRequest): Promise<HttpAnswer>;
  /** The whole body, at most `maxBytes` of it. Throws FETCH_SIZE, FETCH_TIMEOUT. */
  readDocument(answer: HttpAnswer, who: string, what: string, maxBytes?: number): Promise<Buffer>;
  /** What a bad answer becomes; its body is read, as far as it says anything. */
  failureOf(
    answer: HttpAnswer,
    context: { readonly who: string; readonly what: string; readonly user?: string | undefined },
  ): Promise<FetchError>;
}

export interface HttpOptions {
  readonly transport: Transport;
  readonly timing: Timing;
  /** Whether this URL may be asked without TLS. */
  readonly isPlainHttpAllowed: (url: URL) => boolean;
}

function protocolError(who: string, message: string): FetchError {
  return new FetchError('FETCH_PROTOCOL', `${who}: ${message}`, {
    remedies: ['tell those who run the registry or mirror'],
  });
}

function withoutPersonal(headers: Headers): Headers {
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => !PERSONAL.has(name.toLowerCase())),
  );
}

/** 303 and what browsers made of 301 and 302 matter to no request of ours but GET and HEAD. */
function isRedirect(request: HttpRequest, status: number): boolean {
  if (status === 307 || status === 308) return true;
  const isReading = request.method === 'GET' || request.method === 'HEAD';
  return isReading && (status === 301 || status === 302 || status === 303);
}

export function createHttp({ transport, timing, isPlainHttpAllowed }: HttpOptions): Http {
  const nextUrl = (from: URL, location: string | undefined, who: string): URL => {
    const url = location === undefined ? null : URL.parse(location, from.href);
    if (url === null) throw protocolError(who, `${from.host} redirects to nowhere`);
    if (url.protocol !== 'https:' && url.protocol !== 'http:') {
      throw protocolError(who, `${from.host} redirects to the scheme ${quote(url.protocol)}`);
    }
    if (url.protocol === 'http:' && from.protocol === 'https:' && !isPlainHttpAllowed(url)) {
      throw new FetchError(
        'FETCH_TLS',
        `${who}: ${from.host} redirects from https to http, to ${url.host}`,
        {
          remedies: [
            `if that host is to be trusted: a file with "plainHttp": true for ${url.host} in /etc/jetpack/registries.d`,
          ],
        },
      );
    }
    // User and password in an address would be sent as a header.
    url.username = '';
    url.password = '';
    url.hash = '';
    return url;
  };

  const send = async (request: HttpRequest): Promise<HttpAnswer> => {
    let current = request;
    for (let redirects = 0; ; redirects += 1) {
      const answer = await transport.send(current);
      if (!isRedirect(current, answer.status)) return answer;
      await answer.discard();
      if (redirects >= MAX_REDIRECTS) {
        throw protocolError(
          request.who,
          `${request.url.host} redirects more than ${String(MAX_REDIRECTS)} times`,
        );
      }
      const url = nextUrl(current.url, answer.headers['location'], request.who);
      const staysThere = url.origin === current.url.origin;
      if (!staysThere && request.stayOnHost === true) {
        throw protocolError(
          request.who,
          `${current.url.host} redirects to ${url.host}, with what is for it alone`,
        );
      }
      current = {
        ...current,
        url,
        headers: staysThere ? current.headers : withoutPersonal(current.headers),
      };
    }
  };

  const retryAfter = (answer: HttpAnswer) =>
    parseRetryAfter(answer.headers['retry-after'], timing.nowMs(), LONGEST_WAIT_MS);

  const sendPatiently = async (request: HttpRequest): Promise<HttpAnswer> => {
    for (let attempt = 1; ; attempt += 1) {
      const isLast = attempt >= MAX_ATTEMPTS;
      let waitMs = backOffMs(attempt, timing.random());
      try {
        const answer = await send(request);
        if (!isPassingStatus(answer.status) || isLast) return answer;
        waitMs = Math.max(waitMs, retryAfter(answer) ?? 0);
        await answer.discard();
      } catch (error) {
        request.signal?.throwIfAborted();
        if (!(error instanceof FetchError) || error.passing === undefined || isLast) throw error;
        waitMs = Math.max(waitMs, error.passing.retryAfterMs ?? 0);
      }
      await timing.sleep(waitMs, request.signal);
    }
  };

  const readUpTo = async (
    answer: HttpAnswer,
    maxBytes: number,
    late: () => FetchError,
  ): Promise<{ readonly bytes: Buffer; readonly isWhole: boolean }> => {
    const startMs = timing.nowMs();
    const parts: Uint8Array[] = [];
    let size = 0;
    // Leaving the loop cuts the connection.
    for await (const chunk of answer.chunks) {
      parts.push(chunk);
      size += chunk.length;
      if (size > maxBytes)
        return { bytes: Buffer.concat(parts).subarray(0, maxBytes), isWhole: false };
      if (timing.nowMs() - startMs > transport.timeouts.documentMs) throw late();
    }
    return { bytes: Buffer.concat(parts), isWhole: true };
  };

  const tooLate = (who: string, what: string) =>
    new FetchError('FETCH_TIMEOUT', `${who}: ${what} did not come to its end in time`, {
      passing: { retryAfterMs: undefined },
    });

  return {
    send,
    sendPatiently,
    async readDocument(answer, who, what, maxBytes = MAX_DOCUMENT_BYTES) {
      const { bytes, isWhole } = await readUpTo(answer, maxBytes, () => tooLate(who, what));
      if (isWhole) return bytes;
      throw new FetchError(
        'FETCH_SIZE',
        `${who}: ${what} is longer than ${String(maxBytes)} bytes (${answer.url.host})`,
        { remedies: ['nothing of it was used; tell those who run the registry or mirror'] },
      );
    },
    async failureOf(answer, { who, what, user }) {
      const { bytes } = await readUpTo(answer, MAX_ERROR_BYTES, () => tooLate(who, what)).catch(
        () => ({ bytes: Buffer.alloc(0) }),
      );
      return statusFailure({
        who,
        host: answer.url.host,
        what,
        status: answer.status,
        body: bytes.toString('utf8'),
        retryAfterMs: retryAfter(answer),
        user,
      });
    },
  };
}
