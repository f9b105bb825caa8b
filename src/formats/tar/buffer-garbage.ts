/**
 * Chunks of streams lie outside of V8's heap, and it lets 64 MB of them gather before it looks for those that nobody has any more.
 * A small collection now and then costs a millisecond and keeps an import of any size small.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

type Collect = (options: { readonly type: 'minor' }) => void;

/** What the returned function is told of is garbage soon; it collects every `everyBytes`. */
export function createBufferCollector(everyBytes: number): (bytes: number) => void {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as Collect;
  let gathered = 0;
  return (bytes) => {
    gathered += bytes;
    if (gathered < everyBytes) return;
    gathered = 0;
    collect({ type: 'minor' });
  };
}
