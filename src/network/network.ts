/** The network of a pod. Contained networks come with their own adapters; until then they are refused by name. */
import { PodError } from '../errors.ts';

export type PodNetwork = 'host' | 'none';

/** What `--net` may say. Without it a pod has loopback only: sharing more than that is never a default. */
export function parseNetwork(text: string | undefined): PodNetwork {
  if (text === undefined || text === 'none') return 'none';
  if (text === 'host') return 'host';
  throw new PodError('POD_NET_UNSUPPORTED', `this jetpack has no network "${text}"`, {
    remedies: [
      '--net=host shares the network of the host',
      '--net=none gives the pod loopback only',
    ],
  });
}
