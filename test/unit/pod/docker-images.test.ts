import { describe, expect, it } from 'vitest';

import {
  composeApp,
  composePod,
  type AppRequest,
  type PodRequest,
} from '../../../src/pod/compose.ts';
import { groupOf } from '../../../src/pod/app-annotations.ts';
import { type PodImage, reify } from '../../../src/pod/reify.ts';

const image = (exec: readonly string[], annotations: Readonly<Record<string, string>>): PodImage =>
  ({
    id: `sha512-${'0'.repeat(128)}`,
    manifest: {
      acKind: 'ImageManifest',
      acVersion: '0.8.11',
      name: 'test',
      app: { exec, user: 'app', group: '0' },
      annotations: Object.entries(annotations).map(([name, value]) => ({ name, value })),
    },
  }) as unknown as PodImage;

const request = (of: PodImage, more: Partial<AppRequest> = {}): AppRequest => ({
  image: of,
  name: undefined,
  args: undefined,
  exec: undefined,
  user: undefined,
  group: undefined,
  supplementaryGids: undefined,
  workingDir: undefined,
  environment: [],
  mounts: [],
  readOnlyRootfs: undefined,
  annotations: [],
  userAnnotations: {},
  userLabels: {},
  ...more,
});

const pod = (apps: readonly AppRequest[]): PodRequest => ({
  apps,
  volumes: [],
  inheritedEnvironment: [],
  environment: [],
  ports: [],
  annotations: [],
  userAnnotations: {},
  userLabels: {},
});

const exec = (of: PodImage, more: Partial<AppRequest>) => {
  const app = request(of, more);
  return composeApp(app, pod([app])).exec;
};

describe('arguments of an image of Docker', () => {
  const both = image(['/entry', '-x', 'cmd'], {
    'appc.io/docker/entrypoint': '["/entry","-x"]',
    'appc.io/docker/cmd': '["cmd"]',
  });
  const command = image(['/bin/sh'], { 'appc.io/docker/cmd': '["/bin/sh"]' });

  it('stand behind its whole entry point', () => {
    expect(exec(both, {})).toEqual(['/entry', '-x', 'cmd']);
    expect(exec(both, { args: ['a', 'b'] })).toEqual(['/entry', '-x', 'a', 'b']);
    expect(exec(both, { args: ['a'], exec: '/other' })).toEqual(['/other', 'a']);
  });

  it('are the whole command where there is no entry point', () => {
    expect(exec(command, {})).toEqual(['/bin/sh']);
    expect(exec(command, { args: ['echo', 'hi'] })).toEqual(['echo', 'hi']);
  });

  it('stand behind the program where the annotation is none, and in an image of appc', () => {
    for (const value of ['', '{}', '[1]', 'null', '[']) {
      const odd = image(['/a', '-x'], { 'appc.io/docker/entrypoint': value });
      expect(exec(odd, { args: ['b'] }), value).toEqual(['/a', 'b']);
    }
    expect(exec(image(['/a', '-x'], {}), { args: ['b'] })).toEqual(['/a', 'b']);
  });
});

it('arguments stand behind the program of a command that was changed since', () => {
  const changed = image(['/changed', 'a'], {
    'appc.io/docker/entrypoint': '["/entry","-x"]',
    'appc.io/docker/cmd': '["cmd"]',
  });
  expect(exec(changed, { args: ['b'] })).toEqual(['/changed', 'b']);
});

describe('the group of an image that names a user alone', () => {
  const own = image(['/a'], { 'jetpack/own-group': 'true' });
  const annotation = { name: 'jetpack/own-group', value: 'true' } as never;

  it("is the user's own, as the plan writes it", () => {
    const app = { user: 'app', group: '0' } as never;
    expect(groupOf({ annotations: [annotation] } as never, app)).toBe(':');
    expect(groupOf({ annotations: [annotation] } as never, { user: 'app', group: '5' })).toBe('5');
    expect(groupOf({} as never, app)).toBe('0');
  });

  it('is not that of an app which a pod manifest gives a user and a group', () => {
    const draft = composePod(pod([request(own)]));
    const groupIn = (app: object) => {
      const apps = draft.manifest.apps.map((each) => ({ ...each, app: app as never }));
      const manifest = { ...draft.manifest, apps };
      const [first] = reify({ ...draft, manifest, origin: 'manifest' }).manifest.apps;
      return first?.app && groupOf(first, first.app);
    };
    expect(groupIn({ exec: ['/b'], user: 'other', group: '0' })).toBe('0');
    expect(groupIn({ exec: ['/b'], user: 'app', group: '0' })).toBe(':');
  });

  it('is another one when that was asked for', () => {
    const annotations = (more: Partial<AppRequest>) =>
      composePod(pod([request(own, more)])).manifest.apps[0]?.annotations;
    expect(annotations({})).toBeUndefined();
    expect(annotations({ group: '0' })).toEqual([{ name: 'jetpack/own-group', value: 'false' }]);
    const said = { group: '0', annotations: [annotation] };
    expect(annotations(said)).toEqual([annotation]);
    const plain = composePod(pod([request(image(['/a'], {}), { group: '0' })]));
    expect(plain.manifest.apps[0]?.annotations).toBeUndefined();
  });
});
