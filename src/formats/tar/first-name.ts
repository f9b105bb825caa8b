/** The name of an archive's first entry: enough to tell what kind of archive it is, without reading the rest. */
import { ArchiveError } from '../../errors.ts';
import { decompress, type DecompressPorts } from './decompress.ts';
import type { TarEntry } from './entry.ts';
import { TarReader } from './reader.ts';
import { sniffCompression } from './sniff.ts';

/** More than this before the first entry is no archive of ours. */
const MAX_BYTES = 4 * 1024 * 1024;

/** As byte text, without `./` in front; undefined for what is no archive, or a damaged one: whoever reads it will say why. */
export async function readFirstName(
  chunks: AsyncIterable<Buffer>,
  ports: DecompressPorts,
): Promise<string | undefined> {
  let name: string | undefined;
  const reader = new TarReader(
    {
      entry(entry: TarEntry) {
        const path = entry.name.replace(/^(?:\.?\/)+/, '');
        // `.` itself tells nothing.
        if (path !== '' && path !== '.') name ??= path;
      },
      data() {
        // Whatever is in it.
      },
      endEntry() {
        // The first name is all that counts.
      },
    },
    { headerBytes: 1024 * 1024 },
  );
  try {
    for await (const chunk of plain(chunks, ports)) {
      reader.write(chunk);
      if (name !== undefined || reader.readBytes > MAX_BYTES) break;
    }
  } catch (error) {
    if (!(error instanceof ArchiveError)) throw error;
  }
  return name;
}

async function* plain(
  chunks: AsyncIterable<Buffer>,
  ports: DecompressPorts,
): AsyncGenerator<Buffer> {
  const input = chunks[Symbol.asyncIterator]();
  try {
    const first = await input.next();
    const head: Buffer | undefined = first.done === true ? undefined : first.value;
    const compression = head && sniffCompression(head);
    if (head === undefined || compression === undefined) return;
    yield* decompress(compression, behind(head, input), ports);
  } finally {
    await input.return?.();
  }
}

async function* behind(head: Buffer, input: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
  yield head;
  for (let next = await input.next(); next.done !== true; next = await input.next())
    yield next.value;
}
