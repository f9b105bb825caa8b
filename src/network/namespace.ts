/** A network namespace that somebody else made, looked at before a pod is told to join it. */
import { readlinkSync, statfsSync, statSync } from 'node:fs';
import path from 'node:path';

import { errnoOf, PodError } from '../errors.ts';
import { NAMED_NAMESPACES, type PodNetwork } from './network.ts';

const NSFS_MAGIC = 0x6e736673;

/** Undefined: it may not be looked at. */
function identityOf(file: string): string | undefined {
  try {
    const { dev, ino } = statSync(file);
    return `${String(dev)}:${String(ino)}`;
  } catch {
    return undefined;
  }
}

/** Ours, and that of process 1, which even root may not see everywhere. */
function isHostNetwork(file: string): boolean {
  const identity = identityOf(file);
  const own = ['/proc/self/ns/net', '/proc/1/ns/net'].map(identityOf);
  return identity !== undefined && own.includes(identity);
}

function refuse(what: string, remedies: readonly string[], cause?: unknown): never {
  throw new PodError('POD_NET_UNSUPPORTED', what, { remedies, cause });
}

function missing(file: string, cause: unknown): never {
  const errno = errnoOf(cause);
  if (errno !== 'ENOENT') refuse(`cannot look at ${file}: ${errno ?? String(cause)}`, [], cause);
  const remedies =
    path.posix.dirname(file) === NAMED_NAMESPACES
      ? [`ip netns add ${path.posix.basename(file)}`]
      : ['see the named ones with: ip netns list'];
  refuse(`there is no network namespace ${file}`, remedies, cause);
}

/**
 * Whether the pod can join its network, as far as it can be told from here; the shim looks again when the pod starts, and asks the
 * kernel of what kind the namespace is. Throws PodError POD_NET_UNSUPPORTED.
 */
export function checkNetwork(network: PodNetwork): void {
  if (network.kind !== 'ns') return;
  const file = network.path;
  let isNamespace: boolean;
  let link: string | undefined;
  try {
    isNamespace = statfsSync(file).type === NSFS_MAGIC;
    // What lies in /proc is a link that tells its kind; a bind mount of it does not.
    if (isNamespace && file.startsWith('/proc/')) link = readlinkSync(file);
  } catch (error) {
    missing(file, error);
  }
  if (!isNamespace || link?.startsWith('net:') === false) {
    refuse(`${file} is no network namespace`, ['see the named ones with: ip netns list']);
  }
  if (isHostNetwork(file)) {
    refuse(`${file} is the network namespace of the host`, [
      '--net=host shares the network of the host',
    ]);
  }
}
