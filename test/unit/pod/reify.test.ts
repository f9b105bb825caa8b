import { describe, expect, it } from 'vitest';

import {
  appNameFor,
  composePod,
  type AppRequest,
  type PodRequest,
} from '../../../src/pod/compose.ts';
import { reify as reifyDraft } from '../../../src/pod/reify.ts';
import { parseImageManifest } from '../../../src/schema/image-manifest.ts';
import { parsePodManifest } from '../../../src/schema/pod-manifest.ts';
import { appRequest, podRequest } from '../../support/pod-request.ts';

const id = `sha512-${'a'.repeat(128)}`;

function image(app: object = {}, name = 'example.com/web') {
  const { manifest } = parseImageManifest({
    acKind: 'ImageManifest',
    acVersion: '0.8.11',
    name,
    app: { exec: ['/bin/web', '--serve'], user: '0', group: '0', ...app },
  });
  return { id, manifest };
}

const app = (more: Partial<AppRequest> = {}) => appRequest(more.image ?? image(), more);
const pod = (...apps: AppRequest[]): PodRequest => podRequest(apps);
const reify = (request: PodRequest) => reifyDraft(composePod(request));

describe('reification', () => {
  it('makes a pod manifest that appc allows to the letter', () => {
    const { manifest } = reify(
      podRequest(
        [
          app({ image: image({ mountPoints: [{ name: 'data', path: '/data' }] }) }),
          app({
            name: 'two',
            exec: '/x',
            supplementaryGids: [1],
            annotations: [{ name: 'authors', value: 'us' } as never],
            userLabels: { tier: 'web' },
          }),
        ],
        {
          volumes: [{ name: 'v', kind: 'empty', mode: '0700' } as never],
          environment: [{ name: 'A', value: 'b' }],
          userAnnotations: { Any: 'thing' },
        },
      ),
    );
    expect(parsePodManifest(JSON.stringify(manifest), { strict: true }).warnings).toEqual([]);
  });

  it('takes annotations of an app, and the stop signal that its image names', () => {
    const signal = { name: 'jetpack/stop-signal', value: 'QUIT' };
    const named = (manifest: object) => ({
      ...image(),
      manifest: { ...image().manifest, ...manifest },
    });
    const of = (request: AppRequest) => reify(pod(request)).manifest.apps[0]?.annotations;
    expect(of(app())).toBeUndefined();
    const restart = { name: 'jetpack/restart', value: 'always' };
    const annotated = named({ annotations: [signal, { name: 'other', value: 'x' }] }) as never;
    expect(of(app({ image: annotated, annotations: [restart as never] }))).toEqual([
      signal,
      restart,
    ]);
    const other = { ...signal, value: 'INT' };
    expect(of(app({ image: annotated, annotations: [other as never] }))).toEqual([other]);
  });

  it('refuses names of apps and volumes that appc does not have', () => {
    expect(() => reify(pod(app({ name: 'Web' })))).toThrow('cannot be the name of an app');
    const volume = { name: 'v', kind: 'empty' } as never;
    expect(() => reify({ ...pod(app()), volumes: [volume, volume] })).toThrow(
      'volume "v" is there twice',
    );
  });

  it('names apps after the last part of their image', () => {
    expect(appNameFor('example.com/some/Web_Server')).toBe('web-server');
    expect(appNameFor('...')).toBe('app');
    expect(reify(pod(app())).manifest.apps[0]?.name).toBe('web');
  });

  it('refuses two apps of one name', () => {
    expect(() => reify(pod(app(), app()))).toThrow('two apps of the pod would be called "web"');
    expect(reify(pod(app(), app({ name: 'two' }))).manifest.apps).toHaveLength(2);
  });

  it('replaces the arguments after the program, or the program', () => {
    const exec = (more: Partial<AppRequest>) => reify(pod(app(more))).manifest.apps[0]?.app?.exec;
    expect(exec({})).toEqual(['/bin/web', '--serve']);
    expect(exec({ args: ['-x'] })).toEqual(['/bin/web', '-x']);
    expect(exec({ args: [] })).toEqual(['/bin/web']);
    expect(exec({ exec: '/bin/sh' })).toEqual(['/bin/sh']);
    expect(exec({ exec: '/bin/sh', args: ['-c', 'x'] })).toEqual(['/bin/sh', '-c', 'x']);
  });

  it('refuses an image without a program unless one is named', () => {
    const bare = {
      id,
      manifest: parseImageManifest({ acKind: 'ImageManifest', acVersion: '0.8.11', name: 'bare' })
        .manifest,
    };
    expect(() => reify(pod(app({ image: bare })))).toThrow('names no program');
    expect(reify(pod(app({ image: bare, exec: '/x' }))).manifest.apps[0]?.app).toMatchObject({
      exec: ['/x'],
      user: '0',
      group: '0',
    });
  });

  it('lets the environment of the app beat that of the pod, and that the one of the image', () => {
    const request: PodRequest = {
      ...pod(
        app({
          image: image({ environment: ['a', 'b', 'c'].map((name) => ({ name, value: 'image' })) }),
          environment: [{ name: 'c', value: 'app' }],
        }),
      ),
      environment: ['b', 'c'].map((name) => ({ name, value: 'pod' })),
    };
    expect(reify(request).manifest.apps[0]?.app?.environment).toEqual([
      { name: 'a', value: 'image' },
      { name: 'b', value: 'pod' },
      { name: 'c', value: 'app' },
    ]);
  });

  it('fills a mount point without a volume with an empty one, and says so', () => {
    const { manifest, warnings } = reify(
      pod(app({ image: image({ mountPoints: [{ name: 'data', path: '/data' }] }) })),
    );
    expect(manifest.volumes).toEqual([{ name: 'data', kind: 'empty' }]);
    expect(manifest.apps[0]?.mounts).toEqual([{ volume: 'data', path: '/data' }]);
    expect(warnings.join()).toContain('no volume for mount point "data"');
  });

  it('fills a mount point by the volume of its name, or by a mount at its path', () => {
    const points = image({ mountPoints: [{ name: 'data', path: '/data/' }] });
    const named = reify({
      ...pod(app({ image: points })),
      volumes: [{ name: 'data', kind: 'host', source: '/srv' } as never],
    });
    expect(named.warnings).toEqual([]);
    const other = reify({
      ...pod(app({ image: points, mounts: [{ volume: 'other', target: '/data' }] })),
      volumes: [{ name: 'other', kind: 'empty' } as never],
    });
    expect(other.manifest.volumes).toHaveLength(1);
    expect(other.manifest.apps[0]?.mounts).toEqual([{ volume: 'other', path: '/data' }]);
  });

  it('refuses a mount of a volume that is not there, and targets that overlap', () => {
    expect(() => reify(pod(app({ mounts: [{ volume: 'x', target: '/x' }] })))).toThrow(
      'wants volume "x"',
    );
    const volumes = [{ name: 'v', kind: 'empty' } as never];
    const mounts = [
      { volume: 'v', target: '/x' },
      { volume: 'v', target: '/x/y' },
    ];
    expect(() => reify({ ...pod(app({ mounts })), volumes })).toThrow('overlap');
  });

  it('refuses targets that would hide what every app needs', () => {
    const volumes = [{ name: 'v', kind: 'empty' } as never];
    for (const target of ['/proc', '/dev/', '/sys/fs', '/dev/pts']) {
      expect(
        () => reify({ ...pod(app({ mounts: [{ volume: 'v', target }] })), volumes }),
        target,
      ).toThrow('would hide');
    }
    expect(() =>
      reify({ ...pod(app({ mounts: [{ volume: 'v', target: '/dev/shm' }] })), volumes }),
    ).not.toThrow();
  });

  it('warns of a volume that nobody mounts', () => {
    expect(
      reify({ ...pod(app()), volumes: [{ name: 'v', kind: 'empty' } as never] }).warnings,
    ).toEqual(['volume "v" is mounted nowhere']);
  });
});
