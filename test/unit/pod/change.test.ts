import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { finishChange, replaceFiles, type PodFiles } from '../../../src/pod/change.ts';
import { isMutable } from '../../../src/pod/mutable.ts';
import { isChangePending } from '../../../src/pod/pending-change.ts';

describe('a change of a pod', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(path.join(os.tmpdir(), 'jetpack-change-'));
    for (const name of ['plan', 'manifest', 'meta.json'])
      writeFileSync(path.join(dir, name), 'old');
  });
  afterEach(() => {
    rmSync(dir, { recursive: true });
  });

  const files = {
    plan: Buffer.from('new'),
    manifest: { n: 1 },
    meta: { n: 2 },
  } as unknown as PodFiles;
  const read = (name: string) => readFileSync(path.join(dir, name), 'utf8');

  it('replaces all files and leaves nothing beside them', () => {
    replaceFiles(dir, files, undefined);
    expect([read('plan'), read('manifest'), read('meta.json')]).toEqual([
      'new',
      '{"n":1}\n',
      '{"n":2}\n',
    ]);
    expect(isChangePending(dir)).toBe(false);
    expect(existsSync(path.join(dir, '.change'))).toBe(false);
  });

  it('is nothing before its point of no return, whatever a killed one has written', () => {
    mkdirSync(path.join(dir, '.change'));
    writeFileSync(path.join(dir, '.change', 'plan'), 'half');
    finishChange(dir);
    expect(read('plan')).toBe('old');
    replaceFiles(dir, files, undefined);
    expect(read('plan')).toBe('new');
  });

  it.each([0, 1, 2, 3])('is finished by the next one after %i files', (moved) => {
    mkdirSync(path.join(dir, 'change'));
    for (const name of ['plan', 'manifest', 'meta.json'].slice(moved))
      writeFileSync(path.join(dir, 'change', name), 'next');
    for (const name of ['plan', 'manifest', 'meta.json'].slice(0, moved))
      writeFileSync(path.join(dir, name), 'next');
    expect(isChangePending(dir)).toBe(true);
    finishChange(dir);
    expect(['plan', 'manifest', 'meta.json'].map(read)).toEqual(['next', 'next', 'next']);
    expect(isChangePending(dir)).toBe(false);
    finishChange(dir);
  });
});

describe('the annotation of a mutable pod', () => {
  const pod = (value: string) => ({ annotations: [{ name: 'jetpack/mutable', value }] }) as never;

  it('is true, false or a mistake', () => {
    expect(isMutable(pod('true'))).toBe(true);
    expect(isMutable(pod('false'))).toBe(false);
    expect(isMutable({} as never)).toBe(false);
    expect(() => isMutable(pod('yes'))).toThrow('true or false');
  });
});
