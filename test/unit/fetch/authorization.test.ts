import type { IncomingMessage } from 'node:http';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { FetchError } from '../../../src/errors.ts';
import { parseDockerRef } from '../../../src/fetch/docker-ref.ts';
import type { RegistrySource } from '../../../src/fetch/source.ts';
import { FAULTS, FakeRegistry, readBody } from '../../support/fake-registry.ts';
import { type TestClient, testClient } from '../../support/registry-client.ts';
import { TestFolder } from '../../support/test-folder.ts';

const AMD64 = { os: 'linux', architecture: 'amd64' };
const folder = new TestFolder();
let registry: FakeRegistry;
let source: RegistrySource | undefined;

beforeEach(async () => {
  registry = await new FakeRegistry().start();
  registry.addImage('team/app', '1');
});

afterEach(async () => {
  await source?.close();
  source = undefined;
  await registry.stop();
  folder.remove();
});

function openSource(client: TestClient): RegistrySource {
  source = client.registries.openSource(parseDockerRef(`${registry.host}/team/app:1`));
  return source;
}

function clientOf(auths: object, nowMs?: () => number): TestClient {
  const dir = folder.json({ 'auth.json': { auths: { [registry.host]: auths } } });
  const client = testClient({ environment: { REGISTRY_AUTH_FILE: `${dir}/auth.json` } });
  if (nowMs === undefined) return client;
  return testClient({
    environment: client.ports.environment,
    timing: { ...client.ports.timing, nowMs },
  });
}

const LOGIN = { auth: Buffer.from('me:top secret').toString('base64') };
const BASIC = `Basic ${LOGIN.auth}`;

/** A token server at /token: tokens are `t1`, `t2`, …; what was asked for is written down. */
function serveTokens(life: object = { expires_in: 300 }): { readonly asked: URLSearchParams[] } {
  const asked: URLSearchParams[] = [];
  registry.authorization = {
    challenge: `Bearer realm="${registry.url}/token",service="the service",scope="repository:team/app:pull"`,
    accepts: (said) => said === `Bearer t${String(asked.length)}` && asked.length > 0,
  };
  registry.onToken = (request, response) => {
    asked.push(new URL(request.url ?? '', registry.url).searchParams);
    response.end(JSON.stringify({ token: `t${String(asked.length)}`, ...life }));
  };
  return { asked };
}

async function failureOf(work: Promise<unknown>): Promise<FetchError> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(FetchError);
  return error as FetchError;
}

const tokenRequests = () => registry.seen.filter(({ line }) => line.includes('/token'));

describe('a registry that wants Basic', () => {
  it('gets user and password once it asks, and only then', async () => {
    registry.authorization = { challenge: 'Basic realm="x"', accepts: (said) => said === BASIC };
    await openSource(clientOf(LOGIN)).resolve(AMD64);
    const said = registry.seen
      .filter(({ line }) => line.includes('team'))
      .map(({ headers }) => headers.authorization);
    expect(said[0]).toBeUndefined();
    expect(said.slice(1).every((each) => each === BASIC)).toBe(true);
  });

  it('that refuses them is not asked again and again', async () => {
    registry.authorization = { challenge: 'Basic realm="x"', accepts: () => false };
    const failure = await failureOf(openSource(clientOf(LOGIN)).resolve(AMD64));
    expect(failure.code).toBe('FETCH_UNAUTHORIZED');
    expect(failure.message).toContain('as "me"');
    expect(registry.lines.filter((line) => line.includes('manifests'))).toHaveLength(2);
  });

  it('without credentials is an error that tells where they go', async () => {
    registry.authorization = { challenge: 'Basic realm="x"', accepts: () => false };
    const failure = await failureOf(openSource(testClient()).resolve(AMD64));
    expect(failure.message).toContain('without credentials');
    expect(failure.message).toContain('UNAUTHORIZED: "who are you?"');
    expect(failure.remedies.join()).toContain('auth.d');
  });

  it('cannot do with an identity token', async () => {
    registry.authorization = { challenge: 'Basic realm="x"', accepts: () => false };
    const failure = await failureOf(openSource(clientOf({ identitytoken: 'id' })).resolve(AMD64));
    expect(failure.code).toBe('FETCH_CREDENTIALS');
  });
});

describe('a registry that wants a token', () => {
  it('gets one that anybody gets', async () => {
    const { asked } = serveTokens();
    await openSource(testClient()).resolve(AMD64);
    expect(asked).toHaveLength(1);
    expect(Object.fromEntries(asked[0] ?? [])).toEqual({
      service: 'the service',
      scope: 'repository:team/app:pull',
    });
    expect(tokenRequests()[0]?.headers.authorization).toBeUndefined();
  });

  it('gets one for user and password, which the registry itself never sees', async () => {
    serveTokens();
    await openSource(clientOf(LOGIN)).resolve(AMD64);
    expect(tokenRequests()[0]?.headers.authorization).toBe(BASIC);
    expect(tokenRequests()[0]?.line).toContain('account=me');
    const others = registry.seen.filter(({ line }) => !line.includes('/token'));
    expect(others.some(({ headers }) => headers.authorization === BASIC)).toBe(false);
  });

  it('gets one for an identity token, in the body of a POST', async () => {
    serveTokens();
    let form = '';
    registry.authorization = {
      challenge: registry.authorization?.challenge ?? '',
      accepts: (said) => said === 'Bearer fresh',
    };
    registry.onToken = (request: IncomingMessage, response) => {
      void readBody(request).then((body) => {
        form = body.toString();
        response.end(JSON.stringify({ access_token: 'fresh', expires_in: 60 }));
      });
    };
    await openSource(clientOf({ identitytoken: 'id & secret' })).resolve(AMD64);
    expect(tokenRequests()[0]?.line).toBe('POST /token');
    expect(Object.fromEntries(new URLSearchParams(form))).toEqual({
      grant_type: 'refresh_token',
      client_id: 'jetpack',
      refresh_token: 'id & secret',
      service: 'the service',
      scope: 'repository:team/app:pull',
    });
  });

  it('does not get an identity token sent on to another host', async () => {
    serveTokens();
    registry.onToken = FAULTS.redirect(() => 'http://127.0.0.2:1/steal');
    const failure = await failureOf(openSource(clientOf({ identitytoken: 'id' })).resolve(AMD64));
    expect(failure.code).toBe('FETCH_PROTOCOL');
  });

  it('gets the same as long as it lives, and then a new one', async () => {
    let now = 1_000_000_000;
    const { asked } = serveTokens({ expires_in: 100 });
    const client = clientOf(LOGIN, () => now);
    const opened = openSource(client);
    await opened.resolve(AMD64);
    now += 80_000;
    await opened.resolve(AMD64);
    expect(asked).toHaveLength(1);
    now += 15_000;
    await opened.resolve(AMD64);
    expect(asked).toHaveLength(2);
  });

  it('may be without a life of its own: then it is short', async () => {
    let now = 1_000_000_000;
    const { asked } = serveTokens({});
    const opened = openSource(clientOf(LOGIN, () => now));
    await opened.resolve(AMD64);
    now += 55_000;
    await opened.resolve(AMD64);
    expect(asked).toHaveLength(2);
  });

  it('may refuse a token in the middle: it gets another, once', async () => {
    const { asked } = serveTokens();
    const opened = openSource(testClient());
    await opened.resolve(AMD64);
    const challenge = registry.authorization?.challenge ?? '';
    registry.authorization = { challenge, accepts: (said) => said === 'Bearer t2' };
    await opened.resolve(AMD64);
    expect(asked).toHaveLength(2);
    registry.authorization = { challenge, accepts: () => false };
    const failure = await failureOf(opened.resolve(AMD64));
    expect(failure.code).toBe('FETCH_UNAUTHORIZED');
    expect(asked).toHaveLength(3);
  });

  it('is asked by all who need one at the same time, once', async () => {
    const { asked } = serveTokens();
    const opened = openSource(testClient());
    await opened.resolve(AMD64);
    await Promise.all(Array.from({ length: 5 }, () => opened.resolve(AMD64)));
    expect(asked).toHaveLength(1);
  });

  it.each([
    ['no JSON', 'oops t0ken', 'FETCH_PROTOCOL'],
    ['no token', '{"secret":"t0ken"}', 'FETCH_PROTOCOL'],
    ['a token that would be two headers', '{"token":"t0ken\\r\\nX: y"}', 'FETCH_PROTOCOL'],
  ])('that answers with %s fails, and nothing of it is repeated', async (_name, body, code) => {
    serveTokens();
    registry.onToken = FAULTS.status(200, {}, body);
    const failure = await failureOf(openSource(testClient()).resolve(AMD64));
    expect(failure.code).toBe(code);
    expect(`${failure.message}${String(failure.cause)}`).not.toContain('t0ken');
  });

  it('whose token never ends is given up', async () => {
    serveTokens();
    registry.onToken = FAULTS.endless();
    expect((await failureOf(openSource(testClient()).resolve(AMD64))).code).toBe('FETCH_SIZE');
  });

  it('that denies a token tells why', async () => {
    serveTokens();
    registry.onToken = FAULTS.status(
      401,
      {},
      '{"errors":[{"code":"DENIED","message":"bad login"}]}',
    );
    const failure = await failureOf(openSource(clientOf(LOGIN)).resolve(AMD64));
    expect(failure.code).toBe('FETCH_UNAUTHORIZED');
    expect(failure.message).toContain('bad login');
    expect(failure.message).not.toContain('secret');
  });

  it.each(['', 'nonsense', 'ftp://example.com/token'])('from %j is refused', async (realm) => {
    registry.authorization = { challenge: `Bearer realm="${realm}"`, accepts: () => false };
    expect((await failureOf(openSource(testClient()).resolve(AMD64))).code).toBe('FETCH_PROTOCOL');
  });

  it('a challenge of an unknown kind is told as what it is', async () => {
    registry.authorization = { challenge: 'Negotiate', accepts: () => false };
    expect((await failureOf(openSource(clientOf(LOGIN)).resolve(AMD64))).code).toBe(
      'FETCH_UNAUTHORIZED',
    );
  });
});
