/** Extended headers of pax(1): `LENGTH KEY=VALUE\n`, where a value is bytes. */
import { ArchiveError } from '../../errors.ts';

export interface PaxRecord {
  readonly key: string;
  /** Byte text. */
  readonly value: string;
}

export function parsePax(bytes: Buffer): readonly PaxRecord[] {
  const records: PaxRecord[] = [];
  let at = 0;
  while (at < bytes.length) {
    const space = bytes.indexOf(0x20, at);
    const digits = space < 0 || space - at > 10 ? '' : bytes.toString('latin1', at, space);
    const end = /^\d+$/.test(digits) ? at + Number(digits) : 0;
    const equals = bytes.indexOf(0x3d, space);
    if (
      end <= space ||
      end > bytes.length ||
      bytes[end - 1] !== 0x0a ||
      equals < 0 ||
      equals >= end
    ) {
      // Some writers fill the header with NUL bytes.
      if (at > 0 && bytes.subarray(at).every((byte) => byte === 0)) return records;
      throw new ArchiveError(
        'ARCHIVE_CORRUPT',
        'the archive is damaged: an extended header is malformed',
      );
    }
    records.push({
      key: bytes.toString('latin1', space + 1, equals),
      value: bytes.toString('latin1', equals + 1, end - 1),
    });
    at = end;
  }
  return records;
}

export interface PaxTime {
  readonly seconds: number;
  /** 0 to 999 999 999, counted up from the seconds, for negative times too. */
  readonly nanoseconds: number;
}

export function parsePaxTime(value: string): PaxTime | undefined {
  const match = /^(-?)(\d{1,16})(?:\.(\d*))?$/.exec(value);
  if (match === null) return undefined;
  const [, sign = '', whole = '', fraction = ''] = match;
  const seconds = Number(whole);
  const nanoseconds = Number(fraction.slice(0, 9).padEnd(9, '0'));
  if (!Number.isSafeInteger(seconds)) return undefined;
  if (sign === '') return { seconds, nanoseconds };
  if (nanoseconds === 0) return { seconds: seconds === 0 ? 0 : -seconds, nanoseconds };
  return { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds };
}

export function parsePaxNumber(value: string): number | undefined {
  if (!/^\d{1,16}$/.test(value)) return undefined;
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : undefined;
}
