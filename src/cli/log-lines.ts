import type { LogLine } from '../pod/logs.ts';
import { printRaw, tellRaw } from './output.ts';

export interface LogEntry {
  readonly app: string;
  readonly line: LogLine;
}

interface Options {
  readonly prefix: boolean;
  readonly timestamps: boolean;
  readonly json: boolean;
}

/** Each stream goes where it came from; JSON is one object a line. */
export function showLines(
  entries: readonly LogEntry[],
  { prefix, timestamps, json }: Options,
): void {
  for (const { app, line } of entries) {
    const bytes = Buffer.from(line.text, 'latin1');
    if (json) {
      printRaw(`${JSON.stringify({ app, ...line, text: bytes.toString('utf8') })}\n`);
      continue;
    }
    const head = `${timestamps ? `${line.time} ` : ''}${prefix ? `${app}: ` : ''}`;
    const text = Buffer.concat([Buffer.from(head), bytes, Buffer.from(line.partial ? '' : '\n')]);
    if (line.stream === 'stderr') tellRaw(text);
    else printRaw(text);
  }
}
