import { existsSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';

import { isFolderTarget } from '../../../src/cli/archive-output.ts';
import { writeAside } from '../../../src/image/write-aside.ts';
import { TestFolder } from '../../support/test-folder.ts';

const folder = new TestFolder();
afterEach(() => folder.remove());

async function* bytes(fails = false): AsyncGenerator<Buffer> {
  yield await Promise.resolve(Buffer.from('new'));
  if (fails) throw new Error('enough');
}

describe('writeAside', () => {
  it('writes a file behind a symlink, and leaves what was there when it fails', async () => {
    const dir = folder.make({ real: 'old' });
    const link = path.join(dir, 'link');
    symlinkSync('real', link);
    await expect(writeAside(link, bytes(true))).rejects.toThrow('enough');
    expect(readFileSync(link, 'utf8')).toBe('old');
    expect(await writeAside(link, bytes())).toBe(3);
    expect(readFileSync(path.join(dir, 'real'), 'utf8')).toBe('new');
    expect(readdirSync(dir).sort()).toEqual(['link', 'real']);
  });

  it('tells of a place where nothing can be', async () => {
    const dir = folder.make({ file: '' });
    const dangling = path.join(dir, 'dangling');
    symlinkSync('nowhere/at/all', dangling);
    const below = path.join(dir, 'file/below');
    for (const place of [dangling, below, path.join(dir, 'none/below')]) {
      await expect(writeAside(place, bytes())).rejects.toMatchObject({ code: 'IO_FAILED' });
      expect(isFolderTarget(place)).toBe(false);
    }
    expect(existsSync(path.join(dir, 'nowhere'))).toBe(false);
  });
});
