/** Pieces of exactly `chunkBytes`, the last one of what is left, behind the first `skipBytes`. Pure but for its input. */
export async function* cutIntoChunks(
  source: AsyncIterable<Uint8Array>,
  chunkBytes: number,
  skipBytes: number,
): AsyncGenerator<Uint8Array> {
  let toSkip = skipBytes;
  let parts: Uint8Array[] = [];
  let size = 0;
  for await (const bytes of source) {
    let rest = bytes.subarray(Math.min(toSkip, bytes.length));
    toSkip -= bytes.length - rest.length;
    while (rest.length > 0) {
      const taken = rest.subarray(0, chunkBytes - size);
      parts.push(taken);
      size += taken.length;
      rest = rest.subarray(taken.length);
      if (size === chunkBytes) {
        yield Buffer.concat(parts);
        parts = [];
        size = 0;
      }
    }
  }
  if (size > 0) yield Buffer.concat(parts);
}
