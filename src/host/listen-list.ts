/** The addresses and interfaces that the metadata service may listen on (`mds.listen`). */
import { isIP } from 'node:net';

export const LOOPBACK = '127.0.0.1';

/** IFNAMSIZ of netdevice(7), without its end mark. */
const BUILT_IN: ReadonlySet<string> = new Set([LOOPBACK, '::1']);

const INTERFACE = /^[A-Za-z0-9][A-Za-z0-9_.@-]{0,14}$/;

/** Every spelling of "all addresses": 0.0.0.0, ::, 0:0::0, ::ffff:0.0.0.0. */
function isEveryAddress(text: string): boolean {
  return /^[0.:]+$/.test(text) || /^[0:]+:ffff:(?:0+\.0+\.0+\.0+|0+:0+)$/i.test(text);
}

/** Why the list is not acceptable; undefined when it is. */
export function refuseListenList(items: readonly string[]): string | undefined {
  const everywhere = items.find(isEveryAddress);
  if (everywhere !== undefined)
    return `${everywhere} would answer on every network; name addresses or interfaces`;
  // isIP() compiles a large pattern, which costs every start some milliseconds: not for what is built in.
  const odd = items.find(
    (item) => !BUILT_IN.has(item) && isIP(item) === 0 && !INTERFACE.test(item),
  );
  if (odd !== undefined) return `"${odd}" is neither an address nor the name of an interface`;
  if (!items.includes(LOOPBACK))
    return `${LOOPBACK} must be among them: pods reach the service there`;
  if (new Set(items).size !== items.length) return 'one of them stands there twice';
  return undefined;
}
