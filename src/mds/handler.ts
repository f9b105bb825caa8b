/**
 * The metadata service of appc (spec/ace.md, "Metadata Server") as a function from requests to answers. Whatever can be told
 * from the head of a request is told before its body is read. Knows nothing of sockets.
 */
import { DamagedError, type Annotation, type PodSource, type PodView } from './pod-view.ts';
import type { Signer } from './signer.ts';
import { parseForm } from './form.ts';
import { parseUuid } from './token.ts';

export interface Head {
  readonly method: string;
  /** As it was sent. */
  readonly target: string;
  readonly contentType: string | undefined;
  /** The caller's address. */
  readonly remote: string;
}

export interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: Buffer;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Who asked for what, without the token: for the access log. */
export interface Subject {
  readonly pod: string | undefined;
  readonly path: string;
}

export interface Outcome {
  readonly subject: Subject;
  /** At once, or from the body of the request. */
  readonly answer: Answer | ((body: Buffer) => Answer);
}

export interface HandlerPorts {
  readonly pods: PodSource;
  readonly signer: Signer;
  /** What `/_info` tells. */
  info(): object;
  /** Something on disk is not as it should be. */
  complain(message: string): void;
}

export const TEXT = 'text/plain; charset=us-ascii';
const JSON_TYPE = 'application/json';
const FORM = 'application/x-www-form-urlencoded';
const BASE = 'acMetadata/v1';
const MAX_TARGET = 2048;

export function refuse(
  status: number,
  why: string,
  headers?: Readonly<Record<string, string>>,
): Answer {
  const answer = { status, type: TEXT, body: Buffer.from(`${why}\n`, 'latin1') };
  return headers === undefined ? answer : { ...answer, headers };
}

const text = (body: string): Answer => ({ status: 200, type: TEXT, body: Buffer.from(body) });
const json = (body: Buffer): Answer => ({ status: 200, type: JSON_TYPE, body });
const list = (items: readonly Annotation[]) => json(Buffer.from(JSON.stringify(items)));

/** What the image says, and where the pod says something else of the same name, that. */
export function mergeAnnotations(
  ofImage: readonly Annotation[],
  ofApp: readonly Annotation[],
): readonly Annotation[] {
  const merged = new Map(ofImage.map(({ name, value }) => [name, value]));
  for (const { name, value } of ofApp) merged.set(name, value);
  return [...merged].map(([name, value]) => ({ name, value }));
}

/** The path of the target, which may name us too (RFC 9112, 3.2.2), without its query. */
function pathOf(target: string): string {
  const path = target.startsWith('/') ? target : target.replace(/^http:\/\/[^/?#]*/i, '');
  return path.replace(/[?#].*$/s, '');
}

type Endpoint =
  | { readonly methods: 'GET, HEAD'; readonly get: () => Answer }
  | { readonly methods: 'POST'; readonly post: (fields: ReadonlyMap<string, Buffer>) => Answer };

const NO_SUCH_APP = refuse(404, 'this pod has no such app');
const NO_IMAGE = refuse(404, 'the store has no such image any more');

function appEndpoint(
  { pods }: HandlerPorts,
  pod: PodView,
  name: string,
  rest: string,
): Endpoint | undefined {
  const read = (answer: (id: string, annotations: readonly Annotation[]) => Answer): Endpoint => ({
    methods: 'GET, HEAD',
    get() {
      const app = pod.apps.get(name);
      return app === undefined ? NO_SUCH_APP : answer(app.imageId, app.annotations);
    },
  });
  switch (rest) {
    case 'annotations':
      return read((id, ofApp) => {
        const image = pods.findImage(id);
        return image === undefined ? NO_IMAGE : list(mergeAnnotations(image.annotations, ofApp));
      });
    case 'image/manifest':
      return read((id) => {
        const image = pods.findImage(id);
        return image === undefined ? NO_IMAGE : json(image.manifest);
      });
    case 'image/id':
      return read((id) => text(id));
    default:
      return undefined;
  }
}

function signEndpoint({ signer }: HandlerPorts, pod: PodView): Endpoint {
  return {
    methods: 'POST',
    post(fields) {
      const content = fields.get('content');
      const uuid = parseUuid(pod.uuid);
      if (content === undefined || uuid === undefined)
        return refuse(400, 'the form has no field "content"');
      return text(signer.sign(uuid, content));
    },
  };
}

function verifyEndpoint({ signer }: HandlerPorts): Endpoint {
  return {
    methods: 'POST',
    post(fields) {
      const missing = ['content', 'uuid', 'signature'].find((name) => !fields.has(name));
      if (missing !== undefined) return refuse(400, `the form has no field "${missing}"`);
      const uuid = parseUuid(fields.get('uuid')?.toString('latin1') ?? '');
      if (uuid === undefined) return refuse(400, 'the field "uuid" is not a UUID');
      const [content, signature] = [fields.get('content'), fields.get('signature')];
      const isRight =
        content !== undefined && signature !== undefined && signer.verify(uuid, content, signature);
      return isRight ? text('') : refuse(403, 'the signature is not of this pod and content');
    },
  };
}

function endpointOf(ports: HandlerPorts, pod: PodView, path: string): Endpoint | undefined {
  const get = (answer: () => Answer): Endpoint => ({ methods: 'GET, HEAD', get: answer });
  switch (path) {
    case 'pod/annotations':
      return get(() => list(pod.annotations));
    case 'pod/manifest':
      return get(() => json(pod.manifest));
    case 'pod/uuid':
      return get(() => text(pod.uuid));
    case 'pod/hmac/sign':
      return signEndpoint(ports, pod);
    case 'pod/hmac/verify':
      return verifyEndpoint(ports);
    default: {
      const [, app, rest] = /^apps\/([^/]+)\/(.+)$/.exec(path) ?? [];
      return app === undefined || rest === undefined
        ? undefined
        : appEndpoint(ports, pod, app, rest);
    }
  }
}

/** A damaged file is an answer too, and the service goes on. */
function guarded(ports: HandlerPorts, make: () => Answer): Answer {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof DamagedError)) throw error;
    ports.complain(error.message);
    return refuse(500, 'the metadata on this host cannot be read');
  }
}

function isForm(contentType: string | undefined): boolean {
  return contentType?.split(';')[0]?.trim().toLowerCase() === FORM;
}

function answerTo(ports: HandlerPorts, head: Head, pod: PodView, path: string): Outcome['answer'] {
  const endpoint = endpointOf(ports, pod, path);
  if (endpoint === undefined) return refuse(404, 'there is no such metadata');
  if (!endpoint.methods.split(', ').includes(head.method))
    return refuse(405, 'this method is not for this metadata', { Allow: endpoint.methods });
  if ('get' in endpoint) return guarded(ports, endpoint.get);
  if (!isForm(head.contentType)) return refuse(415, `the body must be ${FORM}`);
  return (body) => {
    const fields = parseForm(body);
    return typeof fields === 'string' ? refuse(400, fields) : endpoint.post(fields);
  };
}

function infoAnswer(ports: HandlerPorts, { method, remote }: Head): Answer {
  // Pods call from other addresses, or through a relay from 127.0.0.2.
  if (remote !== '127.0.0.1' && remote !== '::1') return refuse(404, 'there is no such metadata');
  if (method !== 'GET' && method !== 'HEAD')
    return refuse(405, 'this method is not for this metadata', { Allow: 'GET, HEAD' });
  return guarded(ports, () => json(Buffer.from(`${JSON.stringify(ports.info())}\n`)));
}

export function handle(ports: HandlerPorts, head: Head): Outcome {
  if (head.target.length > MAX_TARGET)
    return { subject: { pod: undefined, path: '' }, answer: refuse(414, 'the URL is too long') };
  const path = pathOf(head.target);
  if (path === '/_info')
    return { subject: { pod: undefined, path }, answer: infoAnswer(ports, head) };
  // The first part is the token, or would be one: it is not for the log.
  const [, token = '', rest = ''] = /^\/([^/]*)(\/.*)?$/s.exec(path) ?? [];
  const found: { pod?: PodView } = {};
  const failed = guarded(ports, () => {
    const pod = ports.pods.find(token);
    if (pod !== undefined) found.pod = pod;
    return refuse(401, 'the URL has no token of a pod', { 'WWW-Authenticate': 'MetadataURL' });
  });
  const { pod } = found;
  const prefix = `/${BASE}/`;
  if (pod === undefined) return { subject: { pod: undefined, path: rest }, answer: failed };
  if (!rest.startsWith(prefix)) {
    const answer = refuse(404, `metadata is below ${prefix}`);
    return { subject: { pod: pod.uuid, path: rest }, answer };
  }
  const inner = rest.slice(prefix.length);
  return {
    subject: { pod: pod.uuid, path: `/${inner}` },
    answer: answerTo(ports, head, pod, inner),
  };
}
