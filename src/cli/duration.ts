/** Durations on the command line: `90`, `1.5s`, `30m`, `24h`, `2d`, `1h30m`. */
import { UsageError } from '../errors.ts';

const UNITS_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** Milliseconds; a bare number is seconds. Throws UsageError naming the flag. */
export function parseDuration(flag: string, text: string): number {
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1000;
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)];
  if (parts.length === 0 || parts.map((part) => part[0]).join('') !== text) {
    throw new UsageError(`--${flag} is a time like 30s, 10m or 24h, not "${text}"`);
  }
  return parts.reduce(
    (sum, [, amount = '0', unit = 's']) => sum + Number(amount) * (UNITS_MS[unit] ?? 0),
    0,
  );
}
