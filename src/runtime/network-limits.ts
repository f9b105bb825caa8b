/**
 * resource/network-bandwidth: bytes a second, through every interface of the pod but loopback, each way. The apps of a pod
 * share its interfaces, so the limit is the pod's; the shim sets it in the network namespace (shim/linux/rate.h).
 */
import type { PodNetwork } from '../network/network.ts';
import { amountOf } from '../schema/appc.ts';
import type { Asked } from './asked.ts';
import { findRateTool, RATE_TOOLS, type RateToolName } from './rate-tools.ts';
import type { NetworkRate } from './runtime.ts';

const NAME = 'resource/network-bandwidth';
/** The shim takes no less. */
const LEAST_BYTES = 1024;

function getTools(asked: Asked): { readonly tc: string; readonly nft: string } {
  const find = (wanted: RateToolName): string => {
    const found = findRateTool(wanted);
    if (found !== undefined) return found;
    const debianPackage = RATE_TOOLS.find(({ name }) => name === wanted)?.debianPackage ?? wanted;
    return asked.refuse(NAME, `there is no ${wanted}`, [`apt install ${debianPackage}`]);
  };
  return { tc: find('tc'), nft: find('nft') };
}

/** Undefined: nothing to limit. `shared`: an app among several. */
export function networkRate(
  asked: Asked,
  network: PodNetwork,
  shared: boolean,
): NetworkRate | undefined {
  const value = asked.value(NAME);
  if (value === undefined) return undefined;
  const bytesPerSecond = amountOf(value.limit);
  if (bytesPerSecond < LEAST_BYTES) asked.impossible(NAME, '.limit', 'is less than 1Ki a second');
  switch (network.kind) {
    case 'none':
      // Loopback is not limited, and there is nothing else.
      return undefined;
    case 'host':
      return asked.refuse(NAME, 'the network of the host is not only its own', ['--net=none']);
    case 'ns':
      if (shared) {
        return asked.refuse(NAME, 'it shares the network with the other apps of the pod', [
          `for all of them: --pod-isolator='${NAME}={"default":true,"limit":"…"}'`,
        ]);
      }
  }
  if (!Number.isSafeInteger(bytesPerSecond)) return undefined;
  return { ...getTools(asked), bytesPerSecond };
}
