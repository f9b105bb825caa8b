/** What a file is, by its first bytes and never by its name. */
import { BLOCK_BYTES, hasValidChecksum } from './header.ts';

export type Compression = 'none' | 'gzip' | 'bzip2' | 'xz' | 'zstd';

const MAGIC: readonly (readonly [Compression, readonly number[]])[] = [
  ['gzip', [0x1f, 0x8b]],
  ['bzip2', [0x42, 0x5a, 0x68]],
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
];

/** Needs the first 512 bytes, or the whole file where it is shorter. Undefined: no archive that is understood. */
export function sniffCompression(head: Buffer): Compression | undefined {
  for (const [compression, magic] of MAGIC) {
    if (magic.every((byte, index) => head[index] === byte)) return compression;
  }
  if (head.length < BLOCK_BYTES) return undefined;
  const isUstar = head.toString('latin1', 257, 262) === 'ustar';
  // Archives from before ustar have no mark; a sum that is right by accident is one in some thousands.
  const isV7 = head[0] !== 0 && hasValidChecksum(head.subarray(0, BLOCK_BYTES));
  return isUstar || isV7 ? 'none' : undefined;
}
