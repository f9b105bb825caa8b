/** Values by key, those not used for the longest forgotten first, so that all together stay below a size. */
export interface ByteCache<T> {
  get(key: string): T | undefined;
  set(key: string, value: T, sizeBytes: number): void;
  delete(key: string): void;
}

export function createByteCache<T>(maxBytes: number): ByteCache<T> {
  const entries = new Map<string, { readonly value: T; readonly sizeBytes: number }>();
  let total = 0;
  const remove = (key: string) => {
    total -= entries.get(key)?.sizeBytes ?? 0;
    entries.delete(key);
  };
  return {
    get(key) {
      const entry = entries.get(key);
      if (entry === undefined) return undefined;
      // A Map keeps the order of insertion: the used one goes to its end.
      entries.delete(key);
      entries.set(key, entry);
      return entry.value;
    },
    set(key, value, sizeBytes) {
      remove(key);
      entries.set(key, { value, sizeBytes });
      total += sizeBytes;
      for (const oldest of entries.keys()) {
        if (total <= maxBytes) break;
        remove(oldest);
      }
    },
    delete: remove,
  };
}
