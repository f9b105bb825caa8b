import type { Server } from 'node:http';
import net, { type AddressInfo, type Socket } from 'node:net';
import { performance } from 'node:perf_hooks';

import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { refuse, TEXT, type Head, type Outcome } from '../../../src/mds/handler.ts';
import {
  createMetadataServer,
  type Limits,
  type MetadataServer,
  type ServerPorts,
} from '../../../src/mds/server.ts';

/** Small and short, so that the tests are. */
const limits: Limits = {
  connections: 20,
  connectionsPerCaller: 5,
  headerBytes: 4096,
  bodyBytes: 1000,
  bodyBytesTogether: 2500,
  headMs: 500,
  requestMs: 800,
  answerMs: 600,
  answerBytesPerPod: 20_000_000,
  keepAliveMs: 300,
};

let server: MetadataServer;
let listener: Server;
let port: number;
let lines: Parameters<ServerPorts['log']['add']>[0][];
let big: Buffer;

function answer(head: Head): Outcome {
  const subject = { pod: undefined, path: head.target };
  if (head.target === '/echo')
    return { subject, answer: (body) => ({ status: 200, type: TEXT, body }) };
  const [, pod] = /^\/(pod\d)$/.exec(head.target) ?? [];
  if (pod !== undefined)
    return { subject: { pod, path: head.target }, answer: { status: 200, type: TEXT, body: big } };
  if (head.target === '/big') return { subject, answer: { status: 200, type: TEXT, body: big } };
  if (head.target === '/throw') throw new Error('a defect');
  return { subject, answer: refuse(404, 'no') };
}

beforeEach(async () => {
  lines = [];
  big = Buffer.alloc(0);
  server = createMetadataServer({
    handle: answer,
    log: { add: (line) => lines.push(line), close: () => Promise.resolve() },
    limits,
    complain: () => undefined,
    now: () => new Date(0),
    elapsed: () => performance.now(),
  });
  listener = server.createListener();
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  port = (listener.address() as AddressInfo).port;
});

afterEach(async () => {
  server.closeConnections();
  await new Promise((resolve) => listener.close(resolve));
});

interface Call {
  readonly socket: Socket;
  /** Everything that came until the other side closed. */
  readonly end: Promise<string>;
}

function call(...sent: readonly (string | Uint8Array)[]): Call {
  const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  const end = new Promise<string>((resolve) => {
    let got = '';
    socket.setEncoding('latin1');
    socket.on('data', (chunk: string) => (got += chunk));
    socket.on('error', () => resolve(got));
    socket.on('end', () => {
      socket.end();
      resolve(got);
    });
    socket.on('close', () => resolve(got));
  });
  for (const part of sent) socket.write(part);
  return { socket, end };
}

const statusOf = (text: string) => Number(/^HTTP\/1\.1 (\d{3}) /.exec(text)?.[1]);
const bodyOf = (text: string) => text.slice(text.indexOf('\r\n\r\n') + 4);
const get = (path: string, more = '') =>
  `GET ${path} HTTP/1.1\r\nHost: x\r\n${more}Connection: close\r\n\r\n`;
const post = (body: string, more = `Content-Length: ${String(body.length)}\r\n`) =>
  `POST /echo HTTP/1.1\r\nHost: x\r\n${more}Connection: close\r\n\r\n${body}`;

async function isAlive(): Promise<boolean> {
  return statusOf(await call(post('hi')).end) === 200;
}

describe('the server', () => {
  it('answers, byte by byte as well, and with a half-closed connection', async () => {
    expect(bodyOf(await call(...Array.from(post('hello'))).end)).toBe('hello');
    const half = call(post('hello'));
    half.socket.end();
    expect(bodyOf(await half.end)).toBe('hello');
    const chunked = post('2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n', 'Transfer-Encoding: chunked\r\n');
    expect(bodyOf(await call(chunked).end)).toBe('hello');
  });

  it('answers requests that come at once in their order', async () => {
    const keep = (body: string) =>
      `POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: ${String(body.length)}\r\n\r\n${body}`;
    const text = await call(keep('one') + keep('two') + post('three')).end;
    expect(text.match(/one|two|three/g)).toEqual(['one', 'two', 'three']);
  });

  it('tells every kind of wrong request in one line', async () => {
    const wrong: readonly (readonly [number, string])[] = [
      [404, get('/nothing')],
      [400, 'GET / HTTP/1.1\r\n\r\n'],
      [400, 'hello\r\n\r\n'],
      [400, 'GET / HTTP/9.9\r\nHost: x\r\n\r\n'],
      [400, post('x', 'Content-Length: -1\r\n')],
      [400, post('x', 'Content-Length: 1\r\nTransfer-Encoding: chunked\r\n')],
      [400, post('zz\r\n', 'Transfer-Encoding: chunked\r\n')],
      [400, 'GET / HTTP/1.1\r\nHost: x\r\nA\0: b\r\n\r\n'],
      [431, get('/', `X: ${'y'.repeat(5000)}\r\n`)],
      [431, get(`/${'y'.repeat(5000)}`)],
      [413, post('x'.repeat(1001))],
      [413, post(`3e9\r\n${'x'.repeat(1001)}\r\n0\r\n\r\n`, 'Transfer-Encoding: chunked\r\n')],
      [413, post('', 'Content-Length: 99999999999\r\n')],
      [417, get('/', 'Expect: magic\r\n')],
      [405, 'CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n'],
      [500, get('/throw')],
    ];
    for (const [status, request] of wrong) {
      const text = await call(request).end;
      expect([request.slice(0, 40), statusOf(text)]).toEqual([request.slice(0, 40), status]);
      expect(text.toLowerCase()).toContain(`content-type: ${TEXT}`);
      expect(bodyOf(text)).toMatch(/^[\x20-\x7e]+\n$/);
    }
    expect(await isAlive()).toBe(true);
  });

  it('reads bodies that are announced with Expect: 100-continue', async () => {
    const text = await call(post('hello', 'Content-Length: 5\r\nExpect: 100-continue\r\n')).end;
    expect(text).toMatch(/^HTTP\/1\.1 100 /);
    expect(text).toContain('hello');
  });

  it('lets nobody take his time over a request', async () => {
    const [head, body, drip] = [
      call('GET / HTTP/1.1\r\nHost: '),
      call(post('', 'Content-Length: 10\r\n'), 'abc'),
      call(post('', 'Content-Length: 500\r\n')),
    ];
    const dripping = setInterval(() => drip.socket.write('x'), 50);
    const texts = await Promise.all([head.end, body.end, drip.end]);
    clearInterval(dripping);
    expect(texts.map(statusOf)).toEqual([408, 408, 408]);
    expect(bodyOf(texts[0])).toBe('the request took too long\n');
    await expect.poll(() => server.counters.connections).toBe(0);
  });

  it('lets nobody take his time over an answer', async () => {
    big = Buffer.alloc(32 * 1024 * 1024);
    const slow = call(get('/big'));
    slow.socket.pause();
    await expect.poll(() => server.counters.connections).toBe(1);
    await expect.poll(() => server.counters.connections, { timeout: 5000 }).toBe(0);
    slow.socket.destroy();
  });

  it('holds one large answer for a pod that does not read, and has those of others', async () => {
    big = Buffer.alloc(16 * 1024 * 1024);
    const slow = call('GET /pod1 HTTP/1.1\r\nHost: x\r\n\r\n');
    slow.socket.pause();
    await expect.poll(() => lines.length).toBe(1);
    const more = await call(get('/pod1')).end;
    expect([statusOf(more), bodyOf(more)]).toEqual([
      503,
      'earlier answers to this pod have not been read\n',
    ]);
    expect(statusOf(await call(get('/pod2')).end)).toBe(200);
    slow.socket.destroy();
    await expect.poll(async () => statusOf(await call(get('/pod1')).end)).toBe(200);
    // What was read, and what waited behind another answer when the caller went, counts no more.
    big = Buffer.alloc(9_000_000);
    const before = lines.length;
    const kept = (path: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;
    const both = call(kept('/big') + kept('/pod1'));
    both.socket.pause();
    await expect.poll(() => lines.length).toBe(before + 2);
    both.socket.destroy();
    await expect.poll(() => server.counters.connections).toBe(0);
    const texts = await Promise.all([call(get('/pod1')).end, call(get('/pod1')).end]);
    expect(texts.map(statusOf)).toEqual([200, 200]);
  });

  it('closes connections that say nothing', async () => {
    const silent = call();
    expect(statusOf(await silent.end)).toBe(408);
  });

  it('refuses more connections than it holds, and has room again when they end', async () => {
    const held = Array.from({ length: limits.connections }, () => call('GET / HTTP/1.1\r\nX: '));
    await expect.poll(() => server.counters.connections).toBe(limits.connections);
    const text = await call(get('/nothing')).end;
    expect([statusOf(text), bodyOf(text)]).toEqual([503, 'too many connections\n']);
    for (const { socket } of held) socket.destroy();
    await expect.poll(isAlive).toBe(true);
  });

  it('holds no more of all bodies together than it may', async () => {
    const begun = Array.from({ length: 3 }, () =>
      call(post('x'.repeat(990), 'Content-Length: 1000\r\n')),
    );
    const texts = await Promise.race(begun.map(({ end }) => end));
    expect(statusOf(texts)).toBe(503);
    for (const { socket } of begun) socket.destroy();
    await expect.poll(isAlive).toBe(true);
  });

  it('writes one line per request to the log', async () => {
    await call(post('hello')).end;
    await call('nonsense\r\n\r\n').end;
    expect(lines).toMatchObject([
      { remote: '127.0.0.1', method: 'POST', status: 200, bytes: 5, subject: { path: '/echo' } },
      { remote: '127.0.0.1', method: '-', status: 400, subject: undefined },
    ]);
  });

  it('survives any bytes, however they are cut', async () => {
    const piece = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.constantFrom(
        'GET /echo HTTP/1.1\r\n',
        'POST /echo HTTP/1.1\r\n',
        'Host: x\r\n',
        'Content-Length: 5\r\n',
        'Content-Length: 4294967297\r\n',
        'Transfer-Encoding: chunked\r\n',
        'Transfer-Encoding: chunked, identity\r\n',
        'Connection: upgrade\r\nUpgrade: websocket\r\n',
        'Expect: 100-continue\r\n',
        ': x\r\n',
        '\r\n',
        '\r',
        '\n',
        '\0',
        'ffffffffffffffff\r\n',
        '0\r\n\r\n',
        'hello',
      ),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(piece, { maxLength: 12 }),
        fc.constantFrom('end', 'destroy', 'wait'),
        async (pieces, then) => {
          const one = call(...pieces);
          if (then === 'end') one.socket.end();
          else if (then === 'destroy') setTimeout(() => one.socket.destroy(), 2);
          else setTimeout(() => one.socket.destroy(), 30);
          const text = await one.end;
          expect(text === '' || /^HTTP\/1\.1 \d{3} /.test(text)).toBe(true);
        },
      ),
      { numRuns: 300 },
    );
    expect(await isAlive()).toBe(true);
    await expect.poll(() => server.counters.connections, { timeout: 5000 }).toBe(0);
  }, 60_000);
});
