/**
 * From the bytes of a file to those of the tar archive in it. What the decompressors of Node pass over in silence is looked
 * for here: a second zstd frame within a chunk, and bytes behind the end of the compressed data.
 */
import { createGunzip, createZstdDecompress, type Gunzip, type ZstdDecompress } from 'node:zlib';

import { ArchiveError, errnoOf, HostError } from '../../errors.ts';
import type { Argv, Exec, Pipe, RunResult } from '../../exec/exec.ts';
import type { Compression } from './sniff.ts';

export interface DecompressPorts {
  readonly exec: Exec;
  /** Absolute paths. */
  readonly tools: { readonly xz: string; readonly bzip2: string };
}

type Chunks = AsyncIterable<Buffer>;

const OUTPUT_CHUNK_BYTES = 256 * 1024;
/** What xz may use: -9 needs 65 MiB. A file made to need more is refused by it. */
const XZ_MEMORY = '256MiB';

export function decompress(
  compression: Compression,
  source: Chunks,
  ports: DecompressPorts,
): Chunks {
  switch (compression) {
    case 'none':
      return source;
    case 'gzip':
      return decodeMembers('gzip', source, () => createGunzip({ chunkSize: OUTPUT_CHUNK_BYTES }));
    case 'zstd':
      return decodeMembers('zstd', source, () =>
        createZstdDecompress({ chunkSize: OUTPUT_CHUNK_BYTES }),
      );
    case 'xz':
      return decodeByProgram('xz', source, ports.exec, [
        ports.tools.xz,
        '--decompress',
        '--stdout',
        `--memlimit-decompress=${XZ_MEMORY}`,
      ]);
    case 'bzip2':
      return decodeByProgram('bzip2', source, ports.exec, [
        ports.tools.bzip2,
        '--decompress',
        '--stdout',
      ]);
  }
}

/** A file may be several compressed ones behind each other (pigz, bgzip, pzstd); a decoder may stop after each. */
async function* decodeMembers(
  format: string,
  source: Chunks,
  create: () => Gunzip | ZstdDecompress,
): AsyncGenerator<Buffer> {
  const input = source[Symbol.asyncIterator]();
  let rest: Buffer | undefined;
  try {
    do {
      const decoder = create();
      const feeding = feed(decoder, input, rest);
      // Whoever stops reading early never sees what became of the feeding.
      feeding.catch(ignore);
      try {
        for await (const chunk of decoder as AsyncIterable<Buffer>) {
          yield chunk;
        }
      } catch (error) {
        throw decodeFailure(format, error);
      } finally {
        decoder.destroy();
      }
      rest = await feeding;
      if (rest?.[0] === 0) {
        await skipZeros(input, rest);
        rest = undefined;
      }
    } while (rest !== undefined);
  } finally {
    // Not awaited: a source that has nothing to give at the moment would keep an error from being told.
    input.return?.().catch(ignore);
  }
}

function ignore(): void {
  // Told by the decoder, or of no interest any more.
}

/** Resolves with what the decoder left because it came to an end before its input did. */
async function feed(
  decoder: Gunzip | ZstdDecompress,
  input: AsyncIterator<Buffer>,
  first: Buffer | undefined,
): Promise<Buffer | undefined> {
  let fedBytes = 0;
  let chunk = first;
  for (;;) {
    if (chunk === undefined) {
      try {
        const next = await input.next();
        if (next.done === true) break;
        chunk = next.value;
      } catch (error) {
        decoder.destroy(error instanceof Error ? error : new Error(String(error)));
        throw error;
      }
    }
    const fed = chunk;
    chunk = undefined;
    fedBytes += fed.length;
    const written = await new Promise<boolean>((resolve) => {
      decoder.write(fed, (error) => {
        resolve(error === undefined || error === null);
      });
    });
    if (!written) return undefined;
    const left = fedBytes - decoder.bytesWritten;
    if (left > 0) return fed.subarray(fed.length - left);
  }
  decoder.end();
  return undefined;
}

/** Tapes are filled up with zeros, and some still do it. Anything else there is refused. */
async function skipZeros(input: AsyncIterator<Buffer>, rest: Buffer): Promise<void> {
  let chunk: Buffer | undefined = rest;
  while (chunk !== undefined) {
    if (!chunk.every((byte) => byte === 0)) throw trailing();
    const next = await input.next();
    chunk = next.done === true ? undefined : next.value;
  }
}

/** Its first bytes were of the format: what is of none must stand behind a whole member. */
function decodeFailure(format: string, error: unknown): unknown {
  const code = errnoOf(error);
  if (code === 'Z_BUF_ERROR') return truncated(format, error);
  const isUnknown =
    code === 'ZSTD_error_prefix_unknown' ||
    (code === 'Z_DATA_ERROR' &&
      error instanceof Error &&
      error.message === 'incorrect header check');
  if (isUnknown) return trailing(error);
  if (code?.startsWith('Z_') === true || code?.startsWith('ZSTD_') === true) {
    return corrupt(format, error instanceof Error ? error.message : code, error);
  }
  return error;
}

async function* decodeByProgram(
  format: 'xz' | 'bzip2',
  source: Chunks,
  exec: Exec,
  argv: Argv,
): AsyncGenerator<Buffer> {
  const program = await exec.pipe(argv);
  const feeding = feedProgram(program, source);
  let isWhole = false;
  try {
    for await (const chunk of program.stdout) {
      yield Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk);
    }
    isWhole = true;
  } finally {
    if (!isWhole) program.kill();
  }
  const result = await program.ended;
  // Without the input's fault the program would not have failed; without the archive's it would have taken all of the input.
  if (feeding.fault !== undefined) throw feeding.fault.error;
  const failure = programFailure(format, result);
  if (failure !== undefined) throw failure;
}

interface Feeding {
  /** What the source has thrown. */
  fault: { readonly error: unknown } | undefined;
  /** The program takes no more. */
  isBroken: boolean;
}

function feedProgram(program: Pipe, source: Chunks): Feeding {
  const feeding: Feeding = { fault: undefined, isBroken: false };
  program.stdin.on('error', () => {
    feeding.isBroken = true;
  });
  void (async () => {
    try {
      for await (const chunk of source) {
        if (feeding.isBroken) return;
        await new Promise<void>((resolve) => {
          program.stdin.write(chunk, () => {
            resolve();
          });
        });
      }
      program.stdin.end();
    } catch (error) {
      feeding.fault = { error };
      program.kill();
    }
  })();
  return feeding;
}

function programFailure(format: 'xz' | 'bzip2', result: RunResult): Error | undefined {
  const { stderr } = result;
  if (stderr.includes('trailing garbage')) return trailing();
  if (result.status === 0) return undefined;
  if (/Unexpected end of input|ends unexpectedly/.test(stderr)) return truncated(format);
  if (stderr.includes('File format not recognized')) return trailing();
  if (/corrupt|data integrity|not a bzip2|CRC/i.test(stderr)) {
    return corrupt(format, lastLine(stderr));
  }
  if (/[Mm]emory usage limit/.test(stderr)) {
    return new ArchiveError(
      'ARCHIVE_TOO_LARGE',
      `the archive needs more than ${XZ_MEMORY} of memory to be decompressed`,
    );
  }
  const how = result.signal ?? `status ${String(result.status)}`;
  return new HostError('TOOL_FAILED', `${format} failed (${how}): ${lastLine(stderr)}`);
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) ?? '';
}

function truncated(format: string, cause?: unknown): ArchiveError {
  return new ArchiveError('ARCHIVE_TRUNCATED', `the archive ends within its ${format} data`, {
    remedies: ['fetch or copy the file again'],
    ...(cause === undefined ? {} : { cause }),
  });
}

export function trailing(cause?: unknown): ArchiveError {
  return new ArchiveError(
    'ARCHIVE_TRAILING_DATA',
    'the archive has data behind the end of what is compressed',
    cause === undefined ? {} : { cause },
  );
}

function corrupt(format: string, reason: string, cause?: unknown): ArchiveError {
  return new ArchiveError('ARCHIVE_CORRUPT', `the archive's ${format} data is damaged: ${reason}`, {
    remedies: ['fetch or copy the file again'],
    ...(cause === undefined ? {} : { cause }),
  });
}
