/**
 * Chunks of streams lie outside of V8's heap, and it lets 64 MB of them gather before it looks for those that nobody has any more.
 * A small collection now and then costs a millisecond, a large one some ten, and they keep an import of any size small.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

type Collect = (options: { readonly type: 'minor' | 'major' }) => void;

/** What has survived some small collections goes with a large one only. */
const LARGE_EVERY = 8;

/** What the returned function is told of is garbage soon; it collects every `everyBytes`. */
export function createBufferCollector(everyBytes: number): (bytes: number) => void {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as Collect;
  let gathered = 0;
  let times = 0;
  return (bytes) => {
    gathered += bytes;
    if (gathered < everyBytes) return;
    gathered = 0;
    times += 1;
    collect({ type: times % LARGE_EVERY === 0 ? 'major' : 'minor' });
  };
}
