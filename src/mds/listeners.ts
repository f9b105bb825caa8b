/**
 * Where the service listens: sockets that it was given, addresses, and the addresses of interfaces as they come and go. Never on
 * all addresses.
 */
import type { Server } from 'node:http';
import { isIP, type AddressInfo } from 'node:net';

import { errnoOf, HostError } from '../errors.ts';
import { LOOPBACK } from '../host/listen-list.ts';

export interface ListenerPorts {
  createListener(): Server;
  /** Addresses by interface, of this moment. */
  interfaces(): ReadonlyMap<string, readonly string[]>;
  complain(message: string): void;
}

export interface ListenRequest {
  readonly port: number;
  /** Addresses and names of interfaces. */
  readonly wanted: readonly string[];
  /** Of LISTEN_FDS: 3 and the following. */
  readonly descriptors: readonly number[];
}

export interface Listeners {
  /** As `127.0.0.1:1104`. */
  readonly addresses: readonly string[];
  /** Looks again at what is there now. */
  refresh(): Promise<void>;
  close(): void;
}

/** fe80::/10 works on one link only, and 0.0.0.0 would be everywhere. */
function isUsable(address: string): boolean {
  return isIP(address) !== 0 && !/^fe[89ab]/i.test(address) && !/^[0.:]+$/.test(address);
}

function listen(server: Server, where: object): Promise<AddressInfo | string | null> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error) => reject(error);
    server.once('error', fail);
    server.listen(where, () => {
      server.removeListener('error', fail);
      resolve(server.address());
    });
  });
}

const isEverywhere = (address: string) => address === '0.0.0.0' || address === '::';

function render(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${String(port)}` : `${address}:${String(port)}`;
}

export async function openListeners(
  ports: ListenerPorts,
  { port, wanted, descriptors }: ListenRequest,
): Promise<Listeners> {
  const open = new Map<string, Server>();
  /** Given to us: they stay whatever becomes of the interfaces. */
  const given = new Set<string>();
  const complaints = new Map<string, string>();

  const keep = (name: string, server: Server) => {
    open.set(name, server);
    server.on('error', (error) => ports.complain(`${name}: ${error.message}`));
  };

  async function adopt(fd: number): Promise<void> {
    const server = ports.createListener();
    const address = await listen(server, { fd }).catch((cause: unknown) => {
      throw new HostError('IO_FAILED', `descriptor ${String(fd)} is no listening socket`, {
        cause,
      });
    });
    if (address === null || typeof address === 'string' || isEverywhere(address.address)) {
      server.close();
      const what = address === null || typeof address === 'string' ? 'no address' : 'all addresses';
      throw new HostError('CONFIG_INVALID', `the socket that was handed over listens on ${what}`, {
        remedies: [`ListenStream=${LOOPBACK}:${String(port)} in the socket unit`],
      });
    }
    given.add(address.address);
    keep(address.address, server);
  }

  async function bind(address: string): Promise<void> {
    const server = ports.createListener();
    try {
      await listen(server, { host: address, port, exclusive: true, ipv6Only: true, backlog: 511 });
      complaints.delete(address);
      keep(address, server);
    } catch (error) {
      server.close();
      const errno = errnoOf(error) ?? String(error);
      // It is not there yet; anything else is told once.
      if (errno === 'EADDRNOTAVAIL' || errno === 'EAFNOSUPPORT') return;
      if (complaints.get(address) !== errno)
        ports.complain(`cannot listen on ${render(address, port)}: ${errno}`);
      complaints.set(address, errno);
    }
  }

  async function refresh(): Promise<void> {
    const present = ports.interfaces();
    const addresses = new Set(
      wanted.flatMap((item) => (isIP(item) === 0 ? (present.get(item) ?? []) : [item])),
    );
    for (const address of addresses)
      if (isUsable(address) && !open.has(address)) await bind(address);
    for (const [address, server] of open) {
      if (addresses.has(address) || given.has(address)) continue;
      open.delete(address);
      server.close();
    }
  }

  for (const fd of descriptors) await adopt(fd);
  await refresh();
  if (!open.has(LOOPBACK)) {
    for (const server of open.values()) server.close();
    throw new HostError(
      'IO_FAILED',
      `cannot listen on ${render(LOOPBACK, port)}: ${complaints.get(LOOPBACK) ?? 'it is not there'}`,
      { remedies: ['is it running already? see: jetpack info', 'or choose another mds.port'] },
    );
  }
  return {
    get addresses() {
      return [...open.keys()].map((address) => render(address, port));
    },
    refresh,
    close() {
      for (const server of open.values()) server.close();
    },
  };
}
