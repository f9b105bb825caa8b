/** The example of IMAGES.md, run as it is printed. */
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import process from 'node:process';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { testPool } from '../support/environment.ts';
import { JetpackHost, PROJECT } from '../support/jetpack-host.ts';

const pool = testPool();

/** The first block of the page that is for a shell. */
function shellBlock(): string {
  const page = readFileSync(path.join(PROJECT, 'IMAGES.md'), 'utf8');
  const [, block] = /^```sh\n(.*?)^```$/ms.exec(page) ?? [];
  if (block === undefined) throw new Error('IMAGES.md has no shell block');
  return block;
}

describe.skipIf(pool === undefined)('the example of IMAGES.md', () => {
  let host: JetpackHost;

  beforeAll(() => {
    host = new JetpackHost(pool ?? '');
    host.must('init');
  });
  afterAll(() => {
    host.remove();
  });

  it('makes an image, imports and runs it, and the pod says hello', () => {
    const bin = path.join(host.dir, 'bin');
    mkdirSync(bin);
    const launcher = path.join(bin, 'jetpack');
    writeFileSync(
      launcher,
      `#!/bin/sh\nexec '${process.execPath}' '${path.join(PROJECT, 'dist', 'main.cjs')}' "$@"\n`,
    );
    chmodSync(launcher, 0o755);

    const { status, stdout, stderr } = spawnSync('/bin/sh', ['-eu'], {
      cwd: mkdtempSync(path.join(host.dir, 'w-')),
      env: { ...host.env, PATH: `${bin}:${host.env['PATH'] ?? ''}` },
      input: shellBlock(),
      encoding: 'utf8',
    });
    // The id of the image is the answer of the import.
    expect({ status, stdout, stderr }).toEqual({
      status: 0,
      stdout: expect.stringMatching(/^sha512-[0-9a-f]{128}\nhello\n$/),
      stderr: '',
    });
    expect(host.must('list', '-q')).toBe('');
    expect(host.must('images', '-q').split('\n')).toHaveLength(1);
  });
});
