/** Image manifests as appc allows them, and the faults that are told. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { ManifestError } from '../../../src/errors.ts';
import { parseImageManifest } from '../../../src/schema/image-manifest.ts';

const minimal = { acKind: 'ImageManifest', acVersion: '0.8.11', name: 'example.com/app' };
const app = { exec: ['/bin/sh'], user: '0', group: '0' };

/** `path: message` of every problem; empty when there is none. */
function problemsOf(manifest: unknown, strict = false): readonly string[] {
  try {
    parseImageManifest(manifest, { strict });
    return [];
  } catch (error) {
    if (!(error instanceof ManifestError)) throw error;
    return error.problems.map(({ path, message }) => `${path}: ${message}`);
  }
}

const withApp = (fields: object) => ({ ...minimal, app: { ...app, ...fields } });

describe('a manifest', () => {
  test('with everything in it is taken, and unknown fields are kept and told', () => {
    const manifest = {
      ...minimal,
      labels: [
        { name: 'version', value: '1.0' },
        { name: 'os', value: 'linux' },
        { name: 'arch', value: 'amd64' },
      ],
      app: {
        ...app,
        supplementaryGIDs: [4, 27],
        eventHandlers: [
          { name: 'pre-start', exec: ['/prepare'] },
          { name: 'post-stop', exec: ['/clean'] },
        ],
        workingDirectory: '/srv',
        environment: [{ name: 'LC_ALL', value: 'C' }],
        mountPoints: [{ name: 'data', path: '/data', readOnly: true }],
        ports: [{ name: 'web', protocol: 'tcp', port: 65000, count: 536, socketActivated: true }],
        isolators: [{ name: 'resource/cpu', value: { request: '250m', limit: '0.5' } }],
        userAnnotations: { 'any key': 'any value' },
        userLabels: { tier: 'web' },
        future: { nested: [null, 1] },
      },
      dependencies: [
        { imageName: 'example.com/base', imageID: `sha512-${'a'.repeat(128)}`, size: 22 },
      ],
      pathWhitelist: ['/etc/passwd'],
      annotations: [
        { name: 'created', value: '2016-02-24T13:01:31.5+01:00' },
        { name: 'homepage', value: 'https://example.com/' },
        { name: 'appc.io/executor/supports-systemd-notify', value: 'true' },
      ],
      extra: 'kept',
    };
    const { manifest: parsed, warnings } = parseImageManifest(JSON.stringify(manifest));
    expect(parsed).toEqual(manifest);
    expect(warnings.map(({ path }) => path)).toEqual(['app.future', 'extra']);
  });

  test('may spell supplementaryGids so, and have null for lists', () => {
    const { manifest } = parseImageManifest(
      withApp({ exec: null, supplementaryGids: [7], ports: null, isolators: null }),
    );
    expect(manifest.app).toEqual({ user: '0', group: '0', supplementaryGIDs: [7] });
  });

  test.each([
    ['not JSON', '{', ': it is not JSON'],
    ['a list', [], ': must be an object'],
    ['of a pod', { ...minimal, acKind: 'PodManifest' }, 'acKind: must be "ImageManifest"'],
    [
      'of another version',
      { ...minimal, acVersion: '1.2.3' },
      'acVersion: is of another major version',
    ],
    ['without a version', { ...minimal, acVersion: undefined }, 'acVersion: is missing'],
    ['with upper case in its name', { ...minimal, name: 'Example' }, 'name: must be lower-case'],
    [
      'with a label called name',
      { ...minimal, labels: [{ name: 'name', value: 'x' }] },
      'labels[0].name: no label may be',
    ],
    [
      'with a label twice',
      {
        ...minimal,
        labels: [
          { name: 'a', value: '' },
          { name: 'a', value: '' },
        ],
      },
      'labels[1]: the label "a" is there twice',
    ],
    ['with an app without a user', { ...minimal, app: { group: '0' } }, 'app.user: is missing'],
    [
      'with a NUL in its exec',
      withApp({ exec: ['a\0b'] }),
      'app.exec[0]: must not contain a NUL byte',
    ],
    [
      'with an unknown event',
      withApp({ eventHandlers: [{ name: 'stop', exec: ['x'] }] }),
      'app.eventHandlers[0].name: must be "pre-start" or "post-stop"',
    ],
    [
      'with an event twice',
      withApp({
        eventHandlers: [
          { name: 'pre-start', exec: ['x'] },
          { name: 'pre-start', exec: ['x'] },
        ],
      }),
      'app.eventHandlers[1]: the event handler "pre-start" is there twice',
    ],
    [
      'with a relative working directory',
      withApp({ workingDirectory: 'srv' }),
      'app.workingDirectory: must be an absolute path',
    ],
    [
      'with a variable twice',
      withApp({
        environment: [
          { name: 'A', value: '1' },
          { name: 'A', value: '2' },
        ],
      }),
      'app.environment[1]: the variable "A" is there twice',
    ],
    [
      'with a variable of a wrong name',
      withApp({ environment: [{ name: '1A', value: '1' }] }),
      'app.environment[0].name: must begin with',
    ],
    [
      'with a mount point of a wrong name',
      withApp({
        mountPoints: [
          { name: 'a', path: '/a' },
          { name: 'A', path: '/b' },
        ],
      }),
      'app.mountPoints[1].name: must be lower-case',
    ],
    [
      'with a port of 0',
      withApp({ ports: [{ name: 'a', protocol: 'tcp', port: 0 }] }),
      'app.ports[0].port: must be at least 1',
    ],
    [
      'with ports beyond the last',
      withApp({ ports: [{ name: 'a', protocol: 'tcp', port: 65000, count: 537 }] }),
      'app.ports[0].count: 537 ports from 65000 on go beyond 65535',
    ],
    [
      'with a relative whitelist',
      { ...minimal, pathWhitelist: ['etc'] },
      'pathWhitelist[0]: must be an absolute path',
    ],
    [
      'with a dependency of half an id',
      { ...minimal, dependencies: [{ imageName: 'a', imageID: 'sha512-abc' }] },
      'dependencies[0].imageID: must be "sha512-"',
    ],
    [
      'created at no time',
      { ...minimal, annotations: [{ name: 'created', value: '2016-02-24' }] },
      'annotations[0].value: must be a time',
    ],
    [
      'with a home page that is none',
      { ...minimal, annotations: [{ name: 'homepage', value: 'javascript:x' }] },
      'annotations[0].value: must be an http',
    ],
    [
      'with an unreadable amount',
      withApp({ isolators: [{ name: 'resource/memory', value: { limit: '1 GB' } }] }),
      'app.isolators[0].value.limit: must be an amount',
    ],
    [
      'with a request above its limit',
      withApp({ isolators: [{ name: 'resource/memory', value: { limit: '1G', request: '1Gi' } }] }),
      'app.isolators[0].value: its request is above its limit',
    ],
    [
      'with an isolator twice',
      withApp({
        isolators: [
          { name: 'os/linux/cpu-shares', value: 2 },
          { name: 'os/linux/cpu-shares', value: 2 },
        ],
      }),
      'app.isolators[1].name: the isolator os/linux/cpu-shares is there twice',
    ],
    [
      'with isolators that exclude each other',
      withApp({
        isolators: [
          { name: 'os/linux/capabilities-retain-set', value: { set: ['CAP_KILL'] } },
          { name: 'os/linux/capabilities-remove-set', value: { set: ['kill'] } },
        ],
      }),
      'app.isolators[1].name: os/linux/capabilities-remove-set and os/linux/capabilities-retain-set exclude each other',
    ],
    [
      'with an isolator of pods',
      withApp({ isolators: [{ name: 'os/unix/sysctl', value: {} }] }),
      'app.isolators[0].name: os/unix/sysctl is for pods',
    ],
    [
      'with an empty set',
      withApp({ isolators: [{ name: 'os/linux/seccomp-remove-set', value: { set: [] } }] }),
      'app.isolators[0].value.set: must not be empty',
    ],
    [
      'with bandwidth that is no default',
      withApp({ isolators: [{ name: 'resource/network-bandwidth', value: { limit: '1M' } }] }),
      'app.isolators[0].value.default: must be true',
    ],
  ])('%s is refused, and where is told', (_, manifest, problem) => {
    const problems = problemsOf(manifest);
    expect(
      problems.some((each) => each.startsWith(problem)),
      problems.join('\n'),
    ).toBe(true);
  });

  test('tells every fault, not only the first', () => {
    expect(
      problemsOf(withApp({ user: '', ports: [{ name: 'A', protocol: 'tcp', port: 0 }] })),
    ).toHaveLength(3);
  });

  test('with separators side by side in a name is read with a warning, and not written', () => {
    const lax = { ...minimal, name: 'example.com/a--b' };
    expect(parseImageManifest(lax).warnings.map(({ path }) => path)).toEqual(['name']);
    expect(problemsOf(lax, true)).toHaveLength(1);
  });

  test('with unknown isolators or systems is read with a warning', () => {
    const { manifest, warnings } = parseImageManifest({
      ...withApp({ isolators: [{ name: 'example.com/magic', value: [1] }] }),
      labels: [{ name: 'os', value: 'plan9' }],
    });
    expect(manifest.app?.isolators).toEqual([{ name: 'example.com/magic', value: [1] }]);
    expect(warnings.map(({ message }) => message)).toEqual([
      'the isolator example.com/magic is not known and will be ignored',
      'os plan9 is not one of appc',
    ]);
  });

  test('of any shape is parsed or refused, and nothing else happens', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        problemsOf(value);
        problemsOf({ ...minimal, app: value, labels: value, annotations: value });
        problemsOf(withApp({ isolators: value, ports: value, environment: value }));
      }),
    );
  });
});
