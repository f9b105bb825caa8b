/**
 * The words of the OCI image specification (image-spec 1.1: descriptor.md, manifest.md, image-index.md), and of Docker's
 * schema 2 where they are the same thing under another media type. Types and constants; bytes are parsed by the schema room.
 */

import type { Digest } from '../../schema/digest.ts';

export {
  algorithmOf,
  type Digest,
  type DigestAlgorithm,
  hexOf,
  parseDigest,
} from '../../schema/digest.ts';

/** In the words of Go: `linux`, `arm64`, `v8`. */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
}

/** What points at content: how many bytes, of which type, with which digest. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  /** Where else it lies (descriptor.md, `urls`): layers that a registry must not hand out. */
  readonly urls?: readonly string[];
  readonly annotations?: Readonly<Record<string, string>>;
}

/** An image of one platform, its manifest and configuration verified against their digests. */
export interface OciImage {
  /** The bytes that `manifest.digest` is of: schema 2 or OCI. Absent when the source has none (docker save). */
  readonly manifest: { readonly bytes: Buffer; readonly descriptor: Descriptor } | undefined;
  readonly config: { readonly bytes: Buffer; readonly descriptor: Descriptor };
  /** From the lowest to the topmost, one for each of `diffIds`. */
  readonly layers: readonly Descriptor[];
  /** Digests of the uncompressed tars, as the configuration tells them (config.md, `rootfs.diff_ids`). */
  readonly diffIds: readonly Digest[];
  readonly platform: Platform;
  /** The index that the manifest was chosen from, where there was one. */
  readonly index: Descriptor | undefined;
  /** What the source calls it: a whole reference (`docker.io/library/alpine:3.20`), a tag, or nothing. */
  readonly refName: string | undefined;
}
