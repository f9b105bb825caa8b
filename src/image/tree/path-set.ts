/**
 * Which paths there have been, in some bytes for each, however many millions they are. Of a path the first 64 bits of its sha256 are kept: two
 * paths that share them by chance are not to be expected in any archive, and who makes such a pair on purpose gets their own archive refused.
 */
import { hash } from 'node:crypto';

const FIRST_SLOTS = 1024;

export class PathSet {
  #slots = new BigUint64Array(FIRST_SLOTS);
  #used = 0;

  add(path: string): void {
    if ((this.#used + 1) * 3 > this.#slots.length * 2) this.#grow();
    const key = keyOf(path);
    const slot = slotOf(this.#slots, key);
    if (this.#slots[slot] === key) return;
    this.#slots[slot] = key;
    this.#used += 1;
  }

  has(path: string): boolean {
    const key = keyOf(path);
    return this.#slots[slotOf(this.#slots, key)] === key;
  }

  #grow(): void {
    const more = new BigUint64Array(this.#slots.length * 2);
    for (const key of this.#slots) if (key !== 0n) more[slotOf(more, key)] = key;
    this.#slots = more;
  }
}

/** Where the key is, or would be. */
function slotOf(slots: BigUint64Array, key: bigint): number {
  const mask = slots.length - 1;
  let slot = Number(key & 0xffff_ffffn) & mask;
  while (slots[slot] !== 0n && slots[slot] !== key) slot = (slot + 1) & mask;
  return slot;
}

/** Never 0, which is an empty slot. */
function keyOf(path: string): bigint {
  return hash('sha256', path, 'buffer').readBigUInt64LE(0) || 1n;
}
