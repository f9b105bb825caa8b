/** Ports of the host that lead into a pod. Pure. */
import { PodError } from '../errors.ts';
import { renderNetwork, type PodNetwork } from '../network/network.ts';
import type { PodManifest } from '../schema/pod-manifest.ts';

/**
 * No network that a pod can have now forwards ports: one is there only as a socket that a service manager passes, or as it
 * is in the network of the host. Warnings for what a manifest asks for beyond that; throws POD_NET_UNSUPPORTED for a flag.
 */
export function checkForwards(
  manifest: PodManifest,
  network: PodNetwork,
  origin: 'words' | 'manifest',
): readonly string[] {
  const ports = manifest.apps.flatMap(({ app }) => app?.ports ?? []);
  return (manifest.ports ?? []).flatMap(({ name, hostPort }, i) => {
    const port = ports.find((candidate) => candidate.name === name);
    if (port?.socketActivated === true) return [];
    if (network.kind === 'host' && port?.port === hostPort) return [];
    const message = `port ${String(hostPort)} of the host does not lead to port "${name}" of the pod with --net=${renderNetwork(network)}`;
    if (origin === 'manifest')
      return [`the pod manifest, ports[${String(i)}].hostPort: ${message}`];
    throw new PodError('POD_NET_UNSUPPORTED', message, {
      remedies: [
        '--net=host, where the app itself listens on the port of the host',
        'or let a service manager pass the socket, for a port that the image calls socketActivated',
      ],
    });
  });
}
