/** The token of a URL: who asks. Its bytes are of pod/metadata.ts. Pure. */
import { timingSafeEqual } from 'node:crypto';

import { SECRET_BYTES } from '../pod/metadata.ts';

const UUID_BYTES = 16;
const TOKEN_BYTES = UUID_BYTES + SECRET_BYTES;
const TOKEN_LENGTH = (TOKEN_BYTES / 3) * 4;

export function renderUuid(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes).toString('hex');
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20),
  ].join('-');
}

/** The 16 bytes of a UUID in its canonical form, of either case; undefined for anything else. */
export function parseUuid(text: string): Buffer | undefined {
  if (!/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)) return undefined;
  return Buffer.from(text.replaceAll('-', ''), 'hex');
}

/** The pod that a token is of, if it is one; whether it is right is for `isSameToken` to say. */
export function uuidOfToken(token: string): string | undefined {
  if (token.length !== TOKEN_LENGTH || !/^[A-Za-z0-9_-]+$/.test(token)) return undefined;
  return renderUuid(Buffer.from(token, 'base64url').subarray(0, UUID_BYTES));
}

/** Takes as long for a token that is almost right as for any other. */
export function isSameToken(given: string, stored: string): boolean {
  const [a, b] = [Buffer.from(given, 'latin1'), Buffer.from(stored, 'latin1')];
  return a.length === TOKEN_LENGTH && a.length === b.length && timingSafeEqual(a, b);
}
