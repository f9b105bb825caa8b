/** The network of a pod. Contained networks come with their own adapters; until then they are refused by name. */
import path from 'node:path';

import { PodError } from '../errors.ts';

export type PodNetwork =
  | { readonly kind: 'host' }
  | { readonly kind: 'none' }
  /** A network namespace that somebody else made; `path` is its file (`ip netns add`, or `/proc/PID/ns/net`). */
  | { readonly kind: 'ns'; readonly path: string };

/** Where `ip netns` keeps its namespaces, ip-netns(8). */
export const NAMED_NAMESPACES = '/run/netns';

function parseNamespace(text: string): PodNetwork {
  if (text.startsWith('/')) {
    const normal = path.posix.normalize(text).replace(/\/$/, '');
    if (normal !== '') return { kind: 'ns', path: normal };
  } else if (/^[^/\0]{1,255}$/.test(text) && text !== '.' && text !== '..') {
    return { kind: 'ns', path: `${NAMED_NAMESPACES}/${text}` };
  }
  throw new PodError('POD_NET_UNSUPPORTED', `"ns:${text}" names no network namespace`, {
    remedies: ['--net=ns:NAME, as ip netns list shows it', '--net=ns:/PATH/OF/ITS/FILE'],
  });
}

/** What `--net` may say. Without it a pod has loopback only: sharing more than that is never a default. */
export function parseNetwork(text: string | undefined): PodNetwork {
  if (text === undefined || text === 'none') return { kind: 'none' };
  if (text === 'host') return { kind: 'host' };
  if (text.startsWith('ns:')) return parseNamespace(text.slice('ns:'.length));
  throw new PodError('POD_NET_UNSUPPORTED', `this jetpack has no network "${text}"`, {
    remedies: [
      '--net=host shares the network of the host',
      '--net=none gives the pod loopback only',
      '--net=ns:NAME joins a network namespace of ip netns',
    ],
  });
}

/** As `--net` takes it, and as `list` and `status` show it. */
export function renderNetwork(network: PodNetwork): string {
  if (network.kind !== 'ns') return network.kind;
  const named = path.posix.dirname(network.path) === NAMED_NAMESPACES;
  return `ns:${named ? path.posix.basename(network.path) : network.path}`;
}
