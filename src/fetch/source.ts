/** Where the parts of an OCI image come from: a registry, a layout in a folder, an archive. One adapter a file beside this one. */
import type { Descriptor, Digest, OciImage, Platform } from '../formats/oci/model.ts';

export interface OciSource {
  /** For people, as they named it: `docker://…`, `oci:DIR:REF`. */
  readonly name: string;
  /** The image for this platform; its manifest and configuration are verified. Throws FetchError, ArchiveError, ManifestError. */
  resolve(wanted: Platform, options?: { readonly signal?: AbortSignal }): Promise<OciImage>;
  /** Bytes as the source has them. Size and digest are the reader's to check. Throws FetchError. */
  openBlob(
    blob: Descriptor,
    options?: { readonly fromByte?: number; readonly signal?: AbortSignal },
  ): Promise<BlobStream>;
  /**
   * What came as this blob was wrong: too long, or of another digest. Whether it can be had from somewhere else, where the next
   * `openBlob` will go. A source that has one place only lacks this.
   */
  distrust?(blob: Descriptor): boolean;
  /** Idempotent. Connections, open files and temporary files are gone. */
  close(): Promise<void>;
}

export interface BlobStream {
  readonly chunks: AsyncIterable<Uint8Array>;
  /** Where the bytes begin: 0 from a source that cannot begin in the middle. */
  readonly fromByte: number;
}

/** What a reference named when the registry was asked. */
export interface RemoteState {
  /** Of the manifest or index, of its bytes as they came. */
  readonly digest: Digest;
  /** The registry's word for it, where it has one. */
  readonly etag: string | undefined;
}

export interface ResolvedImage extends OciImage {
  readonly remote: RemoteState;
}

export interface RegistrySource extends OciSource {
  resolve(wanted: Platform, options?: { readonly signal?: AbortSignal }): Promise<ResolvedImage>;
  /** Whether the reference still names the same. One small request, no manifest. Throws FetchError. */
  isUnchanged(
    known: { readonly digest: Digest; readonly etag?: string | undefined },
    options?: { readonly signal?: AbortSignal },
  ): Promise<boolean>;
}
