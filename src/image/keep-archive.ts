/** The archive goes into the store as it comes, so that an export can give the same bytes back. */
import type { Digest } from '../formats/oci/model.ts';
import type { Compression } from '../formats/tar/sniff.ts';
import { type BlobPorts, type BlobWriter, createBlobWriter, type StoredBlob } from './blobs.ts';
import type { Making } from './publish.ts';

export interface ArchiveKeeper {
  add(bytes: Buffer, compression: Compression): Promise<void>;
  /** Once, when all has come. `sha512`: hex, of the bytes that came. */
  commit(sha512: string): Promise<StoredBlob>;
  /** Idempotent, and nothing after `commit`. */
  abandon(): Promise<void>;
}

export function keepArchive(ports: BlobPorts, making: Making): ArchiveKeeper {
  let writer: BlobWriter | undefined;
  const start = (compress: boolean) =>
    createBlobWriter(ports, {
      uuid: making.uuid,
      keepIn: making.blobs,
      compress,
      hashedByCaller: true,
    });
  return {
    async add(bytes, compression) {
      writer ??= await start(compression === 'none');
      await writer.write(bytes);
    },
    async commit(sha512) {
      writer ??= await start(false);
      return writer.commit(`sha512:${sha512}` as Digest);
    },
    async abandon() {
      await writer?.abandon();
    },
  };
}
