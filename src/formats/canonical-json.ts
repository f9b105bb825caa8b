/** JSON with one spelling for every value: keys in the order of their UTF-16 units, no white space. */

export function canonicalJson(value: unknown): string {
  return JSON.stringify(sorted(value));
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(([, field]) => field !== undefined);
  entries.sort(([a], [b]) => (a < b ? -1 : 1));
  // JSON.stringify puts keys that look like numbers first, whatever the order they came in: also one spelling.
  return Object.fromEntries(entries.map(([key, field]) => [key, sorted(field)]));
}

/** Whether two values have the same spelling. */
export function isSameJson(a: unknown, b: unknown): boolean {
  return canonicalJson(a ?? null) === canonicalJson(b ?? null);
}
