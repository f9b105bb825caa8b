/** The commands of the image store, as people use them: what they print, and their exit status. */
import { closeSync, openSync, readdirSync, statSync, writeFileSync, writeSync } from 'node:fs';
import path from 'node:path';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { testPool } from '../support/environment.ts';
import { JetpackHost } from '../support/jetpack-host.ts';
import { aci, MANIFEST, type TarMember } from '../support/tar.ts';

const pool = testPool();

describe.skipIf(pool === undefined)('the commands of the image store', () => {
  let host: JetpackHost;
  let base: string;
  let other: string;
  let top: string;

  beforeAll(() => {
    host = new JetpackHost(pool ?? '');
    host.must('init');
    const bringIn = (name: string, members: readonly TarMember[], more: object = {}): string => {
      const file = path.join(host.dir, `${name}.aci`);
      writeFileSync(file, aci(members, { ...MANIFEST, name: `example.com/${name}`, ...more }));
      return host.must('import', '--insecure-options=image', file);
    };
    base = bringIn('base', [{ name: 'rootfs/base', data: 'base'.repeat(1000) }]);
    other = bringIn('other', [{ name: 'rootfs/other', data: 'other' }]);
    top = bringIn('top', [{ name: 'rootfs/top', data: 'top' }], {
      dependencies: [{ imageName: 'example.com/base' }, { imageName: 'example.com/other' }],
    });
  });

  afterAll(() => {
    host.remove();
  });

  const short = (id: string): string => id.slice(0, 'sha512-'.length + 12);

  test('draw what images are made of', () => {
    const lines = host.must('images', '--tree', '--sort=name').split('\n');
    expect(lines.map((line) => line.split(/ {2,}/).slice(0, 4))).toEqual([
      ['NAME', 'VERSION', 'ID', 'SHARED'],
      ['example.com/base', '1.0', short(base), '-'],
      ['└─ example.com/top', '1.0', short(top), 'dependency, 4.00 KB'],
      ['example.com/other', '1.0', short(other), '-'],
    ]);
    expect(host.json('images', '--tree', '--sort=name')).toMatchObject([
      { id: base, children: [{ id: top, dependencies: [base, other], sharedBytes: 4000 }] },
      { id: other, children: [] },
    ]);
  });

  test('show what an image depends on, what needs it, and what is kept', () => {
    const shown = host.must('image', 'show', 'example.com/top');
    expect(shown).toContain(
      `based on:  example.com/base (${base.slice(0, 19)}), example.com/other (${other.slice(0, 19)}) (4.00 KB shared)`,
    );
    expect(shown).toMatch(/^kept: +1 file, /m);
    expect(host.must('image', 'show', 'example.com/other')).toMatch(
      new RegExp(`^needed by: +example.com/top \\(${top.slice(0, 19)}\\)$`, 'm'),
    );
    expect(host.json('image', 'show', 'example.com/base')).toMatchObject({
      neededBy: [top],
      layers: [],
      kept: [{ others: 0 }],
      shared: { layers: 0, treeBytes: 0, keptBytes: 0 },
    });
  });

  test('refuse to remove what is needed, and name who needs it', () => {
    const { status, stderr } = host.jetpack(['image', 'rm', 'example.com/other']);
    expect(status).toBe(1);
    expect(stderr).toContain(`is in use by image ${top} (example.com/top)`);
  });

  test('say what gc would remove, and remove it', () => {
    const blobs = path.join(host.mountpoint, 'blobs');
    const unneeded = path.join(blobs, `sha256-${'0'.repeat(64)}`);
    writeFileSync(unneeded, 'x');
    expect(host.must('image', 'gc', '--dry-run')).toMatch(
      new RegExp(`^would remove +${unneeded} +no image needs it$`, 'm'),
    );
    expect(host.json('image', 'gc')).toContainEqual({
      what: unneeded,
      action: 'removed',
      why: 'no image needs it',
    });
    expect(readdirSync(blobs)).toHaveLength(3);
  });

  test('verify all images, and exit with 1 when one of them is damaged', () => {
    const well = host.must('image', 'verify', '--all');
    expect(well.split('\n').sort()[0]).toMatch(
      /^sha512-[0-9a-f]{12} {2}ok {2}[234] files, 1 stored blob read$/,
    );
    const folder = path.join(host.mountpoint, 'images', other, 'blobs');
    const [name = ''] = readdirSync(folder);
    const fd = openSync(path.join(folder, name), 'r+');
    writeSync(
      fd,
      Buffer.from([0, 255]),
      0,
      2,
      Math.floor(statSync(path.join(folder, name)).size / 2),
    );
    closeSync(fd);
    const { status, stdout, stderr } = host.jetpack(['image', 'verify', '--all']);
    expect(status).toBe(1);
    expect(stderr).toContain(
      `image example.com/other (${other.slice(0, 19)}) is not what was imported:`,
    );
    expect(stderr).toContain(`"blobs/${name}": changed: `);
    expect(stdout.trim().split('\n')).toHaveLength(2);
    expect(host.jetpack(['image', 'verify', '--all', base]).status).toBe(2);
    // The same archive again is a good one again.
    host.must('import', '--insecure-options=image', path.join(host.dir, 'other.aci'));
    host.must('image', 'verify', 'example.com/other');
  });
});
