/**
 * HTTP around the handler, with a limit on everything that a caller can make us hold: connections, headers, bodies, time.
 * An answer to every kind of wrong request is one line of text.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

import type { AccessLog } from './access-log.ts';
import { refuse, TEXT, type Answer, type Outcome, type Head } from './handler.ts';

export interface Limits {
  readonly connections: number;
  /** From one address that is not of this host: a pod on a bridge. */
  readonly connectionsPerCaller: number;
  readonly headerBytes: number;
  readonly bodyBytes: number;
  /** Of all requests that are being read. */
  readonly bodyBytesTogether: number;
  readonly headMs: number;
  readonly requestMs: number;
  /** From the end of a request to the end of its answer: a caller that does not read. */
  readonly answerMs: number;
  /** Of the larger answers to one pod that have not left yet; the first of them always may. */
  readonly answerBytesPerPod: number;
  readonly keepAliveMs: number;
}

export const LIMITS: Limits = {
  connections: 192,
  connectionsPerCaller: 64,
  headerBytes: 4 * 1024,
  bodyBytes: 64 * 1024,
  bodyBytesTogether: 1024 * 1024,
  headMs: 5000,
  requestMs: 10_000,
  answerMs: 15_000,
  answerBytesPerPod: 1024 * 1024,
  keepAliveMs: 5000,
};

export interface Counters {
  requests: number;
  connections: number;
  readonly byStatus: Map<number, number>;
}

export interface ServerPorts {
  handle(head: Head): Outcome;
  readonly log: AccessLog;
  readonly limits: Limits;
  complain(message: string): void;
  now(): Date;
  /** Milliseconds of a clock that only goes forward. */
  elapsed(): number;
}

export interface MetadataServer {
  readonly counters: Counters;
  /** One more listener with the same limits; the caller lets it listen. */
  createListener(): Server;
  /** Cuts off whoever is connected. */
  closeConnections(): void;
}

const SWEEP_MS = 1000;
const LINGER_MS = 1000;
/** Answers below it are not counted: the number of connections bounds them. */
const SMALL_ANSWER = 16 * 1024;

function reasonOf(status: number): string {
  const reasons: Readonly<Record<number, string>> = {
    400: 'Bad Request',
    405: 'Method Not Allowed',
    408: 'Request Timeout',
    431: 'Request Header Fields Too Large',
    503: 'Service Unavailable',
  };
  return reasons[status] ?? 'Error';
}

/** For a caller whose request could not even be parsed. */
function rawAnswer(status: number, why: string): string {
  return `HTTP/1.1 ${String(status)} ${reasonOf(status)}\r\nContent-Type: ${TEXT}\r\nContent-Length: ${String(why.length + 1)}\r\nConnection: close\r\n\r\n${why}\n`;
}

function isLocal(address: string): boolean {
  return address.startsWith('127.') || address === '::1' || address === '';
}

const TOO_MANY = 'too many connections';

export function createMetadataServer(ports: ServerPorts): MetadataServer {
  const { limits, log, now, elapsed } = ports;
  const counters: Counters = { requests: 0, connections: 0, byStatus: new Map() };
  const perCaller = new Map<string, number>();
  /** `answerBy`: when the answer that is on its way must have left; 0: none is. */
  const sockets = new Map<Socket, { answerBy: number }>();
  const leavingTo = new Map<string, number>();
  let bodyBytes = 0;

  function count(status: number): void {
    counters.requests += 1;
    counters.byStatus.set(status, (counters.byStatus.get(status) ?? 0) + 1);
  }

  /** Whether the caller may speak. */
  function admit(socket: Socket): boolean {
    const caller = socket.remoteAddress ?? '';
    const already = perCaller.get(caller) ?? 0;
    const full =
      counters.connections >= limits.connections ||
      (!isLocal(caller) && already >= limits.connectionsPerCaller);
    socket.on('error', () => socket.destroy());
    if (full) {
      count(503);
      socket.end(rawAnswer(503, TOO_MANY), () => socket.destroySoon());
      socket.setTimeout(LINGER_MS, () => socket.destroy());
      return false;
    }
    counters.connections += 1;
    perCaller.set(caller, already + 1);
    sockets.set(socket, { answerBy: 0 });
    socket.once('close', () => {
      counters.connections -= 1;
      sockets.delete(socket);
      const left = (perCaller.get(caller) ?? 1) - 1;
      if (left === 0) perCaller.delete(caller);
      else perCaller.set(caller, left);
    });
    return true;
  }

  const sweep = setInterval(() => {
    const at = elapsed();
    for (const [socket, { answerBy }] of sockets)
      if (answerBy !== 0 && answerBy < at) socket.destroy();
  }, SWEEP_MS);
  sweep.unref();

  function send(
    response: ServerResponse,
    { status, type, body, headers }: Answer,
    keepAlive: boolean,
  ): void {
    response.writeHead(status, {
      'Content-Type': type,
      'Content-Length': body.length,
      'Cache-Control': 'no-store',
      ...headers,
      ...(keepAlive ? {} : { Connection: 'close' }),
    });
    response.end(body);
  }

  /** Whether a pod may have this answer too; then it counts until it has left, or the caller has. */
  function mayLeave(pod: string, bytes: number, response: ServerResponse): boolean {
    if (bytes < SMALL_ANSWER) return true;
    const already = leavingTo.get(pod) ?? 0;
    if (already > 0 && already + bytes > limits.answerBytesPerPod) return false;
    leavingTo.set(pod, already + bytes);
    response.once('close', () => {
      const rest = (leavingTo.get(pod) ?? bytes) - bytes;
      if (rest > 0) leavingTo.set(pod, rest);
      else leavingTo.delete(pod);
    });
    return true;
  }

  /** The body, or why there is none; undefined when the caller went away. */
  function readBody(request: IncomingMessage): Promise<Buffer | Answer | undefined> {
    const tooLarge = refuse(413, `a body has at most ${String(limits.bodyBytes)} bytes`);
    const length = Number(request.headers['content-length'] ?? 0);
    if (length > limits.bodyBytes) return Promise.resolve(tooLarge);
    return new Promise((resolve) => {
      const chunks: Buffer[] = [];
      let size = 0;
      const finish = (result: Buffer | Answer | undefined) => {
        bodyBytes -= size;
        size = 0;
        request.removeAllListeners('data');
        resolve(result);
      };
      request.on('data', (chunk: Buffer) => {
        size += chunk.length;
        bodyBytes += chunk.length;
        if (size > limits.bodyBytes) finish(tooLarge);
        else if (bodyBytes > limits.bodyBytesTogether)
          finish(refuse(503, 'too much is being sent at once'));
        else chunks.push(chunk);
      });
      request.once('end', () => finish(Buffer.concat(chunks)));
      request.once('close', () => finish(undefined));
    });
  }

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const from = elapsed();
    const { socket } = request;
    const remote = (socket.remoteAddress ?? '-').replace(/^::ffff:/, '');
    const method = request.method ?? '-';
    let subject: Outcome['subject'] | undefined;
    let answer: Answer | undefined;
    try {
      if (request.httpVersion === '1.1' && request.headers.host === undefined) {
        answer = refuse(400, 'the request names no host');
      } else {
        const outcome = ports.handle({
          method,
          target: request.url ?? '',
          contentType: request.headers['content-type'],
          remote,
        });
        subject = outcome.subject;
        if (typeof outcome.answer === 'function') {
          const body = await readBody(request);
          answer = Buffer.isBuffer(body) ? outcome.answer(body) : body;
        } else {
          answer = outcome.answer;
        }
      }
    } catch (error) {
      ports.complain(error instanceof Error ? (error.stack ?? error.message) : String(error));
      answer = refuse(500, 'the metadata service has failed');
    }
    if (answer === undefined || socket.destroyed) return;
    const pod = subject?.pod;
    if (pod !== undefined && !mayLeave(pod, answer.body.length, response))
      answer = refuse(503, 'earlier answers to this pod have not been read');
    const state = sockets.get(socket);
    if (state !== undefined) {
      state.answerBy = elapsed() + limits.answerMs;
      response.once('close', () => (state.answerBy = 0));
    }
    // What is left of a refused body is not worth reading for long.
    const wholeBody = request.complete || (answer.status < 400 && method !== 'POST');
    send(response, answer, wholeBody);
    if (!wholeBody) {
      request.resume();
      const timer = setTimeout(() => socket.destroy(), LINGER_MS);
      socket.once('close', () => clearTimeout(timer));
    }
    count(answer.status);
    const { status, body } = answer;
    const bytes = method === 'HEAD' ? 0 : body.length;
    log.add({ at: now(), remote, subject, method, status, bytes, ms: elapsed() - from });
  }

  function refuseUnparsed(error: Error & { readonly code?: string }, socket: Duplex): void {
    if (socket.destroyed || !socket.writable || error.code === 'ECONNRESET') {
      socket.destroy();
      return;
    }
    const [status, why] =
      error.code === 'HPE_HEADER_OVERFLOW'
        ? ([431, `the head of a request has at most ${String(limits.headerBytes)} bytes`] as const)
        : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
          ? ([408, 'the request took too long'] as const)
          : ([400, 'this is not a request of HTTP/1.1'] as const);
    count(status);
    const remote = 'remoteAddress' in socket ? String(socket.remoteAddress) : '-';
    const bytes = why.length + 1;
    log.add({ at: now(), remote, subject: undefined, method: '-', status, bytes, ms: 0 });
    socket.end(rawAnswer(status, why));
    const timer = setTimeout(() => socket.destroy(), LINGER_MS);
    socket.once('close', () => clearTimeout(timer));
  }

  function createListener(): Server {
    const server = createServer({
      maxHeaderSize: limits.headerBytes,
      headersTimeout: limits.headMs,
      requestTimeout: limits.requestMs,
      keepAliveTimeout: limits.keepAliveMs,
      connectionsCheckingInterval: SWEEP_MS,
      requireHostHeader: false,
      highWaterMark: 16 * 1024,
    });
    server.maxHeadersCount = 100;
    server.timeout = limits.requestMs + limits.answerMs;
    // Before the parser is made, which costs more than the answer to a caller who is one too many.
    const parsers = server.listeners('connection');
    server.removeAllListeners('connection');
    server.on('connection', (socket) => {
      if (admit(socket)) for (const parse of parsers) parse.call(server, socket);
    });
    server.on('request', (request, response) => void serve(request, response));
    server.on('checkExpectation', (_request: IncomingMessage, response: ServerResponse) => {
      count(417);
      send(response, refuse(417, 'this expectation is not met'), false);
    });
    server.on('connect', (_request, socket) => {
      count(405);
      socket.end(rawAnswer(405, 'this is no proxy'));
    });
    server.on('clientError', (error, socket) => refuseUnparsed(error, socket));
    return server;
  }

  return {
    counters,
    createListener,
    closeConnections() {
      clearInterval(sweep);
      for (const socket of sockets.keys()) socket.destroy();
    },
  };
}
