/** `image push`, as people call it, to Debian's docker-registry; skopeo looks at what came there. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { testPool } from '../support/environment.ts';
import { JetpackHost, makeBusyboxAci } from '../support/jetpack-host.ts';
import { makeThreeLayers, OciLayout, skopeo } from '../support/oci-images.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';

const pool = testPool();

interface Pushed {
  readonly digest: string;
  readonly sentBytes: number;
  readonly blobs: readonly { readonly digest: string; readonly outcome: string }[];
}

describe.skipIf(pool === undefined)('image push', () => {
  const host = new JetpackHost(pool ?? '');
  const work = mkdtempSync(path.join(tmpdir(), 'jetpack-push-'));
  let registry: TestRegistry;
  const at = (name: string) => `docker://${registry.host}/${name}`;
  const digestOf = (name: string) =>
    skopeo(work, 'inspect', '--tls-verify=false', '--format', '{{.Digest}}', at(name)).trim();

  beforeAll(async () => {
    registry = await startRegistry(work);
    host.must('init');
    const layout = new OciLayout(work, 'layout');
    makeThreeLayers(layout, 'three');
    layout.copy('three', at('team/three:1'), '--dest-tls-verify=false');
    host.must('fetch', '--insecure-options=image', at('team/three:1'));
  });

  afterAll(async () => {
    await registry.stop();
    rmSync(work, { recursive: true, force: true });
    host.remove();
  });

  const push = (...words: readonly string[]) => host.json('image', 'push', ...words) as Pushed;
  const outcomes = ({ blobs }: Pushed) => [...new Set(blobs.map(({ outcome }) => outcome))];

  test('gives an OCI image back as it came, and takes what a neighbour has from there', () => {
    const pushed = push(at('team/three:1'), at('other/three:2'));
    expect(pushed.digest).toBe(digestOf('team/three:1'));
    expect(digestOf('other/three:2')).toBe(pushed.digest);
    expect(outcomes(pushed)).toEqual(['mounted']);
    expect(pushed.sentBytes).toBe(0);
    expect(outcomes(push(at('team/three:1'), at('other/three:3')))).toEqual(['existing']);
  });

  test('sends all to a registry that has nothing of it, in chunks when it is told to', async () => {
    const other = await startRegistry(mkdtempSync(path.join(work, 'other-')));
    try {
      const target = `docker://${other.host}/three:1`;
      const pushed = push('--chunk-size=64K', at('team/three:1'), target);
      expect(pushed.digest).toBe(digestOf('team/three:1'));
      expect(outcomes(pushed)).toEqual(['sent']);
      expect(other.requests().some((line) => line.startsWith('PATCH '))).toBe(true);
      const fetched = host.json('fetch', '--insecure-options=image', target) as unknown[];
      expect(fetched).toHaveLength(1);
    } finally {
      await other.stop();
    }
  });

  test('makes an OCI image of an ACI, the same one every time', () => {
    host.must('import', '--insecure-options=image', makeBusyboxAci(host));
    const file = path.join(work, 'digest');
    const first = host.must(
      ...['image', 'push', `--digest-file=${file}`, 'busybox', at('busybox:1')],
    );
    expect(readFileSync(file, 'utf8')).toBe(`${first.trim()}\n`);
    expect(digestOf('busybox:1')).toBe(first.trim());
    const again = push('busybox', at('busybox:2'));
    expect(again.digest).toBe(first.trim());
    expect(outcomes(again)).toEqual(['existing']);
    host.must('fetch', '--insecure-options=image', at('busybox:1'));
    const said = host.must('run', '--rm', at('busybox:1'), '--', '-c', 'echo pushed and pulled');
    expect(said).toBe('pushed and pulled');
  });

  test('refuses what is not in a registry, and tells what a registry says', () => {
    const file = host.jetpack(['image', 'push', 'busybox', 'oci:/tmp/x']);
    expect(file.status).toBe(2);
    expect(file.stderr).toContain('is not in a registry');
    const size = host.jetpack(['image', 'push', '--chunk-size=much', 'busybox', at('x')]);
    expect(size.status).toBe(2);
    const away = host.jetpack(['fetch', '--insecure-options=image', at('nobody/none:1')]);
    expect(away.status).toBe(1);
    expect(away.stderr).toContain('MANIFEST_UNKNOWN: "manifest unknown"');
  });
});
