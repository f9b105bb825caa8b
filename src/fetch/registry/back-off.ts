/** How long to wait before the next attempt. Pure. */

const FIRST_MS = 500;
const LONGEST_MS = 30_000;

/** Doubles with every attempt (from 1), and at random between a half and the whole, so that clients do not come all at once. */
export function backOffMs(attempt: number, random: number): number {
  const whole = Math.min(LONGEST_MS, FIRST_MS * 2 ** (attempt - 1));
  return Math.round(whole * (0.5 + random / 2));
}

/** The header Retry-After (RFC 9110, 10.2.3): seconds or a date; at most `longestMs`. Undefined when it says nothing. */
export function parseRetryAfter(
  header: string | undefined,
  nowMs: number,
  longestMs: number,
): number | undefined {
  if (header === undefined) return undefined;
  const text = header.trim();
  const waitMs = /^\d{1,9}$/.test(text) ? Number(text) * 1000 : Date.parse(text) - nowMs;
  if (!Number.isFinite(waitMs)) return undefined;
  return Math.min(longestMs, Math.max(0, waitMs));
}
