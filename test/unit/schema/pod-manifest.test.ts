/** Pod manifests that people write: what is taken, told, and refused, whatever it is. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { ManifestError } from '../../../src/errors.ts';
import { parseDraftPodManifest, parsePodManifest } from '../../../src/schema/pod-manifest.ts';
import { everyPlace, WHOLE_POD_MANIFEST, withChange } from '../../support/pod-manifests.ts';

const id = `sha512-${'a'.repeat(128)}`;
const app = { exec: ['/bin/sh'], user: '0', group: '0' };
const minimal = {
  acKind: 'PodManifest',
  acVersion: '0.8.11',
  apps: [{ name: 'a', image: { id } }],
};

function problemsOf(manifest: unknown): readonly string[] {
  try {
    parseDraftPodManifest(manifest);
    return [];
  } catch (error) {
    if (!(error instanceof ManifestError)) throw error;
    return error.problems.map(({ path, message }) => `${path}: ${message}`);
  }
}
const withApp = (fields: object) => ({
  ...minimal,
  apps: [{ name: 'a', image: { id }, app: { ...app, ...fields } }],
});
const withVolume = (volume: unknown) => ({ ...minimal, volumes: [volume] });

describe('a pod manifest', () => {
  it('has everything of the specification, with nothing to tell', () => {
    expect(parseDraftPodManifest(JSON.stringify(WHOLE_POD_MANIFEST)).warnings).toEqual([]);
    expect(parsePodManifest(JSON.stringify(WHOLE_POD_MANIFEST)).warnings).toEqual([]);
  });

  it('is taken as the library of appc writes it', () => {
    const port = { name: 'http', protocol: 'tcp', port: 80, count: 0, socketActivated: false };
    const { manifest, warnings } = parsePodManifest({
      ...withApp({ ports: [port] }),
      volumes: null,
      isolators: null,
      annotations: null,
      ports: [
        { name: 'http', hostPort: 80 },
        { name: 'more', hostPort: 81, podPort: { ...port, name: 'more' } },
      ],
    });
    expect(warnings).toEqual([]);
    expect(manifest.apps[0]?.app?.ports?.[0]?.count).toBe(1);
    expect(manifest.ports?.[1]?.podPort).toMatchObject({ port: 80, count: 1 });
    expect(problemsOf({ ...minimal, ports: [{ name: 'x', hostPort: 1, podPort: '80' }] })).toEqual([
      'ports[0].podPort: must be a port, or its number',
    ]);
  });

  it('is not nested deeper than it could be written out again', () => {
    const nested = (depth: number) =>
      JSON.stringify(minimal).replace(/}$/, `,"x":${'['.repeat(depth)}${']'.repeat(depth)}}`);
    expect(parsePodManifest(nested(400)).warnings).toHaveLength(1);
    expect(problemsOf(nested(200_000))).toEqual([': it is nested more than 500 deep']);
    const brackets = { ...minimal, userLabels: { a: '[\\"[{'.repeat(1000) } };
    expect(problemsOf(JSON.stringify(brackets))).toEqual([]);
  });

  it('names images in several ways before it is reified, and by their id after', () => {
    for (const image of [{ id }, { id: 'sha512-ab' }, { name: 'x' }])
      expect(problemsOf({ ...minimal, apps: [{ name: 'a', image }] })).toEqual([]);
    expect(() =>
      parsePodManifest({ ...minimal, apps: [{ name: 'a', image: { name: 'x' } }] }),
    ).toThrow('at apps[0].image.id');
  });

  it.each<[unknown, string]>([
    [withVolume({ name: 'v' }), 'volumes[0].kind: must be "host" or "empty"'],
    [withVolume({ name: 'v', kind: 'tmpfs' }), 'volumes[0].kind: must be "host" or "empty"'],
    [withVolume('v'), 'volumes[0]: must be an object'],
    [withVolume({ name: 'v', kind: 'host' }), 'volumes[0].source: is missing'],
    [
      withVolume({ name: 'v', kind: 'host', source: 'v' }),
      'volumes[0].source: must be an absolute path',
    ],
    [
      withVolume({ name: 'v', kind: 'empty', mode: '9' }),
      'volumes[0].mode: must be an octal mode like 0755',
    ],
    [withVolume({ name: 'v', kind: 'empty', uid: -1 }), 'volumes[0].uid: must be at least 0'],
    [
      withVolume({ name: 'V', kind: 'empty' }),
      'volumes[0].name: must be lower-case letters, digits and inner "-" only',
    ],
    [{ ...minimal, ports: [{ name: 'p', hostPort: 0 }] }, 'ports[0].hostPort: must be at least 1'],
    [
      { ...minimal, ports: [{ name: 'p', hostPort: 1, hostIP: 'x' }] },
      'ports[0].hostIP: must be an address like 127.0.0.1',
    ],
    [withApp({ user: '' }), 'apps[0].app.user: must not be empty'],
    [withApp({ user: undefined }), 'apps[0].app.user: is missing'],
    [withApp({ exec: '/bin/sh' }), 'apps[0].app.exec: must be a list'],
    [withApp({ workingDirectory: 'x' }), 'apps[0].app.workingDirectory: must be an absolute path'],
    [
      withApp({ environment: [{ name: '1', value: '' }] }),
      'apps[0].app.environment[0].name: must begin with a letter or "_" and go on with letters, digits, "_", "." and "-"',
    ],
    [
      withApp({ eventHandlers: [{ name: 'on-fire', exec: ['/x'] }] }),
      'apps[0].app.eventHandlers[0].name: must be "pre-start" or "post-stop"',
    ],
  ])('is refused with the path of the field: %j', (manifest, problem) => {
    expect(problemsOf(manifest)).toContain(problem);
  });

  it.each(['', '0.3.1', '-1', '16MB', '1e3', '0x10', 'Mi', ' 1', '1 Mi', '1,5', 'NaN', 'Infinity'])(
    'does not have the amount %j',
    (limit) => {
      const isolators = [{ name: 'resource/memory', value: { limit } }];
      expect(problemsOf(withApp({ isolators }))).toEqual([
        expect.stringMatching(/^apps\[0\]\.app\.isolators\[0\]\.value\.limit: must be/) as string,
      ]);
    },
  );

  it('tells fields that it does not know where they are, and what may be meant', () => {
    const { warnings, manifest } = parseDraftPodManifest({
      ...withApp({ enviroment: [] }),
      volumes: [{ name: 'v', kind: 'empty', size: 1 }],
      zzz: null,
    });
    expect(warnings.map(({ path }) => path)).toEqual([
      'apps[0].app.enviroment',
      'volumes[0].size',
      'zzz',
    ]);
    expect(warnings[0]?.message).toContain('did you mean environment?');
    expect(manifest).toMatchObject({ volumes: [{ size: 1 }], zzz: null });
  });

  it('is taken or refused with ManifestError, whatever bytes it is', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        problemsOf(bytes);
      }),
      { numRuns: 300 },
    );
  });

  it('is taken or refused with ManifestError, whatever one of its fields is', () => {
    const places = [...everyPlace(WHOLE_POD_MANIFEST)];
    fc.assert(
      fc.property(fc.constantFrom(...places), fc.jsonValue({ maxDepth: 3 }), (place, value) => {
        const changed = withChange(WHOLE_POD_MANIFEST, place, value);
        for (const problem of problemsOf(JSON.stringify(changed))) {
          expect(problem).not.toMatch(/undefined|\[object|Invalid input|zod/i);
        }
      }),
      { numRuns: 1500 },
    );
  });
});
