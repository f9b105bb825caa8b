/** What the writer writes, our reader and GNU tar read; and the same is always the same bytes. */
import { createHash } from 'node:crypto';

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { aciContents, ociImageId } from '../../../src/formats/aci/writer.ts';
import type { TarEntry, TarEntryType } from '../../../src/formats/tar/entry.ts';
import { TarReader } from '../../../src/formats/tar/reader.ts';
import { type TarContent, type TarMember, writeTar } from '../../../src/formats/tar/writer.ts';

interface Read extends Omit<TarEntry, 'unsupported'> {
  readonly data: Buffer;
}

function read(archive: Buffer): readonly Read[] {
  const entries: Read[] = [];
  let data: Buffer[] = [];
  let open: TarEntry | undefined;
  const reader = new TarReader(
    {
      entry(entry) {
        open = entry;
        data = [];
      },
      data(bytes) {
        data.push(Buffer.from(bytes));
      },
      endEntry() {
        if (open === undefined) throw new Error('nothing is open');
        const { unsupported, ...entry } = open;
        expect(unsupported).toEqual([]);
        entries.push({ ...entry, data: Buffer.concat(data) });
      },
    },
    { headerBytes: 1024 * 1024 },
  );
  reader.write(archive);
  reader.end();
  return entries;
}

async function written(contents: Iterable<TarContent> | AsyncIterable<TarContent>) {
  const chunks: Buffer[] = [];
  for await (const chunk of writeTar(contents)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

const plain: TarMember = {
  name: 'a',
  type: 'file',
  linkName: '',
  mode: 0o644,
  uid: 0,
  gid: 0,
  sizeBytes: 0,
  mtimeS: 0,
  mtimeNs: 0,
  deviceMajor: 0,
  deviceMinor: 0,
  xattrs: [],
};

const byteText = (max: number) =>
  fc
    .uint8Array({ minLength: 1, maxLength: max })
    .map((bytes) => Buffer.from(bytes).toString('latin1').replaceAll(/[\0/]/g, '-'));
const name = fc.oneof(
  fc.array(byteText(60), { minLength: 1, maxLength: 6 }).map((parts) => parts.join('/')),
  fc.nat(400).map((length) => `x${'y'.repeat(length)}`),
);
const number = (max: number) => fc.oneof(fc.nat(max), fc.nat(Math.min(max, 10000)));
const member: fc.Arbitrary<{ readonly member: TarMember; readonly data: Buffer }> = fc
  .record({
    name,
    type: fc.constantFrom<TarEntryType>(
      'file',
      'directory',
      'symlink',
      'link',
      'fifo',
      'character-device',
      'block-device',
    ),
    linkName: name,
    mode: fc.nat(0o7777),
    uid: number(0xfffffffe),
    gid: number(0xfffffffe),
    mtimeS: fc.integer({ min: -(2 ** 40), max: 2 ** 40 }),
    mtimeNs: fc.oneof(fc.constant(0), fc.nat(999_999_999)),
    deviceMajor: number(0xffffffff),
    deviceMinor: number(0xffffffff),
    xattrs: fc.uniqueArray(
      fc.record({
        name: byteText(20),
        value: fc
          .uint8Array({ minLength: 1, maxLength: 40 })
          .map((b) => Buffer.from(b).toString('latin1')),
      }),
      { maxLength: 3, selector: (xattr) => xattr.name },
    ),
    data: fc.uint8Array({ maxLength: 1500 }),
  })
  .map(({ data, ...fields }) => {
    const isFile = fields.type === 'file';
    const isDevice = fields.type === 'character-device' || fields.type === 'block-device';
    const isLink = fields.type === 'link' || fields.type === 'symlink';
    return {
      member: {
        ...fields,
        linkName: isLink ? fields.linkName : '',
        sizeBytes: isFile ? data.length : 0,
        deviceMajor: isDevice ? fields.deviceMajor : 0,
        deviceMinor: isDevice ? fields.deviceMinor : 0,
      },
      data: isFile ? Buffer.from(data) : Buffer.alloc(0),
    };
  });

describe('whatever is written', () => {
  test('is read as the same', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(member, { maxLength: 6 }), async (members) => {
        const archive = await written(
          members.map((one) => ({ member: one.member, content: () => [one.data] })),
        );
        expect(archive.length % 512).toBe(0);
        const sorted = (xattrs: TarMember['xattrs']) =>
          [...xattrs].sort((a, b) => (a.name < b.name ? -1 : 1));
        expect(read(archive).map((e) => ({ ...e, xattrs: sorted(e.xattrs) }))).toEqual(
          members.map(({ member: one, data }) => ({
            ...one,
            name: one.type === 'directory' ? `${one.name}/` : one.name,
            xattrs: sorted(one.xattrs),
            data,
          })),
        );
      }),
      { numRuns: 300 },
    );
  });

  test('is told by extended headers only where ustar cannot', async () => {
    const short = await written([{ member: plain }]);
    expect(short.length).toBe(512 + 1024);
    const long = await written([
      { member: { ...plain, name: `${'d'.repeat(150)}/${'f'.repeat(100)}` } },
    ]);
    expect(long.length).toBe(512 + 1024);
    const longer = await written([
      { member: { ...plain, name: `${'d'.repeat(150)}/${'f'.repeat(101)}` } },
    ]);
    expect(longer.length).toBe(3 * 512 + 1024);
  });

  test('of 8 GiB and more says so', async () => {
    const sizeBytes = 8 * 1024 ** 3;
    const head = writeTar([
      { member: { ...plain, sizeBytes }, content: () => repeat(Buffer.alloc(1024 * 1024), 2) },
    ]);
    const first = await head.next();
    await head.return();
    const sizes: number[] = [];
    const sink = {
      entry: (entry: TarEntry) => sizes.push(entry.sizeBytes),
      data: () => undefined,
      endEntry: () => undefined,
    };
    new TarReader(sink, { headerBytes: 4096 }).write(first.value ?? Buffer.alloc(0));
    expect(sizes).toEqual([sizeBytes]);
  });
});

function* repeat(chunk: Buffer, times: number): Generator<Buffer> {
  for (let i = 0; i < times; i++) yield chunk;
}

test('a file that has become shorter or longer is not passed off as whole', async () => {
  for (const length of [4, 6]) {
    const content = () => [Buffer.alloc(length)];
    await expect(written([{ member: { ...plain, sizeBytes: 5 }, content }])).rejects.toThrow(
      '"a" has not the 5 bytes',
    );
  }
});

test('nothing is asked for before somebody wants it, and no more than a little is held', async () => {
  let given = 0;
  function* many(): Generator<TarContent> {
    for (; given < 1000; given++) {
      yield { member: { ...plain, sizeBytes: 65536 }, content: () => [Buffer.alloc(65536)] };
    }
  }
  const archive = writeTar(many());
  expect(given).toBe(0);
  await archive.next();
  expect(given).toBeLessThan(6);
  await archive.return();
});

describe('a canonical ACI', () => {
  const root: TarMember = { ...plain, name: '', type: 'directory', mode: 0o755 };
  const manifest = Buffer.from('{"acKind":"ImageManifest"}');

  test('has the manifest first, then the tree below rootfs', async () => {
    const archive = await written(
      aciContents(manifest, [
        { member: root },
        { member: { ...plain, name: 'bin/a', sizeBytes: 1 }, content: () => [Buffer.from('x')] },
        { member: { ...plain, name: 'bin/b', type: 'link', linkName: 'bin/a' } },
        { member: { ...plain, name: 'bin/c', type: 'symlink', linkName: 'a' } },
      ]),
    );
    expect(read(archive).map((entry) => [entry.name, entry.linkName])).toEqual([
      ['manifest', ''],
      ['rootfs/', ''],
      ['rootfs/bin/a', ''],
      ['rootfs/bin/b', 'rootfs/bin/a'],
      ['rootfs/bin/c', 'a'],
    ]);
  });

  test('with an empty tree is what the id of an OCI image is made of', async () => {
    const archive = await written(aciContents(manifest, [{ member: root }]));
    const digest = createHash('sha512').update(archive).digest('hex');
    expect(ociImageId(manifest)).toBe(`sha512-${digest}`);
    // Never another for the same manifest: images are found by it.
    expect(ociImageId(manifest).slice(0, 23)).toBe('sha512-0015084b25d4bafa');
  });
});
