/** Compression by the programs of the system, for tests of decompression. */
import { execFileSync } from 'node:child_process';

function compressBy(program: string): (bytes: Buffer) => Buffer {
  return (bytes) => execFileSync(program, ['-c'], { input: bytes, maxBuffer: 1 << 30 });
}

export const xzCompress = compressBy('/usr/bin/xz');
export const bzip2Compress = compressBy('/usr/bin/bzip2');
