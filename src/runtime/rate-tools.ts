/** The programs that limit a network: tc-tbf(8) what goes out, nft(8) what comes in. */
import { existsSync } from 'node:fs';

export const RATE_TOOLS = [
  { name: 'tc', debianPackage: 'iproute2' },
  { name: 'nft', debianPackage: 'nftables' },
] as const;

export type RateToolName = (typeof RATE_TOOLS)[number]['name'];

export function findRateTool(name: RateToolName): string | undefined {
  return [`/usr/sbin/${name}`, `/sbin/${name}`].find((file) => existsSync(file));
}
