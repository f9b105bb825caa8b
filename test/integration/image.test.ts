/** The image store on real ZFS. */
import { execFileSync } from 'node:child_process';
import { appendFileSync, chmodSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { collectImages } from '../../src/image/collect.ts';
import { destroyImage } from '../../src/image/destroy.ts';
import { findImage } from '../../src/image/find.ts';
import { getImage } from '../../src/image/get.ts';
import { importImage, type ImportRequest, type ImportResult } from '../../src/image/import.ts';
import { listImages } from '../../src/image/list.ts';
import { FILES, getManifest, sealOf } from '../../src/image/store.ts';
import { verifyImage } from '../../src/image/verify.ts';
import type { DatasetName } from '../../src/zfs/zfs.ts';
import { bzip2Compress, xzCompress } from '../support/compress.ts';
import { testPool } from '../support/environment.ts';
import { createStore, type TestStore } from '../support/image-store.ts';
import { stateOf } from '../support/store-state.ts';
import { aci, inPieces, MANIFEST, type TarMember } from '../support/tar.ts';

const pool = testPool();
const unsigned = { verdict: { kind: 'unsigned' }, policy: { allowUnsigned: true } } as const;
const members: readonly TarMember[] = [
  { name: 'rootfs/bin/', mode: 0o755 },
  { name: 'rootfs/bin/su', data: 'su', mode: 0o4755, uid: 0 },
  { name: 'rootfs/bin/su2', type: '1', link: 'rootfs/bin/su' },
  { name: 'rootfs/home/me/file', data: 'mine', uid: 1000, gid: 1000, mode: 0o600 },
  { name: 'rootfs/home/me/link', type: '2', link: '/etc/passwd', uid: 1000, gid: 1000 },
  { name: 'rootfs/caf\xe9', data: 'latin1' },
];

describe.skipIf(pool === undefined)('the image store', () => {
  let store: TestStore;

  beforeAll(async () => {
    store = await createStore(pool ?? '');
  });

  afterAll(async () => {
    await store.remove();
  });

  function bringIn(archive: Buffer, more: Partial<ImportRequest> = {}): Promise<ImportResult> {
    return importImage(store.ports, {
      archive: { chunks: inPieces(archive, 65536), totalBytes: archive.length },
      source: 'test.aci',
      trust: unsigned,
      ...more,
    });
  }

  test('takes the same image in every compression, once', async () => {
    const plain = aci(members);
    const { meta, existing } = await bringIn(plain);
    expect(existing).toBe(false);
    for (const archive of [
      gzipSync(plain),
      zstdCompressSync(plain),
      xzCompress(plain),
      bzip2Compress(plain),
    ]) {
      const again = await bringIn(archive);
      expect(again).toMatchObject({ existing: true, meta: { id: meta.id } });
    }
    const { layout } = store;
    expect(getManifest(layout, meta.id).bytes.toString()).toBe(JSON.stringify(MANIFEST));
    expect(statSync(path.join(layout.dir.image(meta.id), FILES.manifest)).mode & 0o777).toBe(0o444);
    const rows = await store.zfs.list(layout.dataset.image(meta.id), {
      types: ['filesystem', 'snapshot'],
    });
    expect(rows.map(({ name, mounted }) => [name, mounted])).toEqual([
      [layout.dataset.image(meta.id), false],
      [sealOf(layout.dataset.image(meta.id)), false],
    ]);
    expect(await store.zfs.get(layout.dataset.image(meta.id), ['readonly'])).toEqual({
      readonly: 'on',
    });
    expect(await verifyImage(store.ports, meta)).toMatchObject({
      ok: true,
      differences: [],
      entries: 9,
    });
  });

  test('finds images by id, prefix, name, version and labels', async () => {
    const [first] = listImages(store).images;
    const other = {
      ...MANIFEST,
      labels: [
        { name: 'version', value: '2.0' },
        { name: 'arch', value: 'amd64' },
        { name: 'os', value: 'linux' },
      ],
    };
    const { meta } = await bringIn(aci([], other));
    expect(first).toBeDefined();
    const id = first?.id ?? '';
    expect(findImage(store, id)?.id).toBe(id);
    expect(findImage(store, id.slice(0, 30))?.id).toBe(id);
    expect(findImage(store, id.slice(7, 30))?.id).toBe(id);
    expect(findImage(store, 'example.com/test')?.id).toBe(meta.id);
    expect(findImage(store, 'example.com/test:1.0')?.id).toBe(id);
    expect(findImage(store, 'example.com/test,arch=amd64')?.id).toBe(meta.id);
    expect(findImage(store, 'example.com/test:3.0')).toBeUndefined();
    expect(() => getImage(store, 'example.com/none')).toThrow('there is no image example.com/none');
    const twin = { ...other, annotations: [{ name: 'authors', value: 'another' }] };
    const { meta: twinMeta } = await bringIn(aci([], twin));
    expect(() => findImage(store, 'example.com/test:2.0')).toThrow('may be any of 2 images');
    for (const image of [meta, twinMeta]) {
      await destroyImage({ ...store.ports, usedBy: () => Promise.resolve([]) }, image);
    }
    expect(listImages(store).images.map((image) => image.id)).toEqual([id]);
  });

  test.each([
    [
      'it is not signed',
      { trust: { ...unsigned, policy: { allowUnsigned: false } } },
      'IMAGE_UNSIGNED',
    ],
    [
      'it is another image than expected',
      { expectedId: `sha512-${'0'.repeat(128)}` as ImportResult['meta']['id'] },
      'IMAGE_DAMAGED',
    ],
    ['it is an image of another name', { expectedName: 'example.com/other' }, 'IMAGE_DAMAGED'],
    ['it is too large', { limits: { treeBytes: 3 } }, 'ARCHIVE_TOO_LARGE'],
    [
      'the user stops it',
      { signal: AbortSignal.abort(Object.assign(new Error('stop'), { code: 'STOPPED' })) },
      'STOPPED',
    ],
  ] as const)('is as before when an import fails since %s', async (_, more, code) => {
    const before = await stateOf(store);
    await expect(
      bringIn(aci([...members, { name: 'rootfs/x', data: 'more' }]), more),
    ).rejects.toMatchObject({ code });
    expect(await stateOf(store)).toEqual(before);
  });

  test('is as before when an archive ends too early, its manifest is wrong, or it depends on others', async () => {
    const before = await stateOf(store);
    const archive = aci(members);
    await expect(bringIn(archive.subarray(0, 3000))).rejects.toMatchObject({
      code: 'ARCHIVE_TRUNCATED',
    });
    await expect(bringIn(aci(members, { acKind: 'PodManifest' }))).rejects.toMatchObject({
      code: 'MANIFEST_INVALID',
    });
    const dependent = { ...MANIFEST, dependencies: [{ imageName: 'example.com/base' }] };
    await expect(bringIn(aci(members, dependent))).rejects.toMatchObject({
      code: 'IMAGE_DEPENDENCY',
    });
    expect(await stateOf(store)).toEqual(before);
  });

  test('makes one image of two imports at the same time', async () => {
    const archive = aci([{ name: 'rootfs/race', data: 'race' }]);
    const results = await Promise.all([bringIn(archive), bringIn(archive), bringIn(archive)]);
    expect(new Set(results.map(({ meta }) => meta.id)).size).toBe(1);
    expect(results.filter(({ existing }) => !existing)).toHaveLength(1);
    const [result] = results;
    expect(await verifyImage(store.ports, result.meta)).toMatchObject({ ok: true });
    const remove = () =>
      destroyImage({ ...store.ports, usedBy: () => Promise.resolve([]) }, result.meta);
    // And of two that remove it, one has done it.
    const removals = await Promise.allSettled([remove(), remove()]);
    expect(removals.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(removals).toContainEqual({
      status: 'rejected',
      reason: expect.objectContaining({ code: 'IMAGE_NOT_FOUND' }) as unknown,
    });
  });

  test('tells how far an import is', async () => {
    const seen: number[] = [];
    const { meta } = await bringIn(aci([{ name: 'rootfs/big', data: Buffer.alloc(20 << 20, 1) }]), {
      onProgress: ({ readBytes, totalBytes }) => {
        seen.push(readBytes);
        expect(totalBytes).toBeGreaterThan(20 << 20);
      },
    });
    expect(seen.length).toBeGreaterThan(3);
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    await destroyImage({ ...store.ports, usedBy: () => Promise.resolve([]) }, meta);
  });

  test('keeps an image that pods or clones use, and says which', async () => {
    const [image] = listImages(store).images;
    if (image === undefined) throw new Error('no image');
    const before = await stateOf(store);
    const usedBy = () => Promise.resolve(['pod one', 'pod two']);
    await expect(destroyImage({ ...store.ports, usedBy }, image)).rejects.toThrow(
      'in use by pod one, pod two',
    );
    const clone = `${store.layout.dataset.pods}/clone` as DatasetName;
    await store.zfs.clone(sealOf(store.layout.dataset.image(image.id)), clone, {
      properties: { mountpoint: 'none' },
    });
    const nobody = () => Promise.resolve([]);
    await expect(destroyImage({ ...store.ports, usedBy: nobody }, image)).rejects.toMatchObject({
      code: 'IMAGE_IN_USE',
    });
    await store.zfs.destroy(clone);
    expect(await stateOf(store)).toEqual(before);
    expect(await verifyImage(store.ports, image)).toMatchObject({ ok: true });
  });

  test('mends its index, and tells of images that have lost a part', async () => {
    const [image] = listImages(store).images;
    if (image === undefined) throw new Error('no image');
    const { layout } = store;
    rmSync(layout.dir.imageName(image.name), { recursive: true });
    expect(findImage(store, image.name)).toBeUndefined();
    expect((await collectImages(store.ports)).mended).toHaveLength(1);
    expect(findImage(store, image.name)?.id).toBe(image.id);
  });

  test('sees what has been changed in an image', async () => {
    const { meta } = await bringIn(
      aci([...members, { name: 'rootfs/victim', data: 'x' }, { name: 'rootfs/plain', data: 'xy' }]),
    );
    const dataset = store.layout.dataset.image(meta.id);
    // As an attacker with the right to do anything would: the seal is made anew over a changed tree.
    const dir = store.layout.dir.scratch('tampered');
    await store.zfs.set(dataset, { readonly: 'off', mountpoint: dir });
    await store.zfs.mount(dataset).catch(() => undefined);
    appendFileSync(path.join(dir, 'plain'), '!');
    chmodSync(path.join(dir, 'home/me/file'), 0o644);
    rmSync(path.join(dir, 'victim'));
    execFileSync('touch', [path.join(dir, 'added')]);
    await store.zfs.unmount(dataset);
    await store.zfs.set(dataset, { mountpoint: 'none' });
    await store.zfs.destroy(sealOf(dataset));
    await store.zfs.snapshot(sealOf(dataset));
    const report = await verifyImage(store.ports, meta);
    expect(report.ok).toBe(false);
    const seen = report.differences.filter(({ detail }) => !detail.includes('modified'));
    expect(seen).toEqual(
      expect.arrayContaining([
        { path: '"plain"', kind: 'changed', detail: 'it has 3 bytes and not 2' },
        { path: '"home/me/file"', kind: 'changed', detail: 'its mode is 0644 and not 0600' },
        { path: '"added"', kind: 'added', detail: 'it is a file' },
        { path: '"victim"', kind: 'missing', detail: 'it is not there' },
      ]),
    );
    await destroyImage({ ...store.ports, usedBy: () => Promise.resolve([]) }, meta);
  });

  test('keeps extended attributes, capabilities, FIFOs and, on request, device nodes', async () => {
    const capability = '\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0';
    const archive = aci([
      {
        name: 'rootfs/ping',
        data: 'ping',
        mode: 0o755,
        pax: { 'SCHILY.xattr.security.capability': capability },
      },
      {
        name: 'rootfs/d/',
        pax: { 'SCHILY.xattr.user.note': 'a=b\n', 'SCHILY.acl.access': 'user::rwx' },
      },
      { name: 'rootfs/pipe', type: '6', mode: 0o620, gid: 5 },
      { name: 'rootfs/pipe2', type: '1', link: 'rootfs/pipe' },
      { name: 'rootfs/dev/null', type: '3', mode: 0o666, device: [1, 3] },
    ]);
    const { meta } = await bringIn(archive, { allowDevices: true });
    expect(await verifyImage(store.ports, meta)).toMatchObject({ ok: true, differences: [] });
    expect(meta.warnings).toEqual(['SCHILY.acl.access is not kept ("d")']);
    const clone = store.layout.dataset.scratch('look');
    await store.zfs.clone(sealOf(store.layout.dataset.image(meta.id)), clone);
    try {
      const dir = store.layout.dir.scratch('look');
      expect(
        execFileSync(
          'getfattr',
          ['-n', 'security.capability', '-e', 'hex', path.join(dir, 'ping')],
          { encoding: 'utf8' },
        ),
      ).toContain(`=0x${Buffer.from(capability, 'latin1').toString('hex')}`);
      expect(statSync(path.join(dir, 'pipe'))).toMatchObject({ mode: 0o10620, gid: 5, nlink: 2 });
      expect(statSync(path.join(dir, 'dev/null'))).toMatchObject({ mode: 0o20666, rdev: 0x103 });
    } finally {
      await store.zfs.destroy(clone);
    }
    await destroyImage({ ...store.ports, usedBy: () => Promise.resolve([]) }, meta);
  });

  test('gives the manifest in one spelling, and keeps its bytes', async () => {
    const odd = { ...MANIFEST, app: { ...MANIFEST.app, supplementaryGids: [5], ports: null } };
    const { meta } = await bringIn(aci([], odd));
    const { manifest, bytes } = getManifest(store.layout, meta.id);
    expect(manifest.app).toEqual({ ...MANIFEST.app, supplementaryGIDs: [5] });
    expect(bytes.toString()).toBe(JSON.stringify(odd));
    const parsed = path.join(store.layout.dir.image(meta.id), FILES.parsed);
    const text = readFileSync(parsed, 'utf8');
    writeFileSync(parsed, text.replace('/bin/true', '/bin/evil'));
    expect(await verifyImage(store.ports, meta)).toMatchObject({
      ok: false,
      differences: [{ path: '"parsed.json"' }],
    });
    await destroyImage({ ...store.ports, usedBy: () => Promise.resolve([]) }, meta);
  });

  test('leaves device nodes below dev/ out, and says so', async () => {
    const archive = aci([{ name: 'rootfs/dev/null', type: '3', device: [1, 3] }]);
    const { meta } = await bringIn(archive);
    expect(meta.warnings).toEqual([
      'device nodes below dev/ are left out: every app gets its own /dev',
    ]);
    await destroyImage({ ...store.ports, usedBy: () => Promise.resolve([]) }, meta);
  });

  test('has nothing left when the last image is gone', async () => {
    for (const image of listImages(store).images) {
      await destroyImage({ ...store.ports, usedBy: () => Promise.resolve([]) }, image);
    }
    const { datasets, files } = await stateOf(store);
    expect(datasets.filter((name) => name.includes('sha512'))).toEqual([]);
    expect(files.filter((file) => file.includes('sha512'))).toEqual([]);
    expect(readFileSync('/proc/self/mounts', 'utf8')).not.toContain(
      `${store.layout.dir.root}/build/`,
    );
  });
});
