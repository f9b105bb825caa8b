/**
 * Fields of an HTML form, application/x-www-form-urlencoded (WHATWG URL, 5.1), as bytes: what is signed need not be text. Pure.
 */

const MAX_FIELDS = 16;

function hexDigit(byte: number | undefined): number {
  if (byte === undefined) return -1;
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

/** Undefined for a percent sign that no two digits follow. */
function decode(bytes: Uint8Array): Buffer | undefined {
  const out = Buffer.allocUnsafe(bytes.length);
  let length = 0;
  for (let i = 0; i < bytes.length; i += 1) {
    const byte = bytes[i] ?? 0;
    if (byte === 0x25) {
      const high = hexDigit(bytes[i + 1]);
      const low = hexDigit(bytes[i + 2]);
      if (high < 0 || low < 0) return undefined;
      out[length] = high * 16 + low;
      i += 2;
    } else {
      out[length] = byte === 0x2b ? 0x20 : byte;
    }
    length += 1;
  }
  return out.subarray(0, length);
}

/** A text says what is wrong: a malformed field, one that stands twice, too many of them. */
export function parseForm(body: Uint8Array): ReadonlyMap<string, Buffer> | string {
  const fields = new Map<string, Buffer>();
  for (let from = 0; from < body.length;) {
    const ampersand = body.indexOf(0x26, from);
    const to = ampersand === -1 ? body.length : ampersand;
    const part = body.subarray(from, to);
    from = to + 1;
    if (part.length === 0) continue;
    const equals = part.indexOf(0x3d);
    const name = decode(equals === -1 ? part : part.subarray(0, equals));
    const value = equals === -1 ? Buffer.alloc(0) : decode(part.subarray(equals + 1));
    if (name === undefined || value === undefined) return 'a "%" in the form is not %XX';
    const key = name.toString('latin1');
    if (fields.has(key)) return 'a field stands twice in the form';
    if (fields.size === MAX_FIELDS) return 'too many fields in the form';
    fields.set(key, value);
  }
  return fields;
}
