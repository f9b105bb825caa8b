import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';

import { afterAll, describe, expect, it } from 'vitest';

import { PROJECT } from '../support/jetpack-host.ts';

const ANALYZE = '/usr/bin/systemd-analyze';
const folder = path.join(PROJECT, 'share/systemd');
const must = process.env['JETPACK_MUST_WORK'] === '1';

describe.skipIf(!must && !existsSync(ANALYZE))('the units in share/systemd', () => {
  const dir = mkdtempSync(path.join(tmpdir(), 'units-'));
  afterAll(() => rmSync(dir, { recursive: true }));

  // A template is looked at as one of its instances; the program is where this project has it.
  const names = readdirSync(folder).map((name) => {
    const copy = name.replace('@.', '@web.');
    const text = readFileSync(path.join(folder, name), 'utf8');
    const program = path.join(PROJECT, 'dist/main.cjs');
    const service = path.join(PROJECT, 'dist/mds.cjs');
    writeFileSync(
      path.join(dir, copy),
      text.replaceAll('/usr/bin/jetpack-mds', service).replaceAll('/usr/bin/jetpack', program),
    );
    return copy;
  });

  it.each(names)('%s is one that systemd accepts without a word', (name) => {
    const { status, stderr } = spawnSync(
      ANALYZE,
      ['verify', '--man=no', '--recursive-errors=one', path.join(dir, name)],
      { encoding: 'utf8', env: { ...process.env, SYSTEMD_UNIT_PATH: `${dir}:` } },
    );
    const own = stderr.split('\n').filter((line) => line.includes(dir) || line.includes(name));
    expect({ status, own }).toEqual({ status: 0, own: [] });
  });
});
