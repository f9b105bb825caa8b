/**
 * A registry in this process that misbehaves on demand: every fault has a name. It keeps what the distribution
 * specification says of pull and push, and writes down what it was asked.
 */
import { createHash, randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';

import { type Descriptor, type Digest, parseDigest } from '../../src/formats/oci/model.ts';
import { MEDIA_TYPES } from '../../src/schema/oci.ts';

/** Answers; or lets the registry do it, by returning 'go on'. */
export type Handler = (request: IncomingMessage, response: ServerResponse) => unknown;

export interface Fault {
  /** Against `GET /v2/team/app/manifests/1`. */
  readonly match: RegExp;
  /** How often; default: always. */
  readonly times?: number;
  readonly handle: Handler;
}

export interface Seen {
  readonly line: string;
  readonly headers: IncomingMessage['headers'];
}

export function sha256(bytes: Uint8Array): Digest {
  const digest = parseDigest(`sha256:${createHash('sha256').update(bytes).digest('hex')}`);
  if (digest === undefined) throw new Error('no digest');
  return digest;
}

export const FAULTS = {
  status:
    (status: number, headers: Readonly<Record<string, string>> = {}, body = ''): Handler =>
    (_request, response) => {
      response.writeHead(status, headers).end(body);
    },
  cutBeforeAnswer: (): Handler => (request) => {
    request.socket.destroy();
  },
  redirect:
    (location: (request: IncomingMessage) => string, status = 307): Handler =>
    (request, response) => {
      response.writeHead(status, { location: location(request) }).end();
    },
  silence: (): Handler => () => undefined,
  endless:
    (headers: Readonly<Record<string, string>> = {}): Handler =>
    (request, response) => {
      response.writeHead(200, headers);
      const chunk = Buffer.alloc(64 * 1024, 0x20);
      // Never in a loop of its own: whoever reads lives in this process too.
      const more = () => {
        if (response.destroyed || request.socket.destroyed) return;
        if (response.write(chunk)) setImmediate(more);
        else response.once('drain', more);
      };
      more();
    },
  dribble:
    (everyMs: number, headers: Readonly<Record<string, string>> = {}): Handler =>
    (_request, response) => {
      response.writeHead(200, headers);
      const timer = setInterval(() => response.write(' '), everyMs);
      response.on('close', () => clearInterval(timer));
    },
} as const;

interface Upload {
  bytes: Buffer;
  readonly repository: string;
}

export class FakeRegistry {
  readonly #server: Server;
  readonly #scheme: 'http' | 'https';
  readonly seen: Seen[] = [];
  readonly faults: Fault[] = [];
  readonly blobs = new Map<string, Buffer>();
  readonly manifests = new Map<string, { readonly bytes: Buffer; readonly mediaType: string }>();
  readonly uploads = new Map<string, Upload>();
  /** Bearer or Basic: what must be said, and the challenge otherwise. */
  authorization:
    { readonly challenge: string; readonly accepts: (said: string) => boolean } | undefined;
  supportsRanges = true;
  leastChunkBytes: number | undefined;
  /** `absolute`, or relative to the request. */
  locations: 'absolute' | 'relative' = 'relative';
  /** What a token server of its own would answer at /token. */
  onToken: Handler | undefined;

  constructor(tls?: { readonly cert: string; readonly key: string; readonly ca?: string }) {
    const listener = (request: IncomingMessage, response: ServerResponse) =>
      this.#serve(request, response);
    this.#scheme = tls === undefined ? 'http' : 'https';
    this.#server =
      tls === undefined
        ? createServer(listener)
        : createTlsServer(
            {
              ...tls,
              ...(tls.ca === undefined ? {} : { requestCert: true, rejectUnauthorized: true }),
            },
            listener,
          );
  }

  async start(host = '127.0.0.1'): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, host, resolve));
    return this;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  get port(): number {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('not started');
    return address.port;
  }

  get host(): string {
    return `127.0.0.1:${String(this.port)}`;
  }

  get url(): string {
    return `${this.#scheme}://${this.host}`;
  }

  /** `GET /v2/team/app/manifests/1` … */
  get lines(): readonly string[] {
    return this.seen.map(({ line }) => line);
  }

  forget(): void {
    this.seen.length = 0;
  }

  addBlob(bytes: Buffer, mediaType: string = MEDIA_TYPES.ociLayer): Descriptor {
    const digest = sha256(bytes);
    this.blobs.set(digest, bytes);
    return { mediaType, digest, size: bytes.length };
  }

  addManifest(repository: string, tag: string | undefined, value: object): Descriptor {
    const bytes = Buffer.from(JSON.stringify(value));
    const mediaType =
      'mediaType' in value && typeof value.mediaType === 'string'
        ? value.mediaType
        : MEDIA_TYPES.ociManifest;
    const digest = sha256(bytes);
    for (const reference of [digest, ...(tag === undefined ? [] : [tag])]) {
      this.manifests.set(`${repository} ${reference}`, { bytes, mediaType });
    }
    return { mediaType, digest, size: bytes.length };
  }

  /** An image of one platform, with layers of random bytes. */
  addImage(
    repository: string,
    tag: string | undefined,
    layers: readonly Buffer[] = [randomBytes(1000)],
    architecture = 'amd64',
  ): { readonly manifest: Descriptor; readonly layers: readonly Descriptor[] } {
    const config = Buffer.from(
      JSON.stringify({
        os: 'linux',
        architecture,
        rootfs: { type: 'layers', diff_ids: layers.map((layer) => sha256(layer)) },
      }),
    );
    const descriptors = layers.map((layer) => this.addBlob(layer));
    const manifest = this.addManifest(repository, tag, {
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociManifest,
      config: this.addBlob(config, MEDIA_TYPES.ociConfig),
      layers: descriptors,
    });
    return { manifest, layers: descriptors };
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const line = `${request.method ?? ''} ${request.url ?? ''}`;
    this.seen.push({ line, headers: request.headers });
    response.on('error', () => undefined);
    const index = this.faults.findIndex(({ match }) => match.test(line));
    const fault = this.faults[index];
    if (fault !== undefined) {
      if (fault.times === 1) this.faults.splice(index, 1);
      else if (fault.times !== undefined) this.faults[index] = { ...fault, times: fault.times - 1 };
      if (fault.handle(request, response) !== 'go on') return;
    }
    if (request.url?.startsWith('/token') === true && this.onToken !== undefined) {
      this.onToken(request, response);
      return;
    }
    const said = request.headers.authorization ?? '';
    if (this.authorization !== undefined && !this.authorization.accepts(said)) {
      request.resume();
      response
        .writeHead(401, { 'www-authenticate': this.authorization.challenge })
        .end(JSON.stringify({ errors: [{ code: 'UNAUTHORIZED', message: 'who are you?' }] }));
      return;
    }
    const url = new URL(request.url ?? '/', this.url);
    const [, repository = '', kind = '', rest = ''] =
      /^\/v2\/(.+?)\/(manifests|blobs)\/(.*)$/.exec(url.pathname) ?? [];
    if (kind === 'manifests') this.#manifest(request, response, repository, rest);
    else if (rest.startsWith('uploads/')) this.#upload(request, response, repository, rest, url);
    else if (kind === 'blobs') this.#blob(request, response, rest);
    else response.writeHead(url.pathname === '/v2/' ? 200 : 404).end();
  }

  #manifest(
    request: IncomingMessage,
    response: ServerResponse,
    repository: string,
    reference: string,
  ): void {
    if (request.method === 'PUT') {
      void readBody(request).then((bytes) => {
        const mediaType = request.headers['content-type'] ?? '';
        for (const name of [reference, sha256(bytes)]) {
          this.manifests.set(`${repository} ${name}`, { bytes, mediaType });
        }
        response.writeHead(201, { 'docker-content-digest': sha256(bytes) }).end();
      });
      return;
    }
    const found = this.manifests.get(`${repository} ${reference}`);
    if (found === undefined) {
      response
        .writeHead(404)
        .end(
          JSON.stringify({ errors: [{ code: 'MANIFEST_UNKNOWN', message: 'manifest unknown' }] }),
        );
      return;
    }
    const etag = `"${sha256(found.bytes)}"`;
    if (request.headers['if-none-match'] === etag) {
      response.writeHead(304).end();
      return;
    }
    response.writeHead(200, {
      'content-type': found.mediaType,
      'content-length': String(found.bytes.length),
      'docker-content-digest': sha256(found.bytes),
      etag,
    });
    response.end(request.method === 'HEAD' ? undefined : found.bytes);
  }

  #blob(request: IncomingMessage, response: ServerResponse, digest: string): void {
    const bytes = this.blobs.get(digest);
    if (bytes === undefined) {
      response
        .writeHead(404)
        .end(JSON.stringify({ errors: [{ code: 'BLOB_UNKNOWN', message: 'blob unknown' }] }));
      return;
    }
    const [, from] = /^bytes=(\d+)-$/.exec(request.headers.range ?? '') ?? [];
    if (from !== undefined && this.supportsRanges) {
      const start = Number(from);
      if (start >= bytes.length) {
        response.writeHead(416, { 'content-range': `bytes */${String(bytes.length)}` }).end();
        return;
      }
      response.writeHead(206, {
        'content-range': `bytes ${String(start)}-${String(bytes.length - 1)}/${String(bytes.length)}`,
        'content-length': String(bytes.length - start),
      });
      response.end(bytes.subarray(start));
      return;
    }
    response.writeHead(200, { 'content-length': String(bytes.length) });
    response.end(request.method === 'HEAD' ? undefined : bytes);
  }

  #upload(
    request: IncomingMessage,
    response: ServerResponse,
    repository: string,
    rest: string,
    url: URL,
  ): void {
    const id = rest.slice('uploads/'.length);
    if (request.method === 'POST') {
      request.resume();
      const mount = url.searchParams.get('mount');
      if (
        mount !== null &&
        url.searchParams.get('from') === 'team/origin' &&
        this.blobs.has(mount)
      ) {
        response.writeHead(201, { location: `/v2/${repository}/blobs/${mount}` }).end();
        return;
      }
      const fresh = randomBytes(8).toString('hex');
      this.uploads.set(fresh, { bytes: Buffer.alloc(0), repository });
      response
        .writeHead(202, {
          location: this.#location(repository, fresh),
          ...(this.leastChunkBytes === undefined
            ? {}
            : { 'oci-chunk-min-length': String(this.leastChunkBytes) }),
        })
        .end();
      return;
    }
    const upload = this.uploads.get(id);
    // The state is what `Location` said, to the letter.
    if (upload?.repository !== repository || url.searchParams.get('_state') !== `a b+${id}`) {
      request.resume();
      response.writeHead(404).end();
      return;
    }
    const range = () => `0-${String(upload.bytes.length === 0 ? 0 : upload.bytes.length - 1)}`;
    if (request.method === 'GET') {
      response.writeHead(204, { range: range(), location: this.#location(repository, id) }).end();
      return;
    }
    void readBody(request, (bytes) => {
      // What came before a cut is there, as with a real one.
      if (request.method === 'PATCH') upload.bytes = Buffer.concat([upload.bytes, bytes]);
    }).then(
      (bytes) => {
        if (request.method === 'PATCH') {
          response
            .writeHead(202, { range: range(), location: this.#location(repository, id) })
            .end();
          return;
        }
        const whole = Buffer.concat([upload.bytes, bytes]);
        const digest = url.searchParams.get('digest') ?? '';
        if (sha256(whole) !== digest) {
          response
            .writeHead(400)
            .end(JSON.stringify({ errors: [{ code: 'DIGEST_INVALID', message: 'not that one' }] }));
          return;
        }
        this.blobs.set(digest, whole);
        this.uploads.delete(id);
        response.writeHead(201, { 'docker-content-digest': digest }).end();
      },
      () => undefined,
    );
  }

  #location(repository: string, id: string): string {
    const path = `/v2/${repository}/blobs/uploads/${id}?_state=a%20b%2B${id}`;
    return this.locations === 'absolute' ? `${this.url}${path}` : path;
  }
}

/** `onEnd` also gets what came before the connection was cut. */
export async function readBody(
  request: IncomingMessage,
  onEnd: (bytes: Buffer) => void = () => undefined,
): Promise<Buffer> {
  const parts: Buffer[] = [];
  try {
    for await (const part of request as AsyncIterable<Buffer>) parts.push(part);
  } finally {
    onEnd(Buffer.concat(parts));
  }
  return Buffer.concat(parts);
}
