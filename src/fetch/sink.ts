/** Where downloaded blobs go. The store of blobs is behind it; a download knows nothing of files. */

export interface BlobSink {
  /** How many bytes it has, from the first on. More than 0 before the first write: an earlier download was cut off. */
  readonly bytesSoFar: number;
  /** The bytes it has, in their order: they are hashed before a download goes on behind them. */
  read(): AsyncIterable<Uint8Array>;
  /** Appends. The chunk belongs to the sink from then on. */
  write(chunk: Uint8Array): Promise<void>;
  /** Forgets all bytes: `bytesSoFar` is 0 afterwards. */
  restart(): Promise<void>;
}
