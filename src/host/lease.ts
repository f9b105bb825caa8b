/**
 * A lease tells others that a process is at work on something: a listening Unix socket that the kernel closes when its
 * holder dies, however it dies. Held: connect(2) is answered. Refused: the holder is dead, and what it worked on is garbage.
 * Take the lease before the first trace of the work exists, and give it up after the last; then whoever sees a trace
 * without a marker and without a lease may remove it.
 */
import { chmodSync, renameSync, unlinkSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';

import { errnoOf, HostError } from '../errors.ts';

export interface Lease {
  readonly file: string;
  /** Idempotent and synchronous: the file is gone and nobody is answered when it returns. */
  release(): void;
}

/** sun_path of unix(7) has 108 bytes with its end mark; FreeBSD's has 104. */
export const MAX_SOCKET_PATH = 103;

/** Between bind(2) and listen(2) nobody answers: the socket gets its name only when it does. */
export const UNFINISHED_LEASE = '.new';

/** Rejects with HostError IO_FAILED. The file must not exist (its name is a fresh UUID). */
export async function takeLease(file: string): Promise<Lease> {
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => {
      reject(
        new HostError(
          'IO_FAILED',
          `cannot take the lease ${file}: ${errnoOf(cause) ?? cause.message}`,
          {
            remedies: errnoOf(cause) === 'ENOSPC' ? ['make room: remove pods with jetpack rm'] : [],
            cause,
          },
        ),
      );
    });
    server.listen({ path: `${file}${UNFINISHED_LEASE}`, backlog: 64 }, resolve);
  });
  server.unref();
  chmodSync(`${file}${UNFINISHED_LEASE}`, 0o600);
  renameSync(`${file}${UNFINISHED_LEASE}`, file);
  return { file, release: () => releaseLease(server, file) };
}

function releaseLease(server: Server, file: string): void {
  if (server.listening) server.close();
  try {
    unlinkSync(file);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
}

/** Whether somebody answers on the socket. A missing file and a refused connection are both "no". */
export function isAnswered(file: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path: file });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (error) => {
      const errno = errnoOf(error);
      if (errno === 'ECONNREFUSED' || errno === 'ENOENT' || errno === 'ENOTSOCK') resolve(false);
      else if (errno === 'EAGAIN') resolve(true);
      else
        reject(
          new HostError('IO_FAILED', `cannot ask ${file}: ${errno ?? error.message}`, {
            cause: error,
          }),
        );
    });
  });
}
