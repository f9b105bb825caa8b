/** Bytes that have to be known as a whole before they are written on: their size and digest, in a file without a name. */
import { createHash, randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { type FileHandle, open, unlink } from 'node:fs/promises';
import path from 'node:path';

import type { Digest } from '../formats/oci/model.ts';
import type { Layout } from '../host/layout.ts';
import { ensureBlobFolder } from './blobs.ts';

export interface Spooled {
  readonly digest: Digest;
  readonly sizeBytes: number;
  /** From the beginning, as often as is wanted. Chunks are the reader's to keep. */
  read(): AsyncGenerator<Buffer, void, undefined>;
  /** Idempotent: the bytes are gone. */
  close(): Promise<void>;
}

const CHUNK_BYTES = 256 * 1024;

/** In the store's own file system. Throws what `chunks` throws; nothing is left then. */
export async function spool(layout: Layout, chunks: AsyncIterable<Uint8Array>): Promise<Spooled> {
  ensureBlobFolder(layout);
  const name = path.join(layout.dir.blobs, `.${randomUUID()}.export`);
  const handle = await open(name, 'wx+', 0o600);
  try {
    await unlink(name);
    const hash = createHash('sha256');
    let sizeBytes = 0;
    for await (const chunk of chunks) {
      hash.update(chunk);
      for (let at = 0; at < chunk.length;) {
        const { bytesWritten } = await handle.write(chunk, at, chunk.length - at, sizeBytes + at);
        at += bytesWritten;
      }
      sizeBytes += chunk.length;
    }
    return new File(handle, `sha256:${hash.digest('hex')}` as Digest, sizeBytes);
  } catch (error) {
    rmSync(name, { force: true });
    await handle.close();
    throw error;
  }
}

class File implements Spooled {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly #handle: FileHandle;
  #isOpen = true;

  constructor(handle: FileHandle, digest: Digest, sizeBytes: number) {
    this.#handle = handle;
    this.digest = digest;
    this.sizeBytes = sizeBytes;
  }

  async *read(): AsyncGenerator<Buffer, void, undefined> {
    for (let at = 0; at < this.sizeBytes;) {
      const buffer = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, this.sizeBytes - at));
      const { bytesRead } = await this.#handle.read(buffer, 0, buffer.length, at);
      if (bytesRead === 0) throw new Error('a file of our own has become shorter');
      yield buffer.subarray(0, bytesRead);
      at += bytesRead;
    }
  }

  async close(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    await this.#handle.close();
  }
}
