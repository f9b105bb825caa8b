/** A tar writer for tests: it writes whatever it is told, right or wrong. */

export interface TarMember {
  /** Byte text (latin1). */
  readonly name: string;
  /** The type flag; default `0`, and `5` for a name that ends with a slash. */
  readonly type?: string;
  readonly data?: Buffer | string;
  /** What the header says; default: the length of the data. */
  readonly size?: number;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly mtime?: number;
  readonly link?: string;
  readonly device?: readonly [number, number];
  /** Extended header before the member. */
  readonly pax?: Readonly<Record<string, string>> | readonly (readonly [string, string])[];
  /** Default ustar. */
  readonly magic?: 'ustar' | 'gnu' | 'v7';
  /** Changes the header before its sum is made. */
  readonly patch?: (block: Buffer) => void;
  readonly badChecksum?: boolean;
}

export const MANIFEST = {
  acKind: 'ImageManifest',
  acVersion: '0.8.11',
  name: 'example.com/test',
  labels: [
    { name: 'version', value: '1.0' },
    { name: 'os', value: 'linux' },
  ],
  app: { exec: ['/bin/true'], user: '0', group: '0' },
};

export const END = Buffer.alloc(1024);

/** Members and the end mark. */
export function tar(members: readonly TarMember[], end: Buffer = END): Buffer {
  return Buffer.concat([...members.map(member), end]);
}

/** An ACI: a manifest, `rootfs/`, and the members. */
export function aci(members: readonly TarMember[], manifest: object = MANIFEST): Buffer {
  return tar([
    { name: 'manifest', data: JSON.stringify(manifest) },
    { name: 'rootfs/', mode: 0o755 },
    ...members,
  ]);
}

export function member(fields: TarMember): Buffer {
  const data = Buffer.from(fields.data ?? '');
  const padding = Buffer.alloc((512 - (data.length % 512)) % 512);
  const pax = fields.pax === undefined ? [] : [paxMember(fields.pax)];
  return Buffer.concat([...pax, header(fields, fields.size ?? data.length), data, padding]);
}

/** GNU's long name (`L`) or long link (`K`) as a member of its own. */
export function longMember(type: 'L' | 'K', text: string): Buffer {
  return member({
    name: '././@LongLink',
    type,
    data: Buffer.from(`${text}\0`, 'latin1'),
    magic: 'gnu',
  });
}

export function paxRecord(key: string, value: string): Buffer {
  const body = Buffer.from(` ${key}=${value}\n`, 'latin1');
  let length = body.length;
  while (String(length).length + body.length !== length)
    length = String(length).length + body.length;
  return Buffer.concat([Buffer.from(String(length)), body]);
}

function paxMember(records: NonNullable<TarMember['pax']>): Buffer {
  const pairs = isPairs(records) ? records : Object.entries(records);
  const data = Buffer.concat(pairs.map(([key, value]) => paxRecord(key, value)));
  return member({ name: 'PaxHeaders/x', type: 'x', data });
}

function isPairs(
  records: NonNullable<TarMember['pax']>,
): records is readonly (readonly [string, string])[] {
  return Array.isArray(records);
}

function header(fields: TarMember, size: number): Buffer {
  const block = Buffer.alloc(512);
  const octal = (value: number, at: number, length: number): void => {
    if (value < 0 || value >= 8 ** (length - 1)) {
      let rest = BigInt(value);
      for (let index = at + length - 1; index >= at; index--) {
        block[index] = Number(rest & 0xffn);
        rest >>= 8n;
      }
      block[at] = value < 0 ? 0xff : 0x80;
    } else block.write(value.toString(8).padStart(length - 1, '0'), at, 'latin1');
  };
  block.write(fields.name, 0, 100, 'latin1');
  octal(fields.mode ?? (fields.name.endsWith('/') ? 0o755 : 0o644), 100, 8);
  octal(fields.uid ?? 0, 108, 8);
  octal(fields.gid ?? 0, 116, 8);
  octal(size, 124, 12);
  octal(fields.mtime ?? 1_700_000_000, 136, 12);
  const type = fields.type ?? (fields.name.endsWith('/') ? '5' : '0');
  block.write(type, 156, 'latin1');
  if (fields.link !== undefined) block.write(fields.link, 157, 100, 'latin1');
  if (fields.magic === 'gnu') block.write('ustar  \0', 257, 'latin1');
  else if (fields.magic !== 'v7') block.write('ustar\x0000', 257, 'latin1');
  if (fields.device !== undefined) {
    octal(fields.device[0], 329, 8);
    octal(fields.device[1], 337, 8);
  }
  fields.patch?.(block);
  let sum = 8 * 0x20;
  for (const [index, byte] of block.entries()) if (index < 148 || index > 155) sum += byte;
  if (fields.badChecksum === true) sum += 1;
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

export async function* inPieces(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  await Promise.resolve();
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}
