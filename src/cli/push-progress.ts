/** What is told while an image goes out: one line that is drawn over on a terminal, a line for each blob elsewhere. */
import type { PushProgress } from '../fetch/registry/push.ts';
import { isTerminal, renderBytes, tellNote } from './output.ts';
import { createProgress } from './progress.ts';

const WORDS = {
  existing: 'is there already',
  mounted: 'is taken from a neighbour',
  sent: 'is sent',
};

export interface PushLine {
  readonly total: (totalBytes: number) => void;
  readonly update: (progress: PushProgress) => void;
  /** Takes the line away. Idempotent. */
  end(): void;
}

export function createPushProgress(
  target: string,
  options: { readonly nowMs: () => number; readonly json: boolean },
): PushLine {
  const line = createProgress(`pushing to ${target}`, options.nowMs);
  const isPlain = !isTerminal(2);
  const doneBytes = new Map<string, number>();
  let totalBytes: number | undefined;
  let finished = 0;
  return {
    total(bytes) {
      totalBytes = bytes;
    },
    update({ blob, sentBytes, outcome }) {
      doneBytes.set(blob.digest, outcome === undefined ? sentBytes : blob.size);
      if (outcome !== undefined) finished += 1;
      if (isPlain) {
        if (outcome === undefined) return;
        tellNote(
          `${target}: ${blob.digest.slice(0, 19)}, ${renderBytes(blob.size)}, ${WORDS[outcome]}`,
          options.json,
        );
        return;
      }
      const sum = [...doneBytes.values()].reduce((all, bytes) => all + bytes, 0);
      line.update({ doneBytes: sum, totalBytes, note: `${String(finished)} blobs` });
    },
    end() {
      line.end();
    },
  };
}
