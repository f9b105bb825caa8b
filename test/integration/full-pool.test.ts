import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readdirSync, rmSync } from 'node:fs';
import path from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { testPool } from '../support/environment.ts';
import { JetpackHost, makeBusyboxAci } from '../support/jetpack-host.ts';
import { writePlainLayout } from '../support/plain-layout.ts';
import { toolPath } from '../support/real-zfs.ts';
import { tar } from '../support/tar.ts';

const parent = testPool();
const pool = `jpfull${String(process.pid)}`;

/** The pool of a host of its own is filled to the brim by a pod. */
describe.skipIf(parent === undefined)('a full pool', () => {
  let host: JetpackHost;

  beforeAll(() => {
    host = new JetpackHost(pool);
    const file = path.join(host.dir, 'pool.img');
    host.must('init', '--pool-file', file, '--pool-size', '128M', '--pool-name', pool);
    host.must('import', '--insecure-options=image', makeBusyboxAci(host));
  });
  afterAll(() => {
    host.remove();
    for (let attempt = 0; attempt < 50; attempt += 1) {
      if (spawnSync(toolPath('zpool'), ['destroy', pool]).status === 0) return;
      spawnSync('/bin/sleep', ['0.2']);
    }
  });

  it('is told in one line, loses nothing, and can be emptied with what jetpack has', () => {
    const filled = host.jetpack([
      'run',
      '--name=hog',
      'busybox',
      '--',
      'sh',
      '-c',
      'dd if=/dev/urandom of=/hog bs=64k count=3000; dd if=/dev/urandom of=/hog2 bs=512 count=20000',
    ]);
    expect(filled.status).not.toBe(0);
    spawnSync('/bin/sync');
    const before = host.traces().datasets;
    const failed = host.jetpack([
      'import',
      '--insecure-options=image',
      path.join(host.dir, 'busybox.aci'),
    ]);
    // Kernel ZFS has some slop left for it; the image is there already.
    if (failed.status !== 0) expect(failed.stderr).toMatch(/no space|space left|ENOSPC/);
    expect(host.traces().datasets).toEqual(before);
    host.must('rm', 'hog');
    host.must('gc');
    expect(host.traces().datasets).toContain(`${host.root}/reserve`);
    host.must('image', 'verify', 'busybox');
    expect(host.jetpack(['run', '--rm', 'busybox', '--', 'echo', 'again']).stdout).toBe('again\n');
  });

  it('has no place for a large OCI image, and is not left full of parts of it', () => {
    const layout = path.join(host.dir, 'layout');
    const large = tar([{ name: 'large', data: randomBytes(140_000_000) }]);
    const image = { layers: [large], pack: (layer: Buffer) => layer };
    const LAYER = 'application/vnd.oci.image.layer.v1.tar';
    writePlainLayout(layout, [
      { ...image, tag: 'kept-compressed', layerType: LAYER },
      { ...image, tag: 'as-it-came', layerType: `${LAYER}+gzip` },
    ]);
    const before = host.traces().datasets;
    for (const tag of ['kept-compressed', 'as-it-came']) {
      const words = ['fetch', '--insecure-options=image', `oci:${layout}:${tag}`];
      const { status, stderr } = host.jetpack(words);
      expect([tag, status, stderr]).toEqual([tag, 1, expect.stringContaining('no space left')]);
      expect(readdirSync(path.join(host.mountpoint, 'blobs'))).toEqual(
        expect.not.arrayContaining([expect.stringMatching(/^\./)]),
      );
      expect(host.traces().datasets).toEqual(before);
    }
    rmSync(layout, { recursive: true });
  });
});
