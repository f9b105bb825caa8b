/** Progress of long work: one line that is drawn over on a terminal, now and then a plain line elsewhere. */
import { isTerminal, renderBytes, tellRaw } from './output.ts';

export interface ProgressState {
  readonly doneBytes: number;
  readonly totalBytes: number | undefined;
  /** What else to say, e.g. how many files there are by now. */
  readonly note: string;
}

const REDRAW_MS = 100;
const PLAIN_EVERY_MS = 10_000;

export function renderProgress(
  title: string,
  { doneBytes, totalBytes, note }: ProgressState,
  elapsedMs: number,
): string {
  const rate = elapsedMs <= 0 ? 0 : (doneBytes * 1000) / elapsedMs;
  const parts = [title];
  if (totalBytes !== undefined && totalBytes > 0) {
    const percent = Math.min(100, Math.floor((100 * doneBytes) / totalBytes));
    parts.push(
      `${String(percent).padStart(3)}%`,
      `${renderBytes(doneBytes)} of ${renderBytes(totalBytes)}`,
    );
    if (rate > 0)
      parts.push(
        `${renderBytes(rate)}/s`,
        `${String(Math.ceil(Math.max(0, totalBytes - doneBytes) / rate))} s left`,
      );
  } else {
    parts.push(renderBytes(doneBytes));
    if (rate > 0) parts.push(`${renderBytes(rate)}/s`);
  }
  if (note !== '') parts.push(note);
  return parts.join('  ');
}

export interface Progress {
  update(state: ProgressState): void;
  /** Takes the line away. */
  end(): void;
}

export function createProgress(title: string, nowMs: () => number): Progress {
  const startedMs = nowMs();
  const terminal = isTerminal(2);
  let lastMs = startedMs;
  let drawn = false;
  return {
    update(state) {
      const now = nowMs();
      if (now - lastMs < (terminal ? REDRAW_MS : PLAIN_EVERY_MS)) return;
      lastMs = now;
      const line = renderProgress(title, state, now - startedMs);
      tellRaw(terminal ? `\r\u001b[K${line}` : `${line}\n`);
      drawn = true;
    },
    end() {
      if (terminal && drawn) tellRaw('\r\u001b[K');
    },
  };
}
