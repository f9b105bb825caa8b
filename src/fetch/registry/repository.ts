/** One repository at one endpoint: its requests, authorised as the registry wants them. */
import { FetchError } from '../../errors.ts';
import { type Authorizer, createAuthorizer, type Scopes } from './authorizer.ts';
import type { Credentials } from '../auth/credentials.ts';
import type { Http } from './http.ts';
import type { Endpoint } from './registry-settings.ts';
import { isNotTls } from './failure.ts';
import type { Headers, HttpAnswer, HttpRequest, Method } from './transport.ts';

export interface RepositoryRequest {
  readonly method: Method;
  /** Below `/v2/<repository>/`, or an absolute URL that the registry gave. */
  readonly at: string | URL;
  readonly headers?: Headers;
  readonly body?: HttpRequest['body'];
  /** Default: to read this repository. */
  readonly scopes?: Scopes;
  readonly signal?: AbortSignal | undefined;
  /** Try again where that may help. Only where a repetition does no harm. */
  readonly isPatient?: boolean;
}

export interface Repository {
  readonly endpoint: Endpoint;
  /** With what goes before it there. */
  readonly name: string;
  /** For messages: `docker.io/library/alpine`, and which mirror. */
  readonly who: string;
  /** Any answer, but 401 only after every credential there is was tried. Throws FetchError. */
  send(request: RepositoryRequest): Promise<HttpAnswer>;
  /** What a bad answer becomes. `what`: `the manifest 3.20`. */
  failureOf(answer: HttpAnswer, what: string): Promise<FetchError>;
  /** Where it is: decided once, where TLS may be lacking. */
  origin(signal?: AbortSignal): Promise<URL>;
}

export interface RepositoryOptions {
  readonly endpoint: Endpoint;
  /** As the reference has it. */
  readonly registry: string;
  readonly repository: string;
  readonly http: Http;
  readonly credentials: Credentials;
  readonly nowMs: () => number;
}

export function createRepository(options: RepositoryOptions): Repository {
  const { endpoint, http, credentials, nowMs } = options;
  const name = `${endpoint.prefix}${options.repository}`;
  const mirror = endpoint.isMirror ? ` (mirror ${endpoint.place})` : '';
  const who = `${options.registry}/${options.repository}${mirror}`;
  let origin: Promise<URL> | undefined;
  let authorizer: Authorizer | undefined;

  const findOrigin = async (signal: AbortSignal | undefined): Promise<URL> => {
    if (!endpoint.mayLackTls) return endpoint.origin;
    try {
      const url = new URL('/v2/', endpoint.origin);
      const answer = await http.send({ method: 'GET', url, headers: {}, who, signal });
      await answer.discard();
      return endpoint.origin;
    } catch (error) {
      signal?.throwIfAborted();
      const isWithout =
        error instanceof FetchError &&
        (error.code === 'FETCH_UNREACHABLE' || (error.code === 'FETCH_TLS' && isNotTls(error)));
      if (!isWithout) throw error;
      const plain = new URL(endpoint.origin);
      plain.protocol = 'http:';
      return plain;
    }
  };

  const getOrigin = (signal?: AbortSignal): Promise<URL> => {
    origin ??= findOrigin(signal).catch((error: unknown) => {
      origin = undefined;
      throw error;
    });
    return origin;
  };

  return {
    endpoint,
    name,
    who,
    origin: getOrigin,
    async send({ method, at, headers = {}, body, signal, isPatient = false, ...rest }) {
      const scopes = rest.scopes ?? [`repository:${name}:pull`];
      const base = await getOrigin(signal);
      const own = (authorizer ??= createAuthorizer({
        http,
        who,
        origin: base,
        findCredential: () => credentials.find(`${endpoint.place}/${options.repository}`),
        nowMs,
      }));
      const url = typeof at === 'string' ? new URL(`/v2/${name}/${at}`, base) : at;
      // An upload may go on at another host (Location): what we say is for the registry alone.
      const isHome = url.origin === base.origin;
      const attempt = async () => {
        const said = isHome ? await own.headerFor(scopes, signal) : undefined;
        const request: HttpRequest = {
          method,
          url,
          headers: said === undefined ? headers : { ...headers, authorization: said },
          body,
          signal,
          who,
        };
        return { answer: await (isPatient ? http.sendPatiently : http.send)(request), said };
      };
      const first = await attempt();
      // A challenge of the store that we were redirected to is none of the registry's.
      if (first.answer.status !== 401 || first.answer.url.origin !== base.origin)
        return first.answer;
      if (!(await own.learn(first.answer, scopes, first.said, signal))) return first.answer;
      await first.answer.discard();
      return (await attempt()).answer;
    },
    failureOf(answer, what) {
      return http.failureOf(answer, { who, what, user: authorizer?.user });
    },
  };
}
