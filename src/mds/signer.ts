/** What pods sign: HMAC-SHA512 over the 16 bytes of the signer's uuid and the content, with a key that no pod has. */
import { createHmac, timingSafeEqual } from 'node:crypto';

export interface Signer {
  /** Standard base64. */
  sign(uuid: Uint8Array, content: Uint8Array): string;
  /** Whether the pod of this uuid signed this content. A pod that is gone has still signed it. */
  verify(uuid: Uint8Array, content: Uint8Array, signature: Uint8Array): boolean;
}

export function createSigner(key: Uint8Array): Signer {
  const mac = (uuid: Uint8Array, content: Uint8Array) =>
    createHmac('sha512', key).update(uuid).update(content).digest();
  return {
    sign: (uuid, content) => mac(uuid, content).toString('base64'),
    verify(uuid, content, signature) {
      const right = mac(uuid, content);
      // Decoding is lenient; the text must be the one that sign() gives.
      const text = Buffer.from(signature).toString('latin1');
      const given = Buffer.from(text, 'base64');
      return (
        given.length === right.length &&
        given.toString('base64') === text &&
        timingSafeEqual(given, right)
      );
    },
  };
}
