/** The archive goes into the store as it comes, so that an export can give the same bytes back. */
import type { Digest } from '../formats/oci/model.ts';
import type { ArchiveSummary } from '../formats/tar/archive.ts';
import type { Compression } from '../formats/tar/sniff.ts';
import { type BlobPorts, type BlobWriter, createBlobWriter } from './blobs.ts';
import type { Making } from './publish.ts';

/** `work` gives every byte of the archive to `keep`, and returns its digest: the store has it when this resolves. */
export async function withKeptArchive<T extends { readonly archive: ArchiveSummary }>(
  ports: BlobPorts,
  making: Making,
  work: (keep: (bytes: Buffer, compression: Compression) => Promise<void>) => Promise<T>,
): Promise<T> {
  let writer: BlobWriter | undefined;
  try {
    const result = await work(async (bytes, compression) => {
      writer ??= await createBlobWriter(ports, {
        uuid: making.uuid,
        keepIn: making.blobs,
        compress: compression === 'none',
        hashedByCaller: true,
      });
      await writer.write(bytes);
    });
    await writer?.commit(`sha512:${result.archive.archiveSha512}` as Digest);
    return result;
  } finally {
    await writer?.abandon();
  }
}
