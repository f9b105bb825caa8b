/** Digests as OCI writes them (image-spec descriptor.md, "Digests"). */

declare const digestBrand: unique symbol;
/** `sha256:<64 hex>` or `sha512:<128 hex>`, lower case: nothing else is trusted to name content. */
export type Digest = string & { readonly [digestBrand]: true };

const DIGEST = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;

export function parseDigest(text: string): Digest | undefined {
  return DIGEST.test(text) ? (text as Digest) : undefined;
}

export type DigestAlgorithm = 'sha256' | 'sha512';

export function algorithmOf(digest: Digest): DigestAlgorithm {
  return digest.startsWith('sha512:') ? 'sha512' : 'sha256';
}

/** The digest without its algorithm. */
export function hexOf(digest: Digest): string {
  return digest.slice(digest.indexOf(':') + 1);
}
