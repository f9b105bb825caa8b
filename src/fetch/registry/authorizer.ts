/**
 * Answers to the challenges of a registry: nothing, Basic, or Bearer with a token that is fetched from the realm that the
 * challenge names (distribution, docs/spec/auth/token.md and oauth.md). One for each endpoint; tokens are kept for their
 * life, by what they are good for.
 */
import { FetchError } from '../../errors.ts';
import { isRecord } from '../../schema/appc.ts';
import { type Challenge, parseChallenges } from './challenge.ts';
import { basicHeader, type Credential, userOf } from '../auth/credential.ts';
import type { Http } from './http.ts';
import { isLoopbackHost } from './loopback.ts';
import { quote } from './quote.ts';
import type { HttpAnswer } from './transport.ts';

/** `repository:library/alpine:pull,push`, sorted and without repetition. */
export type Scopes = readonly string[];

export interface Authorizer {
  /** What we say without being asked, since we were asked before; undefined: nothing. */
  headerFor(scopes: Scopes, signal?: AbortSignal): Promise<string | undefined>;
  /**
   * After a 401: whether there is something to say now that was not said before. `said` is the header of the request that
   * was refused.
   */
  learn(
    answer: HttpAnswer,
    scopes: Scopes,
    said: string | undefined,
    signal?: AbortSignal,
  ): Promise<boolean>;
  /** For messages; undefined: nobody. */
  readonly user: string | undefined;
}

export interface AuthorizerOptions {
  readonly http: Http;
  /** Registry and repository, for messages. */
  readonly who: string;
  readonly origin: URL;
  readonly findCredential: () => Promise<Credential | undefined>;
  readonly nowMs: () => number;
}

const MAX_TOKEN_ANSWER_BYTES = 256 * 1024;
/** token.md: what a token that says nothing is good for. */
const SHORTEST_LIFE_S = 60;
/** A token is not used in its last moments. */
const MARGIN_MS = 10_000;

/** Scopes for the same thing become one, with the actions of all. */
export function mergeScopes(...lists: readonly Scopes[]): Scopes {
  const actions = new Map<string, Set<string>>();
  for (const scope of lists.flat()) {
    const at = scope.lastIndexOf(':');
    const of = actions.get(scope.slice(0, at)) ?? new Set<string>();
    for (const action of scope.slice(at + 1).split(',')) of.add(action);
    actions.set(scope.slice(0, at), of);
  }
  return [...actions].map(([thing, of]) => `${thing}:${[...of].sort().join(',')}`).sort();
}

type Method =
  | { readonly kind: 'basic' }
  | {
      readonly kind: 'bearer';
      readonly realm: URL;
      readonly service: string | undefined;
      /** What the challenge wanted beyond what we asked for. */
      readonly scopes: Scopes;
    };

interface Token {
  readonly header: string;
  readonly expiresMs: number;
}

export function createAuthorizer(options: AuthorizerOptions): Authorizer {
  const { http, who, origin, nowMs } = options;
  let method: Method | undefined;
  let credential: Credential | undefined;
  let user: string | undefined;
  const tokens = new Map<string, Token>();
  const underWay = new Map<string, Promise<Token>>();

  const parseRealm = (text: string | undefined): URL => {
    const realm = text === undefined ? null : URL.parse(text);
    if (realm === null || !['http:', 'https:'].includes(realm.protocol)) {
      throw new FetchError(
        'FETCH_PROTOCOL',
        `${who}: ${origin.host} wants a token from ${quote(text ?? '')}, which is no address`,
      );
    }
    // A password that goes to the realm in the clear would be everybody's.
    const isPlainAllowed = origin.protocol === 'http:' || isLoopbackHost(realm.hostname);
    if (realm.protocol === 'http:' && !isPlainAllowed) {
      throw new FetchError(
        'FETCH_TLS',
        `${who}: ${origin.host} wants a token from ${realm.host}, without TLS`,
        { remedies: ['tell those who run the registry'] },
      );
    }
    realm.username = '';
    realm.password = '';
    return realm;
  };

  const chooseMethod = (challenges: readonly Challenge[]): Method | undefined => {
    const bearer = challenges.find(({ scheme }) => scheme === 'bearer');
    if (bearer !== undefined) {
      const { realm, service, scope } = bearer.parameters;
      const wanted = (scope ?? '').split(' ').filter((text) => text.includes(':'));
      return { kind: 'bearer', realm: parseRealm(realm), service, scopes: wanted };
    }
    return challenges.some(({ scheme }) => scheme === 'basic') ? { kind: 'basic' } : undefined;
  };

  const requestToken = async (
    { realm, service }: Extract<Method, { kind: 'bearer' }>,
    scopes: Scopes,
    signal: AbortSignal | undefined,
  ): Promise<Token> => {
    const what = `a token for ${scopes.join(' ')}`;
    const url = new URL(realm);
    const base = { who, ...(signal === undefined ? {} : { signal }) };
    let answer: HttpAnswer;
    if (credential?.kind === 'identity-token') {
      const form = new URLSearchParams({
        grant_type: 'refresh_token',
        client_id: 'jetpack',
        refresh_token: credential.token,
        scope: scopes.join(' '),
        ...(service === undefined ? {} : { service }),
      });
      answer = await http.sendPatiently({
        ...base,
        method: 'POST',
        url,
        headers: {
          'content-type': 'application/x-www-form-urlencoded',
          accept: 'application/json',
        },
        body: form.toString(),
        stayOnHost: true,
      });
    } else {
      if (service !== undefined) url.searchParams.set('service', service);
      for (const scope of scopes) url.searchParams.append('scope', scope);
      if (credential !== undefined) url.searchParams.set('account', credential.user);
      answer = await http.sendPatiently({
        ...base,
        method: 'GET',
        url,
        headers: {
          accept: 'application/json',
          ...(credential === undefined
            ? {}
            : { authorization: basicHeader(credential.user, credential.password) }),
        },
      });
    }
    if (answer.status !== 200) throw await http.failureOf(answer, { who, what, user });
    const bytes = await http.readDocument(answer, who, what, MAX_TOKEN_ANSWER_BYTES);
    return parseToken(bytes, realm);
  };

  const parseToken = (bytes: Buffer, realm: URL): Token => {
    let value: unknown;
    try {
      value = JSON.parse(bytes.toString('utf8'));
    } catch {
      // The parser's words would have a piece of the token in them.
      value = undefined;
    }
    const fields = isRecord(value) ? value : {};
    const token = [fields['token'], fields['access_token']].find(
      (text): text is string => typeof text === 'string' && text !== '',
    );
    const life = fields['expires_in'];
    if (token === undefined || !/^[\x21-\x7e]+$/.test(token)) {
      throw new FetchError('FETCH_PROTOCOL', `${who}: what ${realm.host} answers is no token`, {
        remedies: ['tell those who run the registry'],
      });
    }
    const lifeS = Math.max(SHORTEST_LIFE_S, typeof life === 'number' ? life : 0);
    return { header: `Bearer ${token}`, expiresMs: nowMs() + lifeS * 1000 - MARGIN_MS };
  };

  /** The same token for all who ask at the same time. */
  const tokenFor = (
    bearer: Extract<Method, { kind: 'bearer' }>,
    scopes: Scopes,
    signal: AbortSignal | undefined,
  ): Promise<Token> => {
    const key = scopes.join(' ');
    const known = tokens.get(key);
    if (known !== undefined && known.expiresMs > nowMs()) return Promise.resolve(known);
    const running = underWay.get(key);
    if (running !== undefined) return running;
    const request = requestToken(bearer, scopes, signal)
      .then((token) => {
        tokens.set(key, token);
        return token;
      })
      .finally(() => underWay.delete(key));
    underWay.set(key, request);
    return request;
  };

  return {
    get user() {
      return user;
    },
    async headerFor(scopes, signal) {
      if (method === undefined) return undefined;
      if (method.kind === 'bearer') {
        const wanted = mergeScopes(
          scopes,
          method.scopes.filter((scope) => isAbout(scope, scopes)),
        );
        return (await tokenFor(method, wanted, signal)).header;
      }
      return credential?.kind === 'password'
        ? basicHeader(credential.user, credential.password)
        : undefined;
    },
    async learn(answer, scopes, said, signal) {
      const challenges = answer.all('www-authenticate').flatMap(parseChallenges);
      const chosen = chooseMethod(challenges);
      if (chosen === undefined) return false;
      credential ??= await options.findCredential();
      user = credential === undefined ? undefined : userOf(credential);
      method = chosen;
      if (chosen.kind === 'bearer') {
        // The one that was refused is no good any more; one that somebody else has fetched since may be.
        for (const [key, token] of tokens) if (token.header === said) tokens.delete(key);
        return (await this.headerFor(scopes, signal)) !== said;
      }
      if (credential?.kind === 'identity-token') {
        throw new FetchError(
          'FETCH_CREDENTIALS',
          `${who}: ${origin.host} wants user and password, but there is only an identity token`,
          { remedies: ['log in again with user and password'] },
        );
      }
      return credential !== undefined && said === undefined;
    },
  };
}

/** Whether a scope is about one of the things that we want: the challenge of one repository is not that of another. */
function isAbout(scope: string, scopes: Scopes): boolean {
  const thing = (text: string) => text.slice(0, text.lastIndexOf(':'));
  return scopes.some((wanted) => thing(wanted) === thing(scope));
}
