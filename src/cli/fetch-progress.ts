/** What is told while an image comes: one line that is drawn over on a terminal, a line for each layer elsewhere. */
import type { OciProgress } from '../image/import-oci.ts';
import { isTerminal, renderBytes, tellNote } from './output.ts';
import { createProgress } from './progress.ts';

export interface FetchProgress {
  readonly update: (progress: OciProgress) => void;
  /** Takes the line away. Idempotent. */
  end(): void;
}

export function createFetchProgress(
  what: string,
  options: { readonly nowMs: () => number; readonly json: boolean },
): FetchProgress {
  const line = createProgress(`fetching ${what}`, options.nowMs);
  const isPlain = !isTerminal(2);
  return {
    update(progress) {
      const { unpackedLayer, layers } = progress;
      if (isPlain && unpackedLayer !== undefined) {
        const { number, layer } = unpackedLayer;
        tellNote(
          `${what}: layer ${String(number)} of ${String(layers)} is there, ${renderBytes(layer.sizeBytes)}, ${String(layer.entries)} entries`,
          options.json,
        );
        return;
      }
      line.update({
        doneBytes: progress.receivedBytes,
        totalBytes: progress.totalBytes,
        note: renderLayers(progress),
      });
    },
    end() {
      line.end();
    },
  };
}

/** `layers: 7 of 12 unpacked (4 were here)` */
export function renderLayers({ layers, sharedLayers, unpackedLayers }: OciProgress): string {
  const here = sharedLayers === 0 ? '' : ` (${String(sharedLayers)} were here)`;
  return `layers: ${String(sharedLayers + unpackedLayers)} of ${String(layers)} unpacked${here}`;
}
