/** "Did you mean": the nearest of a few known words. */

/** Levenshtein distance. */
function distance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (const [i, left] of Array.from(a).entries()) {
    const current = [i + 1];
    for (const [j, right] of Array.from(b).entries()) {
      const substitution = (previous[j] ?? 0) + (left === right ? 0 : 1);
      current.push(Math.min((previous[j + 1] ?? 0) + 1, (current[j] ?? 0) + 1, substitution));
    }
    previous = current;
  }
  return previous.at(-1) ?? 0;
}

/** The candidate closest to `word`, if it is close enough to be meant. */
export function findNearest(word: string, candidates: readonly string[]): string | undefined {
  let best: { readonly name: string; readonly cost: number } | undefined;
  for (const name of candidates) {
    const cost = distance(word, name);
    if (best === undefined || cost < best.cost) best = { name, cost };
  }
  const limit = Math.max(1, Math.floor(word.length / 3));
  return best !== undefined && best.cost <= limit ? best.name : undefined;
}
