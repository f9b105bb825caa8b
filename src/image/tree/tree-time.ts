/** Times of files, in what Node can read and set. */
import type { TarEntry } from '../../formats/tar/entry.ts';
import type { TreeTime } from './tree-listing.ts';

export function timeOf(entry: TarEntry): TreeTime {
  return { seconds: entry.mtimeS, microseconds: Math.floor(entry.mtimeNs / 1000) };
}

export function timeOfStat(mtimeNs: bigint): TreeTime {
  const microseconds = mtimeNs >= 0n ? mtimeNs / 1000n : -((-mtimeNs + 999n) / 1000n);
  const seconds =
    microseconds >= 0n ? microseconds / 1_000_000n : -((-microseconds + 999_999n) / 1_000_000n);
  return { seconds: Number(seconds), microseconds: Number(microseconds - seconds * 1_000_000n) };
}

/**
 * For utimes(2): half a microsecond more, since the way from a double to nanoseconds rounds down. As text where it is negative:
 * Node takes a negative number for "now", but not the same number as text.
 */
export function secondsOf({ seconds, microseconds }: TreeTime): number | string {
  const time = microseconds === 0 ? seconds : seconds + (microseconds + 0.5) / 1e6;
  return time < 0 ? String(time) : time;
}
