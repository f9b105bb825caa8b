/** Sizes on the command line. */
import { UsageError } from '../errors.ts';

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  K: 1024,
  M: 1024 ** 2,
  G: 1024 ** 3,
};

/** `4096`, `16M`, in bytes. Throws UsageError. */
export function parseSizeBytes(flag: string, text: string): number {
  const [, digits, unit] = /^(\d{1,12})([KMG]?)$/.exec(text) ?? [];
  const bytes = Number(digits) * (UNITS[unit ?? ''] ?? Number.NaN);
  if (Number.isSafeInteger(bytes) && bytes > 0) return bytes;
  throw new UsageError(`${flag} is a number of bytes, like 1048576 or 16M, not "${text}"`);
}
