/** A token server as Docker's registry wants one (docs/spec/auth/jwt.md): tokens are signed, their certificate is in them. */
import { createPrivateKey, randomUUID, sign, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server } from 'node:http';

import { type Pair } from './certificates.ts';
import { readBody } from './fake-registry.ts';

export interface TokenRequest {
  readonly method: string;
  readonly scopes: readonly string[];
  readonly user: string | undefined;
}

export const TOKEN_SERVICE = 'test registry';
export const TOKEN_ISSUER = 'test issuer';

export class TokenServer {
  readonly #server: Server;
  readonly #pair: Pair;
  /** `user:password` → what may be done to repositories; without either: what anybody may. */
  readonly grants = new Map<string | undefined, readonly string[]>();
  /** Identity tokens and whose they are. */
  readonly identities = new Map<string, string>();
  readonly requests: TokenRequest[] = [];
  lifeSeconds = 300;

  constructor(pair: Pair) {
    this.#pair = pair;
    this.#server = createServer((request, response) => {
      void this.#answer(request).then(({ status, body }) => {
        response.writeHead(status, { 'content-type': 'application/json' });
        response.end(JSON.stringify(body));
      });
    });
  }

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return this;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  get url(): string {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('not started');
    return `http://127.0.0.1:${String(address.port)}/token`;
  }

  /** For the configuration of the registry. */
  get registryConfig(): string {
    return `auth: {token: {realm: "${this.url}", service: "${TOKEN_SERVICE}", issuer: "${TOKEN_ISSUER}", rootcertbundle: ${this.#pair.cert}}}`;
  }

  async #answer(
    request: IncomingMessage,
  ): Promise<{ readonly status: number; readonly body: object }> {
    const url = new URL(request.url ?? '/', this.url);
    const form =
      request.method === 'POST'
        ? new URLSearchParams((await readBody(request)).toString())
        : url.searchParams;
    const basic = /^Basic (.*)$/.exec(request.headers.authorization ?? '')?.[1];
    const login = basic === undefined ? undefined : Buffer.from(basic, 'base64').toString();
    const identity = this.identities.get(form.get('refresh_token') ?? '');
    const user = identity ?? login?.split(':')[0];
    const allowed = this.grants.get(identity ?? login);
    const scopes = form.getAll('scope').flatMap((scope) => scope.split(' '));
    this.requests.push({ method: request.method ?? '', scopes, user });
    if (allowed === undefined) {
      const errors = [{ code: 'UNAUTHORIZED', message: 'wrong user or password' }];
      return { status: 401, body: { errors } };
    }
    const access = scopes.map((scope) => {
      const [type = '', name = '', actions = ''] = scope.split(':');
      return { type, name, actions: actions.split(',').filter((each) => allowed.includes(each)) };
    });
    return {
      status: 200,
      body: { access_token: this.#sign(user ?? '', access), expires_in: this.lifeSeconds },
    };
  }

  #sign(subject: string, access: readonly object[]): string {
    const now = Math.floor(Date.now() / 1000);
    const certificate = new X509Certificate(readFileSync(this.#pair.cert));
    const header = { typ: 'JWT', alg: 'ES256', x5c: [certificate.raw.toString('base64')] };
    const claims = {
      iss: TOKEN_ISSUER,
      sub: subject,
      aud: TOKEN_SERVICE,
      exp: now + 300,
      nbf: now - 10,
      iat: now,
      jti: randomUUID(),
      access,
    };
    const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const text = `${encode(header)}.${encode(claims)}`;
    const key = createPrivateKey(readFileSync(this.#pair.key));
    const signature = sign('sha256', Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' });
    return `${text}.${signature.toString('base64url')}`;
  }
}
