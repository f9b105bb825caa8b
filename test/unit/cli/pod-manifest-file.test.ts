import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { readPodManifest } from '../../../src/cli/pod-manifest-file.ts';

describe('the images of a pod manifest', () => {
  let dir: string;
  beforeAll(() => {
    dir = mkdtempSync(path.join(tmpdir(), 'jp-'));
  });
  afterAll(() => {
    rmSync(dir, { recursive: true });
  });

  /** The words by which the only image is looked for. */
  function wordsFor(image: object): string {
    const file = path.join(dir, 'pod.json');
    const apps = [{ name: 'a', image }];
    writeFileSync(file, JSON.stringify({ acKind: 'PodManifest', acVersion: '0.8.11', apps }));
    const found: string[] = [];
    readPodManifest(file, (reference) => {
      found.push(reference);
      return undefined as never;
    });
    return found.join(' ');
  }

  it('are looked for by their id, or by name and labels', () => {
    const labels = [
      { name: 'version', value: '1:2' },
      { name: 'os', value: 'linux' },
    ];
    expect(wordsFor({ id: 'sha512-ab', name: 'x', labels })).toBe('sha512-ab');
    expect(wordsFor({ name: 'x/y', labels })).toBe('x/y,version=1:2,os=linux');
  });

  it('are not taken for others when a label has a comma', () => {
    const image = { name: 'x', labels: [{ name: 'version', value: '1,os=linux' }] };
    expect(() => wordsFor(image)).toThrow(
      'the pod manifest, apps[0].image.name: no image can be found by version=1,os=linux',
    );
  });
});
