/** Images between us and the others: what skopeo, umoci, buildah and podman write is read, and what we write they read. */
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { testPool } from '../support/environment.ts';
import { JetpackHost } from '../support/jetpack-host.ts';
import { makeThreeLayers, OciLayout, peer, skopeo } from '../support/oci-images.ts';
import { treeFacts } from '../support/tree-facts.ts';

const pool = testPool();

describe.skipIf(pool === undefined)('images of the others', () => {
  const host = new JetpackHost(pool ?? '');
  const work = mkdtempSync(path.join(tmpdir(), 'jetpack-peers-'));
  const at = (name: string) => path.join(work, name);
  let layout: OciLayout;
  /** As umoci unpacks the original. */
  let original: Readonly<Record<string, string>> = {};

  /** podman(1), or buildah(1), with nothing of the host's. */
  function containers(program: 'podman' | 'buildah', ...words: readonly string[]): string {
    const storage = ['--root', at('storage'), '--runroot', at('run'), '--storage-driver', 'vfs'];
    const own = program === 'podman' ? ['--events-backend=none', '--cgroup-manager=cgroupfs'] : [];
    return peer(`/usr/bin/${program}`, [...storage, ...own, ...words]).trim();
  }

  beforeAll(() => {
    host.must('init');
    chmodSync(work, 0o755);
    layout = new OciLayout(work, 'layout');
    makeThreeLayers(layout, 'three');
    layout.copy('three', `docker-archive:${at('skopeo.docker')}:example.com/three:1.0`);
    original = treeFacts(layout.unpack('three', at('original')));
  });

  afterAll(() => {
    if (existsSync(at('storage'))) {
      containers('podman', 'image', 'unmount', '--all', '--force');
      containers('podman', 'image', 'rm', '--all', '--force');
    }
    rmSync(work, { recursive: true, force: true });
    host.remove();
  });

  const fetched = (ref: string) => host.must('import', '--insecure-options=image', ref);

  function exported(id: string, target: string, ...words: readonly string[]): string {
    return host.must('image', 'export', ...words, id, at(target));
  }

  /** The tree as podman has it, but for its root: where no layer says it podman makes one that nobody may write to. */
  function loaded(image: string): Readonly<Record<string, string>> {
    const folder = containers('podman', 'image', 'mount', image);
    const facts = withoutRoot(treeFacts(folder));
    containers('podman', 'image', 'unmount', image);
    return facts;
  }

  /** What podman makes of the configuration. */
  function inspected(image: string): unknown {
    const [found] = JSON.parse(containers('podman', 'image', 'inspect', image)) as unknown[];
    const { Config, Architecture, Os, Created, RootFS, History, Author } = found as Record<
      string,
      unknown
    >;
    return { Config, Architecture, Os, Created, RootFS, History, Author };
  }

  test('are read, in whatever form, as the same files and the same configuration', () => {
    layout.copy('three', `oci-archive:${at('skopeo.tar')}:three`);
    layout.copy('three', `oci:${at('zstd')}:three`, '--dest-compress-format', 'zstd');
    containers('podman', 'load', '-q', '-i', at('skopeo.docker'));
    const name = 'example.com/three:1.0';
    containers(
      'podman',
      'save',
      '-q',
      '--format',
      'docker-archive',
      '-o',
      at('podman.docker'),
      name,
    );
    containers('podman', 'save', '-q', '--format', 'oci-archive', '-o', at('podman.oci'), name);
    containers('podman', 'save', '-q', '--format', 'oci-dir', '-o', at('podman.dir'), name);
    containers('buildah', 'push', '-q', name, `oci:${at('buildah')}:three`);
    containers('buildah', 'push', '-q', name, `oci-archive:${at('buildah.tar')}:three`);
    // As FreeBSD publishes them.
    peer('/usr/bin/xz', ['-0', '-k', '--suffix=.txz', at('skopeo.tar')]);
    const forms = [
      `oci:${layout.dir}:three`,
      `oci:${at('zstd')}`,
      `oci:${at('podman.dir')}`,
      `oci:${at('buildah')}:three`,
      `oci-archive:${at('skopeo.tar')}:three`,
      `oci-archive:${at('skopeo.tar.txz')}`,
      `oci-archive:${at('podman.oci')}`,
      `oci-archive:${at('buildah.tar')}:three`,
      `docker-archive:${at('skopeo.docker')}:example.com/three:1.0`,
      `docker-archive:${at('podman.docker')}`,
    ];
    const ids = forms.map(fetched);
    // The same name, and so the same image: how its layers were compressed does not count.
    expect(new Set(ids.slice(8)).size).toBe(1);
    const flat = new Set(
      [...new Set(ids)].map((id, i) =>
        exported(id, `flat-${String(i)}`, '--flat', '--format=docker'),
      ),
    );
    // The digest of a configuration that names the digest of the only layer, which has all files.
    expect([...flat]).toHaveLength(1);
  });

  test('that have several images or platforms are read by what is asked for', () => {
    layout.tag('three', 'other');
    const both = `docker-archive:${at('both')}`;
    containers('podman', 'load', '-q', '-i', at('skopeo.docker'));
    containers('podman', 'tag', 'example.com/three:1.0', 'example.com/a:1', 'example.com/b:2');
    containers(
      'podman',
      'save',
      '-q',
      '-m',
      '-o',
      at('both'),
      'example.com/a:1',
      'example.com/b:2',
    );
    expect(fetched(`${both}:example.com/b:2`)).toMatch(/^sha512-/);
    const ambiguous = host.jetpack(['import', '--insecure-options=image', `oci:${layout.dir}`]);
    expect(ambiguous.status).toBe(1);
    expect(ambiguous.stderr).toContain('three');
    expect(ambiguous.stderr).toContain('other');
  });

  describe('of ours are read by the others', () => {
    let id = '';
    beforeAll(() => {
      id = fetched(`oci:${layout.dir}:three`);
    });

    test('as a layout, with all layers or with one', () => {
      exported(id, 'ours/', '--format=oci', '--name=three');
      exported(id, 'ours/', '--format=oci', '--name=flat', '--flat');
      for (const tag of ['three', 'flat']) {
        const into = at(`unpacked-${tag}`);
        peer('/usr/bin/umoci', [
          'unpack',
          '--keep-dirlinks',
          '--image',
          `${at('ours')}:${tag}`,
          into,
        ]);
        expect(treeFacts(path.join(into, 'rootfs'))).toEqual(original);
      }
      const digest = (image: string) =>
        (JSON.parse(skopeo(work, 'inspect', image)) as { Digest: string }).Digest;
      // Not one byte of it is another.
      expect(digest(`oci:${at('ours')}:three`)).toBe(digest(`oci:${layout.dir}:three`));
      const umoci = JSON.parse(
        peer('/usr/bin/umoci', ['stat', '--json', '--image', `${at('ours')}:flat`]),
      ) as { history: { created_by: string }[] };
      expect(umoci.history.map((each) => each.created_by)).toEqual(['jetpack image export']);
    });

    test.each([
      ['an archive of OCI', ['--format=oci']],
      ['an archive of OCI with one layer', ['--format=oci', '--flat']],
      ['an archive of docker save', ['--format=docker']],
      ['an archive of docker save with one layer', ['--format=docker', '--flat']],
    ])('as %s', (_, words) => {
      exported(id, 'archive', ...words, '--name=example.com/ours:1');
      rmSync(at('storage'), { recursive: true, force: true });
      const said = containers('podman', 'load', '-q', '-i', at('archive'));
      expect(said).toContain('example.com/ours:1');
      expect(loaded('example.com/ours:1')).toEqual(withoutRoot(original));
      const kind = words[0] === '--format=oci' ? 'oci-archive' : 'docker-archive';
      const seen = skopeo(
        work,
        'inspect',
        '--config',
        `${kind}:${at('archive')}:example.com/ours:1`,
      );
      const config = skopeo(work, 'inspect', '--config', `oci:${layout.dir}:three`);
      const run = (text: string) => (JSON.parse(text) as { config: unknown }).config;
      expect(run(seen)).toEqual(run(config));
    });
  });

  test('come back from Docker by way of us as they were', () => {
    layout.copy('three', `docker-archive:${at('there.docker')}:example.com/trip:1`);
    rmSync(at('storage'), { recursive: true, force: true });
    containers('podman', 'load', '-q', '-i', at('there.docker'));
    const before = { config: inspected('example.com/trip:1'), files: loaded('example.com/trip:1') };
    const id = fetched(`docker-archive:${at('there.docker')}`);
    exported(id, 'back.oci', '--format=oci');
    rmSync(at('storage'), { recursive: true, force: true });
    containers('podman', 'load', '-q', '-i', at('back.oci'));
    expect(inspected('example.com/trip:1')).toEqual(before.config);
    expect(loaded('example.com/trip:1')).toEqual(before.files);
    expect(before.files).toEqual(withoutRoot(original));
  });

  test('of a tree alone, an ACI, become images that the others run', () => {
    const aci = at('three.aci');
    exported(fetched(`oci:${layout.dir}:three`), 'three.aci');
    const id = host.must('import', '--insecure-options=image', aci);
    exported(id, 'from-aci', '--format=oci', '--name=example.com/aci:1');
    rmSync(at('storage'), { recursive: true, force: true });
    containers('podman', 'load', '-q', '-i', at('from-aci'));
    expect(loaded('example.com/aci:1')).toEqual(withoutRoot(original));
    const run = (image: string) =>
      (JSON.parse(skopeo(work, 'inspect', '--config', image)) as { config: unknown }).config;
    expect(run(`oci-archive:${at('from-aci')}`)).toEqual(run(`oci:${layout.dir}:three`));
  });

  test('leave nothing in the store that is not of an image', () => {
    const blobs = path.join(host.mountpoint, 'blobs');
    expect(readdirSync(blobs).filter((name) => name.startsWith('.'))).toEqual([]);
    expect(host.traces().datasets.filter((name) => name.includes('/build/'))).toEqual([]);
  });
});

function withoutRoot(facts: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(facts).filter(([name]) => name !== '.'));
}
