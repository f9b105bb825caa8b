import { randomBytes } from 'node:crypto';
import { chmodSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

import { handle, mergeAnnotations, type Answer, type Head } from '../../../src/mds/handler.ts';
import { createPodSource, type PodSource } from '../../../src/mds/pod-view.ts';
import { createSigner } from '../../../src/mds/signer.ts';
import {
  createMetadataStore,
  IMAGE,
  IMAGE_MANIFEST,
  podManifest,
  type MetadataStore,
} from '../../support/metadata-store.ts';

const UUID = '01234567-89ab-4def-8123-456789abcdef';
const OTHER = '11111111-89ab-4def-8123-456789abcdef';
const TEXT = 'text/plain; charset=us-ascii';
const FORM = 'application/x-www-form-urlencoded';

let store: MetadataStore;
let pods: PodSource;
let token: string;
let clock = 0;
const complaints: string[] = [];
const signer = createSigner(randomBytes(64));

function ask(target: string, more: Partial<Head> = {}, body = ''): Answer {
  const ports = {
    pods,
    signer,
    info: () => ({ pods: pods.count() }),
    complain: (message: string) => complaints.push(message),
  };
  const head = { method: 'GET', target, contentType: undefined, remote: '127.0.0.2', ...more };
  const { answer } = handle(ports, head);
  return typeof answer === 'function' ? answer(Buffer.from(body)) : answer;
}

const url = (rest: string) => `/${token}/acMetadata/v1/${rest}`;
const post = (rest: string, body: string, contentType: string | undefined = FORM) =>
  ask(url(rest), { method: 'POST', contentType }, body);
const text = ({ body }: Answer) => body.toString('latin1');

beforeAll(() => {
  store = createMetadataStore();
  store.addImage(IMAGE, IMAGE_MANIFEST);
});
afterAll(() => store.remove());
beforeEach(() => {
  pods = createPodSource(store, () => clock);
  clock = 0;
  complaints.length = 0;
  token = store.addPod(UUID);
});

describe('the endpoints of appc', () => {
  it('answer with the exact content types', () => {
    const manifest = readFileSync(path.join(store.pods, UUID, 'manifest'), 'utf8');
    const wanted: readonly (readonly [string, string, string])[] = [
      ['pod/annotations', 'application/json', '[{"name":"ip","value":"10.1.2.3"}]'],
      ['pod/manifest', 'application/json', manifest],
      ['pod/uuid', TEXT, UUID],
      [
        'apps/web/annotations',
        'application/json',
        '[{"name":"authors","value":"somebody"},{"name":"tier","value":"front"}]',
      ],
      ['apps/web/image/manifest', 'application/json', IMAGE_MANIFEST],
      ['apps/web/image/id', TEXT, IMAGE],
    ];
    for (const [path_, type, body] of wanted) {
      const answer = ask(url(path_));
      expect([path_, answer.status, answer.type, text(answer)]).toEqual([path_, 200, type, body]);
      expect(ask(url(path_), { method: 'HEAD' }).status).toBe(200);
      expect(ask(`http://metadata:1104${url(path_)}?x=1#y`).status).toBe(200);
    }
  });

  it('give an empty list where there are no annotations', () => {
    token = store.addPod(UUID, { apps: [{ name: 'web', image: { id: IMAGE } }] });
    expect(text(ask(url('pod/annotations')))).toBe('[]');
  });

  it('sign, and verify for every pod, also one that is gone', () => {
    const signed = post('pod/hmac/sign', 'content=a%00b');
    expect([signed.status, signed.type]).toEqual([200, TEXT]);
    const signature = encodeURIComponent(text(signed));
    const form = (id: string) => `content=a%00b&uuid=${id}&signature=${signature}`;
    const other = store.addPod(OTHER);
    rmSync(path.join(store.pods, UUID), { recursive: true });
    token = other;
    expect(post('pod/hmac/verify', form(UUID)).status).toBe(200);
    expect(post('pod/hmac/verify', form(UUID.toUpperCase())).status).toBe(200);
    const wrong = post('pod/hmac/verify', form(OTHER));
    expect([wrong.status, wrong.type, text(wrong)]).toEqual([
      403,
      TEXT,
      'the signature is not of this pod and content\n',
    ]);
  });

  it('let what the pod says win over the image', () => {
    const list = (...names: readonly string[]) => names.map((name) => ({ name, value: name }));
    expect(mergeAnnotations(list('a', 'b'), [{ name: 'a', value: 'x' }, ...list('c')])).toEqual([
      { name: 'a', value: 'x' },
      { name: 'b', value: 'b' },
      { name: 'c', value: 'c' },
    ]);
  });
});

describe('a wrong request', () => {
  const cases: readonly (readonly [string, () => Answer, number, string])[] = [
    ['no token', () => ask('/acMetadata/v1/pod/uuid'), 401, 'the URL has no token of a pod'],
    ['an empty one', () => ask('//acMetadata/v1/pod/uuid'), 401, 'the URL has no token of a pod'],
    ['the uuid as token', () => ask(`/${UUID}/acMetadata/v1/pod/uuid`), 401, 'the URL has no'],
    ['nothing at all', () => ask(''), 401, 'the URL has no token of a pod'],
    ['a star', () => ask('*', { method: 'OPTIONS' }), 401, 'the URL has no token of a pod'],
    [
      'a token with a wrong end',
      () => ask(`/${token.slice(0, -1)}${token.endsWith('A') ? 'B' : 'A'}/acMetadata/v1/pod/uuid`),
      401,
      'the URL has no token of a pod',
    ],
    ['no endpoint', () => ask(`/${token}`), 404, 'metadata is below /acMetadata/v1/'],
    ['another version', () => ask(`/${token}/acMetadata/v2/pod/uuid`), 404, 'metadata is below'],
    ['an unknown endpoint', () => ask(url('pod/secrets')), 404, 'there is no such metadata'],
    ['a slash too many', () => ask(url('pod/uuid/')), 404, 'there is no such metadata'],
    ['an unknown app', () => ask(url('apps/db/image/id')), 404, 'this pod has no such app'],
    ['a path as app', () => ask(url('apps/../image/id')), 404, 'this pod has no such app'],
    ['a property as app', () => ask(url('apps/__proto__/annotations')), 404, 'this pod has no'],
    ['POST of what is read', () => post('pod/uuid', ''), 405, 'this method is not for this'],
    ['GET of what is posted', () => ask(url('pod/hmac/sign')), 405, 'this method is not for'],
    [
      'a body of another type',
      () => post('pod/hmac/sign', 'x', 'text/plain'),
      415,
      'the body must',
    ],
    ['a multipart body', () => post('pod/hmac/sign', 'x', 'multipart/form-data; b=1'), 415, 'the'],
    ['a form without content', () => post('pod/hmac/sign', 'x=1'), 400, 'the form has no field'],
    ['a malformed form', () => post('pod/hmac/sign', 'content=%z'), 400, 'a "%" in the form'],
    ['no uuid', () => post('pod/hmac/verify', 'content=1&signature=2'), 400, 'the form has no'],
    [
      'a malformed uuid',
      () => post('pod/hmac/verify', 'content=1&signature=2&uuid=3'),
      400,
      'the field "uuid" is not a UUID',
    ],
    ['a long URL', () => ask(`/${'x'.repeat(3000)}`), 414, 'the URL is too long'],
  ];
  it.each(cases)('%s gets one line', (_title, make, status, why) => {
    const answer = make();
    expect([answer.status, answer.type]).toEqual([status, TEXT]);
    expect(text(answer)).toMatch(/^[\x20-\x7e]+\n$/);
    expect(text(answer)).toContain(why);
  });

  it('of the method is told which are allowed', () => {
    expect(ask(url('pod/hmac/sign')).headers).toEqual({ Allow: 'POST' });
    expect(post('pod/uuid', '').headers).toEqual({ Allow: 'GET, HEAD' });
  });

  it('never has the token in what is logged', () => {
    const ports = { pods, signer, info: () => ({}), complain: () => undefined };
    fc.assert(
      fc.property(fc.string(), fc.boolean(), (rest, slash) => {
        const target = `/${token}${slash ? '/' : ''}${rest}`;
        const head = { method: 'GET', target, contentType: undefined, remote: '::1' };
        expect(handle(ports, head).subject.path).not.toContain(token.slice(22));
      }),
    );
  });

  it('of whatever kind gets an answer, and never a 200', () => {
    const methods = fc.constantFrom('GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PROPFIND');
    const parts = fc.array(
      fc.oneof(
        fc.constantFrom('acMetadata', 'v1', 'pod', 'apps', 'web', 'hmac', 'sign', '..', '', '%00'),
        fc.string({ maxLength: 10 }),
      ),
      { maxLength: 8 },
    );
    const types = fc.option(fc.string());
    fc.assert(
      fc.property(methods, fc.boolean(), parts, types, (method, known, all, type) => {
        const target = `/${[known ? token : 'x', ...all].join('/')}`;
        const answer = ask(target, { method, contentType: type ?? undefined });
        expect(answer.status).toBeGreaterThanOrEqual(400);
        expect(text(answer)).toMatch(/^[\x20-\x7e]+\n$/);
      }),
      { numRuns: 500 },
    );
  });
});

describe('pods that change', () => {
  it('answer as soon as they are there, and no more within a second of their end', () => {
    expect(ask(url('pod/uuid')).status).toBe(200);
    rmSync(path.join(store.pods, UUID), { recursive: true });
    clock = 1001;
    expect(ask(url('pod/uuid')).status).toBe(401);
    token = store.addPod(UUID);
    expect(ask(url('pod/uuid')).status).toBe(200);
  });

  it('have their new manifest within a second', () => {
    expect(ask(url('apps/db/image/id')).status).toBe(404);
    const more = podManifest({ apps: [{ name: 'db', image: { id: IMAGE } }] });
    const file = path.join(store.pods, UUID, 'manifest');
    rmSync(file);
    writeFileSync(file, JSON.stringify(more));
    clock = 1001;
    expect(ask(url('apps/db/image/id')).status).toBe(200);
  });

  it('are looked at beside the answers while they keep asking', async () => {
    expect(ask(url('pod/uuid')).status).toBe(200);
    rmSync(path.join(store.pods, UUID), { recursive: true });
    clock = 400;
    expect(ask(url('pod/uuid')).status).toBe(200);
    await expect.poll(() => ask(url('pod/uuid')).status).toBe(401);
  });

  it.each([
    ['is not JSON', 'manifest', '{"apps":'],
    ['is another thing', 'manifest', '[]'],
    ['has no apps', 'manifest', '{}'],
    ['has an app without image', 'manifest', '{"apps":[{"name":"web"}]}'],
    ['leads out of the store', 'manifest', '{"apps":[{"name":"w","image":{"id":"../../etc"}}]}'],
    ['has odd annotations', 'manifest', '{"apps":[],"annotations":[{"name":1}]}'],
  ])('with a manifest that %s get 500, and the others their answers', (_title, name, content) => {
    writeFileSync(path.join(store.pods, UUID, name), content);
    const answer = ask(url('pod/uuid'));
    expect([answer.status, text(answer)]).toEqual([
      500,
      'the metadata on this host cannot be read\n',
    ]);
    expect(complaints[0]).toContain(path.join(store.pods, UUID, name));
    token = store.addPod(OTHER);
    expect(ask(url('pod/uuid')).status).toBe(200);
  });

  it('with a damaged or missing image get the rest', () => {
    store.addImage(IMAGE, IMAGE_MANIFEST, '{');
    expect(ask(url('apps/web/annotations')).status).toBe(500);
    rmSync(path.join(store.images, IMAGE), { recursive: true });
    expect(ask(url('apps/web/image/manifest')).status).toBe(404);
    expect(ask(url('apps/web/image/id')).status).toBe(200);
    store.addImage(IMAGE, IMAGE_MANIFEST);
    expect(ask(url('apps/web/annotations')).status).toBe(200);
  });

  it('get what is too large to be looked into as it is, and no parts of it', () => {
    const large = podManifest({ userLabels: { a: 'x'.repeat(300_000) } });
    const file = path.join(store.pods, UUID, 'manifest');
    rmSync(file);
    writeFileSync(file, JSON.stringify(large));
    expect(text(ask(url('pod/manifest')))).toBe(JSON.stringify(large));
    expect(ask(url('pod/uuid')).status).toBe(200);
    expect([ask(url('pod/annotations')).status, ask(url('apps/web/image/id')).status]).toEqual([
      500, 500,
    ]);
    expect(complaints[0]).toContain(`${file}: `);
    token = store.addPod(OTHER);
    const annotations = [{ name: 'a', value: 'x'.repeat(300_000) }];
    store.addImage(IMAGE, IMAGE_MANIFEST, JSON.stringify({ annotations }));
    pods = createPodSource(store, () => clock);
    expect(ask(url('apps/web/annotations')).status).toBe(500);
    expect(ask(url('apps/web/image/manifest')).status).toBe(200);
    store.addImage(IMAGE, IMAGE_MANIFEST);
  });

  it('with an empty or foreign URL file let nobody in', () => {
    const file = path.join(store.pods, UUID, 'metadata-url');
    chmodSync(file, 0o600);
    for (const content of ['', '\n', 'http://127.0.0.1:1104/', `http://127.0.0.1:1104/${UUID}\n`]) {
      writeFileSync(file, content);
      pods = createPodSource(store, () => clock);
      expect(ask(url('pod/uuid')).status).toBe(401);
    }
  });
});

describe('/_info', () => {
  it('is for the host only: pods call from elsewhere', () => {
    for (const remote of ['127.0.0.1', '::1']) {
      const answer = ask('/_info', { remote });
      expect([answer.status, answer.type]).toEqual([200, 'application/json']);
      expect(JSON.parse(text(answer))).toMatchObject({ pods: expect.any(Number) });
    }
    for (const remote of ['127.0.0.2', '10.0.0.7', 'fd00::7'])
      expect(ask('/_info', { remote }).status).toBe(404);
    expect(ask('/_info', { remote: '::1', method: 'POST' }).status).toBe(405);
    expect(ask(`/${token}/_info`).status).toBe(404);
  });
});
