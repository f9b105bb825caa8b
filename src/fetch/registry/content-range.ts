/** The header Content-Range (RFC 9110, 14.4), as far as it is about bytes that are there. Pure. */

export interface ContentRange {
  readonly firstByte: number;
  /** Included. */
  readonly lastByte: number;
  /** Undefined for `*`. */
  readonly totalBytes: number | undefined;
}

/** Undefined for what is none, or makes no sense. */
export function parseContentRange(header: string | undefined): ContentRange | undefined {
  const [, first, last, total] =
    /^bytes\s+(\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/i.exec(header?.trim() ?? '') ?? [];
  if (first === undefined || last === undefined) return undefined;
  const range = {
    firstByte: Number(first),
    lastByte: Number(last),
    totalBytes: total === '*' ? undefined : Number(total),
  };
  if (range.lastByte < range.firstByte) return undefined;
  if (range.totalBytes !== undefined && range.lastByte >= range.totalBytes) return undefined;
  return range;
}
