/** Whether an image may be unpacked at all. Decided before the first byte is. Pure. */
import { ImageError } from '../errors.ts';

export type TrustVerdict =
  /** A signature over these bytes is by a key that is trusted for this name. */
  | { readonly kind: 'signed'; readonly fingerprint: string; readonly signer: string }
  /** There is none, or none was looked for. */
  | { readonly kind: 'unsigned' };

export interface TrustPolicy {
  /** `--insecure-options=image`: unsigned images are taken. */
  readonly allowUnsigned: boolean;
}

/** Throws ImageError IMAGE_UNSIGNED. `what` names the image for the message. */
export function requireTrust(what: string, verdict: TrustVerdict, policy: TrustPolicy): void {
  if (verdict.kind === 'signed' || policy.allowUnsigned) return;
  throw new ImageError('IMAGE_UNSIGNED', `${what} is not signed`, {
    remedies: [
      'if you trust where it comes from: --insecure-options=image',
      'this version checks no signatures yet',
    ],
  });
}
