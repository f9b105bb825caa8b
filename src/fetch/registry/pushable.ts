/** An image as it is pushed: its manifest's bytes, and blobs that can be opened. */
import type { Descriptor } from '../../formats/oci/model.ts';

export interface PushableBlob {
  readonly descriptor: Descriptor;
  /** From the beginning; called again when an upload has to be repeated. Exactly `descriptor.size` bytes. */
  readonly open: () => AsyncIterable<Uint8Array>;
  /** Repositories (`docker.io/library/alpine`) that are known to have it: on the same registry it need not be sent. */
  readonly origins?: readonly string[];
}

export interface PushableImage {
  readonly manifest: { readonly bytes: Uint8Array; readonly mediaType: string };
  readonly config: PushableBlob;
  readonly layers: readonly PushableBlob[];
}
