/** Images in folders and archives: the right one is found, wherever it lies, and nothing else is read. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';

import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { JetpackError } from '../../../src/errors.ts';
import { childExec } from '../../../src/exec/child.ts';
import { openFileSource } from '../../../src/fetch/files/open-source.ts';
import { parseReference } from '../../../src/fetch/ref.ts';
import type { OciSource } from '../../../src/fetch/source.ts';
import type { Descriptor } from '../../../src/formats/oci/model.ts';
import { MEDIA_TYPES } from '../../../src/schema/oci.ts';
import { bzip2Compress, xzCompress } from '../../support/compress.ts';
import { tar, type TarMember } from '../../support/tar.ts';

let work = '';
beforeEach(() => {
  work = mkdtempSync(path.join(tmpdir(), 'jetpack-sources-'));
  mkdirSync(path.join(work, 'scratch'));
});
afterEach(() => {
  rmSync(work, { recursive: true });
});

const amd64 = { os: 'linux', architecture: 'amd64' };
const hexOf = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
const layerTar = tar([{ name: 'hello', data: 'hello\n' }]);

/** The files of a layout, by name. */
class Files {
  readonly all = new Map<string, Buffer>();
  readonly entries: object[] = [];

  blob(
    mediaType: string,
    content: Buffer | object,
  ): { mediaType: string; digest: string; size: number } {
    const bytes = Buffer.isBuffer(content) ? content : Buffer.from(JSON.stringify(content));
    this.all.set(`blobs/sha256/${hexOf(bytes)}`, bytes);
    return { mediaType, digest: `sha256:${hexOf(bytes)}`, size: bytes.length };
  }

  image(platform = amd64, marker = ''): { mediaType: string; digest: string; size: number } {
    const rootfs = { type: 'layers', diff_ids: [`sha256:${hexOf(layerTar)}`] };
    return this.blob(MEDIA_TYPES.ociManifest, {
      schemaVersion: 2,
      config: this.blob(MEDIA_TYPES.ociConfig, { ...platform, rootfs, author: marker }),
      layers: [this.blob(MEDIA_TYPES.ociLayer, layerTar)],
    });
  }

  add(entry: object, name?: string, key = 'org.opencontainers.image.ref.name'): this {
    this.entries.push({
      ...entry,
      ...(name === undefined ? {} : { annotations: { [key]: name } }),
    });
    return this;
  }

  whole(): ReadonlyMap<string, Buffer> {
    const index = { schemaVersion: 2, manifests: this.entries };
    return new Map([
      ['oci-layout', Buffer.from('{"imageLayoutVersion":"1.0.0"}')],
      ['index.json', Buffer.from(JSON.stringify(index))],
      ...this.all,
    ]);
  }

  folder(name = 'layout'): string {
    for (const [file, bytes] of this.whole()) {
      const place = path.join(work, name, file);
      mkdirSync(path.dirname(place), { recursive: true });
      writeFileSync(place, bytes);
    }
    return path.join(work, name);
  }

  archive(): Buffer {
    return tar([...this.whole()].map(([name, data]) => ({ name, data })));
  }
}

function save(bytes: Buffer, name = 'image.tar'): string {
  const file = path.join(work, name);
  writeFileSync(file, bytes);
  return file;
}

const open: OciSource[] = [];
afterEach(async () => {
  for (const source of open.splice(0)) await source.close();
});

async function sourceOf(text: string, limits = {}): Promise<OciSource> {
  const reference = parseReference(text);
  if (!('ref' in reference) || reference.kind === 'docker') throw new Error(`${text} is no file`);
  const tools = { xz: '/usr/bin/xz', bzip2: '/usr/bin/bzip2' };
  const ports = { exec: childExec, tools, scratchDir: path.join(work, 'scratch') };
  const source = await openFileSource(reference, ports, { limits });
  open.push(source);
  return source;
}

const resolve = async (text: string, wanted = amd64) => (await sourceOf(text)).resolve(wanted);

async function readBlob(source: OciSource, blob: Descriptor | undefined, fromByte = 0) {
  if (blob === undefined) throw new Error('there is no such blob');
  const chunks: Uint8Array[] = [];
  for await (const chunk of (await source.openBlob(blob, { fromByte })).chunks) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    if (error instanceof JetpackError) return error.code;
    throw error;
  }
  return 'none';
}

describe('a layout in a folder', () => {
  test('with one image needs no reference', async () => {
    const files = new Files();
    const source = await sourceOf(`oci:${files.add(files.image(), 'latest').folder()}`);
    const image = await source.resolve(amd64);
    expect(image).toMatchObject({
      platform: amd64,
      refName: 'latest',
      diffIds: [`sha256:${hexOf(layerTar)}`],
      index: undefined,
    });
    expect(await readBlob(source, image.layers[0])).toEqual(layerTar);
    expect(await readBlob(source, image.layers[0], 100)).toEqual(layerTar.subarray(100));
  });

  test('with several says which there are, and gives the one that is named', async () => {
    const files = new Files();
    const [one, two] = [files.image(amd64, 'one'), files.image(amd64, 'two')];
    files.add(one, '1.0').add(two, 'docker.io/library/two:2.0', 'io.containerd.image.name');
    const dir = files.folder();
    await expect(resolve(`oci:${dir}`)).rejects.toMatchObject({
      code: 'FETCH_NOT_FOUND',
      remedies: [expect.stringContaining('1.0, docker.io/library/two:2.0')],
    });
    expect((await resolve(`oci:${dir}:1.0`)).manifest?.descriptor.digest).toBe(one.digest);
    expect((await resolve(`oci:${dir}:two:2.0`)).manifest?.descriptor.digest).toBe(two.digest);
    expect((await resolve(`oci:${dir}:@${two.digest}`)).manifest?.descriptor.digest).toBe(
      two.digest,
    );
    expect(await codeOf(resolve(`oci:${dir}:3.0`))).toBe('FETCH_NOT_FOUND');
  });

  test('of several platforms gives the one that is wanted, also from an index in the index', async () => {
    const files = new Files();
    const arm = { os: 'linux', architecture: 'arm64' };
    const manifests = [
      { ...files.image(arm), platform: arm },
      { ...files.image(amd64), platform: amd64 },
      {
        ...files.image(amd64, 'attestation'),
        platform: { os: 'unknown', architecture: 'unknown' },
      },
    ];
    const inner = files.blob(MEDIA_TYPES.ociIndex, { schemaVersion: 2, manifests });
    const outer = files.blob(MEDIA_TYPES.ociIndex, { schemaVersion: 2, manifests: [inner] });
    files.add(outer, 'all');
    const dir = files.folder();
    const image = await resolve(`oci:${dir}`, arm);
    expect(image.platform).toEqual(arm);
    expect(image.index?.digest).toBe(outer.digest);
    await expect(
      resolve(`oci:${dir}`, { os: 'linux', architecture: 's390x' }),
    ).rejects.toMatchObject({
      code: 'FETCH_NO_PLATFORM',
      message: expect.stringContaining('there is linux/arm64, linux/amd64'),
    });
  });

  test('whose entries say no platform is looked into', async () => {
    const files = new Files();
    const arm = { os: 'linux', architecture: 'arm64' };
    const signature = files.blob(MEDIA_TYPES.ociManifest, {
      schemaVersion: 2,
      layers: [],
      config: {},
    });
    const manifests = [signature, files.image(amd64), files.image(arm)];
    files.add(files.blob(MEDIA_TYPES.ociIndex, { schemaVersion: 2, manifests }));
    expect((await resolve(`oci:${files.folder()}`, arm)).platform).toEqual(arm);
  });

  test('that leads in circles or without end is left', async () => {
    const files = new Files();
    let entry: object = files.image();
    for (let depth = 0; depth < 6; depth++) {
      entry = files.blob(MEDIA_TYPES.ociIndex, { schemaVersion: 2, manifests: [entry] });
    }
    expect(await codeOf(resolve(`oci:${files.add(entry).folder()}`))).toBe('FETCH_PROTOCOL');
  });

  test('is refused where a document is another than its digest says, or too large, or missing', async () => {
    const files = new Files();
    const image = files.image();
    const dir = files.add(image, 'x').folder();
    const blob = (digest: string) => path.join(dir, 'blobs/sha256', digest.slice(7));
    writeFileSync(blob(image.digest), Buffer.alloc(image.size, 0x20));
    expect(await codeOf(resolve(`oci:${dir}`))).toBe('FETCH_DIGEST');
    writeFileSync(blob(image.digest), '{}');
    expect(await codeOf(resolve(`oci:${dir}`))).toBe('FETCH_SIZE');
    writeFileSync(blob(image.digest), Buffer.alloc(5 * 1024 * 1024));
    expect(await codeOf(resolve(`oci:${dir}`))).toBe('FETCH_SIZE');
    rmSync(blob(image.digest));
    expect(await codeOf(resolve(`oci:${dir}`))).toBe('FETCH_NOT_FOUND');
  });

  test('is refused where a file is a symlink or a folder', async () => {
    const files = new Files();
    const image = files.image();
    const dir = files.add(image, 'x').folder();
    const place = path.join(dir, 'blobs/sha256', image.digest.slice(7));
    rmSync(place);
    symlinkSync('/etc/passwd', place);
    await expect(resolve(`oci:${dir}`)).rejects.toThrow('it is a symlink');
    rmSync(place);
    mkdirSync(place);
    await expect(resolve(`oci:${dir}`)).rejects.toThrow('no regular file');
  });

  test('that is none says what is missing', async () => {
    await expect(resolve(`oci:${work}`)).rejects.toThrow('it has no oci-layout');
    const files = new Files();
    expect(await codeOf(resolve(`oci:${files.folder('empty')}`))).toBe('FETCH_NOT_FOUND');
  });
});

describe('a layout in an archive', () => {
  test.each([
    ['plain', (bytes: Buffer) => bytes],
    ['gzip', (bytes: Buffer) => gzipSync(bytes)],
    ['xz', xzCompress],
    ['zstd', (bytes: Buffer) => zstdCompressSync(bytes)],
    ['bzip2', bzip2Compress],
  ])('is read by position, %s', async (_, compress) => {
    const files = new Files();
    const file = save(compress(files.add(files.image(), 'latest').archive()));
    const source = await sourceOf(`oci-archive:${file}:latest`);
    const image = await source.resolve(amd64);
    expect(await readBlob(source, image.layers[0])).toEqual(layerTar);
    expect(await readBlob(source, image.layers[0], 512)).toEqual(layerTar.subarray(512));
    // What is unpacked aside has no name already.
    expect(readdirSync(path.join(work, 'scratch'))).toEqual([]);
    await source.close();
    await source.close();
  });

  test('that grows without measure is left, and nothing of it stays', async () => {
    const file = save(gzipSync(Buffer.concat([tar([]), Buffer.alloc(10_000_000)])));
    const limits = { ratio: 10, ratioFromBytes: 1000 };
    expect(await codeOf(sourceOf(`oci-archive:${file}`, limits))).toBe('ARCHIVE_RATIO');
    expect(await codeOf(sourceOf(`oci-archive:${file}`, { tarBytes: 1_000_000 }))).toBe(
      'ARCHIVE_TOO_LARGE',
    );
    expect(readdirSync(path.join(work, 'scratch'))).toEqual([]);
  });

  const member = { name: 'oci-layout', data: '{"imageLayoutVersion":"1.0.0"}' };
  test.each<[string, readonly TarMember[], string]>([
    ['has a name twice', [member, { ...member, name: './oci-layout' }], 'ARCHIVE_DUPLICATE'],
    ['leads out of itself', [{ name: '../x', data: 'x' }], 'ARCHIVE_ESCAPE'],
    [
      'links out of itself',
      [{ name: 'index.json', type: '2', link: '../../etc/passwd' }],
      'ARCHIVE_LAYOUT',
    ],
    [
      'links to itself',
      [{ name: 'index.json', type: '2', link: './index.json' }],
      'ARCHIVE_LAYOUT',
    ],
    ['has a device', [{ name: 'index.json', type: '3', device: [1, 3] }], 'ARCHIVE_LAYOUT'],
    [
      'has too many entries',
      Array.from({ length: 60 }, (_, i) => ({ name: String(i) })),
      'ARCHIVE_TOO_MANY_ENTRIES',
    ],
  ])('that %s is refused', async (_, members, code) => {
    const source = sourceOf(`oci-archive:${save(tar(members))}`, { entries: 50 });
    expect(await codeOf(source.then((opened) => opened.resolve(amd64)))).toBe(code);
  });

  test('that ends too early, is none or is not there is refused', async () => {
    const files = new Files();
    const whole = files.add(files.image()).archive();
    const code = (name: string) => codeOf(sourceOf(`oci-archive:${path.join(work, name)}`));
    save(whole.subarray(0, 2000), 'short');
    expect(await code('short')).toBe('ARCHIVE_TRUNCATED');
    save(Buffer.from('no archive at all'), 'none');
    expect(await code('none')).toBe('ARCHIVE_UNKNOWN_FORMAT');
    expect(await code('missing')).toBe('FETCH_NOT_FOUND');
    expect(await code('scratch')).toBe('FETCH_NOT_FOUND');
    execFileSync('mkfifo', [path.join(work, 'fifo')]);
    expect(await code('fifo')).toBe('FETCH_NOT_FOUND');
  });
});

describe('an archive of docker save', () => {
  const config = Buffer.from(
    JSON.stringify({
      ...amd64,
      rootfs: { type: 'layers', diff_ids: [`sha256:${hexOf(layerTar)}`] },
    }),
  );
  const configName = `${hexOf(config)}.json`;

  function saved(items: readonly object[], members: readonly TarMember[]): string {
    const manifest = { name: 'manifest.json', data: JSON.stringify(items) };
    return save(tar([{ name: configName, data: config }, ...members, manifest]));
  }

  test('is read, with layers that are links to those of others', async () => {
    const item = { Config: configName, RepoTags: ['alpine:3.20'], Layers: ['b/layer.tar'] };
    const file = saved(
      [item],
      [
        { name: 'a/layer.tar', data: layerTar },
        { name: 'b/layer.tar', type: '2', link: '../a/layer.tar' },
      ],
    );
    const source = await sourceOf(`docker-archive:${file}:docker.io/library/alpine:3.20`);
    const image = await source.resolve(amd64);
    expect(image).toMatchObject({ manifest: undefined, refName: 'alpine:3.20', platform: amd64 });
    expect(image.config.bytes).toEqual(config);
    expect(image.layers).toEqual([
      { mediaType: MEDIA_TYPES.dockerLayer, digest: image.diffIds[0], size: layerTar.length },
    ]);
    expect(await readBlob(source, image.layers[0])).toEqual(layerTar);
  });

  test('may have compressed layers, which are named by what they are', async () => {
    const packed = gzipSync(layerTar);
    const item = { Config: configName, RepoTags: null, Layers: ['l.tar'] };
    const source = await sourceOf(
      `docker-archive:${saved([item], [{ name: 'l.tar', data: packed }])}`,
    );
    const { layers } = await source.resolve(amd64);
    expect(layers[0]).toMatchObject({ digest: `sha256:${hexOf(packed)}`, size: packed.length });
    expect(await readBlob(source, layers[0])).toEqual(packed);
  });

  test('with several images needs a name, or a number', async () => {
    const item = { Config: configName, Layers: ['l.tar'] };
    const items = [
      { ...item, RepoTags: ['a:1', 'a:2'] },
      { ...item, RepoTags: [] },
    ];
    const file = saved(items, [{ name: 'l.tar', data: layerTar }]);
    await expect(resolve(`docker-archive:${file}`)).rejects.toMatchObject({
      remedies: [expect.stringContaining('a:1, a:2, @1')],
    });
    expect((await resolve(`docker-archive:${file}:a:2`)).refName).toBe('a:2');
    expect((await resolve(`docker-archive:${file}:@1`)).refName).toBeUndefined();
    expect(await codeOf(resolve(`docker-archive:${file}:@2`))).toBe('FETCH_NOT_FOUND');
  });

  test('whose configuration is another than it is called, or whose layers are not there, is refused', async () => {
    const other = `${'0'.repeat(64)}.json`;
    const item = { Config: other, Layers: ['l.tar'] };
    const file = saved(
      [item],
      [
        { name: other, data: config },
        { name: 'l.tar', data: layerTar },
      ],
    );
    expect(await codeOf(resolve(`docker-archive:${file}`))).toBe('FETCH_DIGEST');
    const lacking = saved([{ Config: configName, Layers: ['none'] }], []);
    expect(await codeOf(resolve(`docker-archive:${lacking}`))).toBe('FETCH_NOT_FOUND');
    const more = saved(
      [{ Config: configName, Layers: ['l', 'l'] }],
      [{ name: 'l', data: layerTar }],
    );
    expect(await codeOf(resolve(`docker-archive:${more}`))).toBe('MANIFEST_INVALID');
  });

  test('that is a layout as well gives the manifest of that', async () => {
    const files = new Files();
    const image = files.image();
    files.add(image, '3.20');
    const wanted = [...files.all].find(([, bytes]) => bytes.includes('diff_ids'))?.[0] ?? '';
    const layer = `blobs/sha256/${hexOf(layerTar)}`;
    const item = { Config: wanted, RepoTags: ['alpine:3.20'], Layers: [layer] };
    const members = [...files.whole()].map(([name, data]) => ({ name, data }));
    const manifest = { name: 'manifest.json', data: JSON.stringify([item]) };
    const file = save(tar([...members, manifest]));
    for (const kind of ['docker-archive', 'oci-archive']) {
      const source = await sourceOf(`${kind}:${file}`);
      const found = await source.resolve(amd64);
      expect(found.manifest?.descriptor.digest).toBe(image.digest);
      expect(await readBlob(source, found.layers[0])).toEqual(layerTar);
    }
  });

  test('is recognised whatever it was called, and what is neither is refused', async () => {
    const item = { Config: configName, RepoTags: ['a:1'], Layers: ['l.tar'] };
    const file = saved([item], [{ name: 'l.tar', data: layerTar }]);
    expect((await resolve(`oci-archive:${file}`)).refName).toBe('a:1');
    const files = new Files();
    const layout = save(files.add(files.image(), 'b').archive(), 'layout.tar');
    expect((await resolve(`docker-archive:${layout}`)).refName).toBe('b');
    const neither = save(tar([{ name: 'x', data: 'x' }]), 'neither.tar');
    await expect(resolve(`docker-archive:${neither}`)).rejects.toThrow('no manifest.json');
    await expect(resolve(`oci-archive:${neither}`)).rejects.toThrow('no oci-layout');
  });
});
