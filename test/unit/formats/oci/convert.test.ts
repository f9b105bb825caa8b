/** OCI configurations as image manifests and back: nothing is lost, and what is changed in between counts. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { fromAppc } from '../../../../src/formats/oci/from-appc.ts';
import type { Digest } from '../../../../src/formats/oci/model.ts';
import { nameFromText, toAppc } from '../../../../src/formats/oci/to-appc.ts';
import { parseImageManifest } from '../../../../src/schema/image-manifest.ts';
import { type OciImageConfig, parseImageConfig } from '../../../../src/schema/oci.ts';

const digest = `sha256:${'c'.repeat(64)}` as Digest;
const diffId = `sha256:${'d'.repeat(64)}`;
const names = {
  name: 'docker.io/library/alpine',
  version: '3.20',
  origin: { registry: 'docker.io', repository: 'library/alpine', tag: '3.20' },
};
const fallback = { os: 'linux', architecture: 'amd64' };

function configOf(run: object, fields: object = {}): OciImageConfig {
  return parseImageConfig({
    os: 'linux',
    architecture: 'amd64',
    config: run,
    rootfs: { type: 'layers', diff_ids: [diffId] },
    ...fields,
  });
}

/** Through the bytes, as the store has them. */
function convert(config: OciImageConfig) {
  return parseImageManifest(toAppc(config, digest, names).bytes).manifest;
}

const appOf = (run: object) => convert(configOf(run)).app;
const valueOf = (run: object, name: string) =>
  convert(configOf(run)).annotations?.find((annotation) => String(annotation.name) === name)?.value;

/** To Go, empty and null are no field. */
function normal(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(normal);
  if (typeof value !== 'object' || value === null) return value;
  const fields = Object.entries(value)
    .map(([key, field]): [string, unknown] => [key, normal(field)])
    .filter(([, field]) => !isNothing(field));
  return Object.fromEntries(fields);
}

function isNothing(value: unknown): boolean {
  if (value === undefined || value === null || value === '') return true;
  return typeof value === 'object' && Object.keys(value).length === 0;
}

/** As normal, but names of a set stay, whose values are empty objects. */
function semantics(config: OciImageConfig): unknown {
  const { config: run, ...rest } = config;
  return {
    rest: normal(rest),
    ports: Object.keys(run?.ExposedPorts ?? {}).sort(),
    volumes: Object.keys(run?.Volumes ?? {}).sort(),
    run: normal({ ...run, ExposedPorts: undefined, Volumes: undefined }),
  };
}

describe('what a configuration says', () => {
  test('is the command of the app, its two parts told apart', () => {
    expect(appOf({ Entrypoint: ['/entry', '-v'], Cmd: ['serve'] })?.exec).toEqual([
      '/entry',
      '-v',
      'serve',
    ]);
    expect(valueOf({ Entrypoint: ['/entry', '-v'] }, 'appc.io/docker/entrypoint')).toBe(
      '["/entry","-v"]',
    );
    expect(valueOf({ Cmd: ['serve'] }, 'appc.io/docker/cmd')).toBe('["serve"]');
    expect(appOf({})?.exec).toBeUndefined();
  });

  test.each([
    [undefined, '0', '0', undefined],
    ['', '0', '0', undefined],
    ['node', 'node', '0', 'true'],
    ['1000', '1000', '0', 'true'],
    ['node:staff', 'node', 'staff', undefined],
    ['1000:1001', '1000', '1001', undefined],
    [':staff', '0', 'staff', undefined],
    ['node:', 'node', '0', 'true'],
  ])('is the user %j', (User, user, group, own) => {
    expect(appOf({ User })).toMatchObject({ user, group });
    expect(valueOf({ User }, 'jetpack/own-group')).toBe(own);
  });

  test('is the environment, the last of a name counting', () => {
    const Env = ['PATH=/bin', 'A=1', 'A=2=3', '1BAD=x', 'NONE', 'spaced name=x', 'EMPTY='];
    expect(appOf({ Env })?.environment).toEqual([
      { name: 'PATH', value: '/bin' },
      { name: 'A', value: '2=3' },
      { name: 'EMPTY', value: '' },
    ]);
    expect(toAppc(configOf({ Env }), digest, names).warnings).toEqual([
      'its environment variable "1BAD=x" is kept, and cannot be used',
      'its environment variable "NONE" is kept, and cannot be used',
      'its environment variable "spaced name=x" is kept, and cannot be used',
    ]);
  });

  test('is its ports, named by number and protocol', () => {
    const ExposedPorts = {
      '80': {},
      '80/tcp': {},
      '53/udp': {},
      '8000-8010/sctp': {},
      '0/tcp': {},
    };
    expect(appOf({ ExposedPorts })?.ports).toEqual([
      { name: '53-udp', protocol: 'udp', port: 53 },
      { name: '80-tcp', protocol: 'tcp', port: 80 },
      { name: '8000-8010-sctp', protocol: 'sctp', port: 8000, count: 11 },
    ]);
  });

  test('is its volumes, each with a name of its own whatever the paths are', () => {
    const Volumes = {
      '/var/lib/data': {},
      '/var/lib-data/': {},
      '/Ünï': {},
      '/': {},
      relative: {},
    };
    const points = appOf({ Volumes })?.mountPoints ?? [];
    expect(points.map(({ path }) => path)).toEqual(['/var/lib-data', '/var/lib/data', '/Ünï']);
    expect(points.map(({ name }) => name)).toEqual([
      'volume-var-lib-data',
      expect.stringMatching(/^volume-var-lib-data-[0-9a-f]{16}$/),
      'volume-n',
    ]);
  });

  test('is the signal to stop by, which pods read', () => {
    expect(valueOf({ StopSignal: 'SIGQUIT' }, 'jetpack/stop-signal')).toBe('SIGQUIT');
    expect(valueOf({ StopSignal: '37' }, 'jetpack/stop-signal')).toBe('37');
    expect(valueOf({ StopSignal: 'no signal' }, 'jetpack/stop-signal')).toBeUndefined();
  });

  test('is its labels, of which none becomes an annotation that means something here', () => {
    const Labels = {
      'org.opencontainers.image.title': 'A title',
      maintainer: 'me',
      'Not Legal': 'x',
      'jetpack/restart': 'always',
      'appc.io/executor/supports-systemd-notify': 'maybe',
      created: 'yesterday',
    };
    const manifest = convert(configOf({ Labels }));
    const annotations = new Map<string, string>(
      manifest.annotations?.map(({ name, value }) => [name, value]),
    );
    expect(annotations.get('org.opencontainers.image.title')).toBe('A title');
    expect(annotations.get('maintainer')).toBe('me');
    expect(annotations.has('jetpack/restart')).toBe(false);
    expect(manifest.app?.userLabels).toEqual({
      'Not Legal': 'x',
      'jetpack/restart': 'always',
      'appc.io/executor/supports-systemd-notify': 'maybe',
      created: 'yesterday',
    });
  });

  test.each([
    ['linux', 'amd64', undefined, 'amd64'],
    ['linux', 'arm64', 'v8', 'aarch64'],
    ['linux', 'arm', 'v6', 'armv6l'],
    ['linux', 'arm', undefined, 'armv7l'],
    ['linux', '386', undefined, 'i386'],
    ['linux', 'riscv64', undefined, 'riscv64'],
    ['freebsd', 'arm64', undefined, 'aarch64'],
    ['windows', 'amd64', undefined, 'amd64'],
  ])('is for %s/%s %s', (os, architecture, variant, arch) => {
    const { labels } = convert(configOf({}, { os, architecture, variant }));
    expect(labels).toEqual([
      { name: 'arch', value: arch },
      { name: 'os', value: os },
      { name: 'version', value: '3.20' },
    ]);
  });

  test('names what the image is made of, and where it comes from', () => {
    const { annotations } = convert(configOf({}));
    expect(Object.fromEntries(annotations?.map(({ name, value }) => [name, value]) ?? [])).toEqual({
      'appc.io/docker/imageid': digest,
      'appc.io/docker/originalname': 'docker.io/library/alpine:3.20',
      'appc.io/docker/registryurl': 'docker.io',
      'appc.io/docker/repository': 'library/alpine',
      'appc.io/docker/tag': '3.20',
      'jetpack/oci/config-digest': digest,
      'jetpack/oci/diff-ids': JSON.stringify([diffId]),
    });
  });
});

// Any configuration

const text = fc.oneof(fc.string(), fc.string({ unit: 'binary' })).filter((t) => !t.includes('\0'));
const word = fc.stringMatching(/^[A-Za-z0-9_.-]{1,8}$/);
const texts = fc.array(text, { maxLength: 4 });
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
const nullable = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: null });
const set = (item: fc.Arbitrary<string>) =>
  fc
    .array(item, { maxLength: 4 })
    .map((list) => Object.fromEntries(list.map((name) => [name, {}])));
const port = fc.oneof(
  text,
  fc
    .tuple(fc.nat(70000), fc.nat(20), fc.constantFrom('', '/tcp', '/udp', '/sctp', '/TCP', '/x'))
    .map(
      ([from, more, proto]) =>
        `${String(from)}${more > 9 ? `-${String(from + more)}` : ''}${proto}`,
    ),
);
const run = fc.record(
  {
    User: nullable(
      fc.oneof(
        text,
        fc.tuple(word, word).map((two) => two.join(':')),
        word,
      ),
    ),
    ExposedPorts: nullable(set(port)),
    Env: nullable(
      fc.array(
        fc.oneof(
          text,
          fc.tuple(word, text).map((two) => two.join('=')),
        ),
        { maxLength: 5 },
      ),
    ),
    Entrypoint: nullable(texts),
    Cmd: nullable(texts),
    Volumes: nullable(
      set(
        fc.oneof(
          text,
          fc.array(word).map((parts) => `/${parts.join('/')}`),
        ),
      ),
    ),
    WorkingDir: nullable(
      fc.oneof(
        text,
        fc.array(word).map((parts) => `/${parts.join('/')}`),
      ),
    ),
    Labels: nullable(fc.dictionary(fc.oneof(text, word), text)),
    StopSignal: nullable(fc.oneof(text, fc.constantFrom('SIGTERM', '9', 'QUIT', 'SIGRTMIN+3'))),
    Healthcheck: nullable(fc.record({ Test: texts, Interval: fc.nat() })),
    Shell: nullable(texts),
    OnBuild: nullable(texts),
    ArgsEscaped: fc.boolean(),
    Hostname: text,
    Tty: fc.boolean(),
    Odd: fc.jsonValue(),
  },
  { requiredKeys: [] },
);
const anyConfig = fc.record(
  {
    os: fc.oneof(text, fc.constantFrom('linux', 'freebsd', 'windows', 'Linux')),
    architecture: fc.oneof(text, fc.constantFrom('amd64', 'arm64', 'arm', '386', 'x86_64')),
    variant: maybe(fc.constantFrom('', 'v5', 'v6', 'v7', 'v8', '8', 'v1', 'v3')),
    'os.version': maybe(text),
    'os.features': nullable(texts),
    created: maybe(fc.oneof(text, fc.constantFrom('0001-01-01T00:00:00Z', '2024-02-30T00:00:00Z'))),
    author: maybe(text),
    config: nullable(run),
    rootfs: fc.constantFrom(
      { type: 'layers', diff_ids: [diffId, diffId] },
      { type: 'layers', diff_ids: null },
      { type: 'layers', base: 'odd' },
    ),
    history: nullable(fc.array(fc.record({ created_by: text, empty_layer: fc.boolean() }))),
    docker_version: text,
    container_config: fc.jsonValue(),
  },
  { requiredKeys: ['os', 'architecture', 'rootfs'] },
);

describe('any configuration', () => {
  test('comes back as it was', () => {
    fc.assert(
      fc.property(anyConfig, (document) => {
        const config = parseImageConfig(JSON.stringify(document));
        const back = fromAppc(convert(config), { fallback }).config;
        expect(semantics(back)).toEqual(semantics(config));
      }),
      { numRuns: 500 },
    );
  });

  test('gives a manifest that appc allows to the letter, the same bytes for the same content', () => {
    fc.assert(
      fc.property(anyConfig, (document) => {
        const config = parseImageConfig(JSON.stringify(document));
        const { bytes } = toAppc(config, digest, names);
        expect(() => parseImageManifest(bytes, { strict: true })).not.toThrow();
        const turned = Object.fromEntries(Object.entries(config).reverse());
        expect(toAppc(parseImageConfig(turned), digest, names).bytes).toEqual(bytes);
      }),
      { numRuns: 300 },
    );
  });
});

describe('a manifest that was changed since', () => {
  const manifest = convert(
    configOf({
      Entrypoint: ['/entry'],
      Cmd: ['a'],
      User: 'node:',
      Env: ['A=1', 'A=2', 'bad'],
      WorkingDir: 'relative',
      ExposedPorts: { '80': {} },
      Volumes: { '/data/': {} },
    }),
  );
  const app = manifest.app;
  if (app === undefined) throw new Error('an image without an app');

  test('keeps what was not changed as it was', () => {
    expect(fromAppc(manifest, { fallback }).config.config).toEqual({
      Entrypoint: ['/entry'],
      Cmd: ['a'],
      User: 'node:',
      Env: ['A=1', 'A=2', 'bad'],
      WorkingDir: 'relative',
      ExposedPorts: { '80': {} },
      Volumes: { '/data/': {} },
    });
  });

  test('says what it says now', () => {
    const changed = {
      ...manifest,
      app: {
        ...app,
        exec: ['/other'],
        user: 'root',
        environment: [{ name: 'B', value: '2' }],
        workingDirectory: '/srv',
        ports: [],
        mountPoints: [],
      },
    };
    expect(fromAppc(changed, { fallback }).config.config).toEqual({
      Entrypoint: ['/other'],
      User: 'root',
      Env: ['B=2'],
      WorkingDir: '/srv',
    });
  });
});

describe('an image of appc', () => {
  const manifest = parseImageManifest({
    acKind: 'ImageManifest',
    acVersion: '0.8.11',
    name: 'example.com/app',
    labels: [
      { name: 'version', value: '1.2' },
      { name: 'os', value: 'linux' },
      { name: 'arch', value: 'aarch64' },
      { name: 'tier', value: 'web' },
    ],
    app: {
      exec: ['/bin/app', '-x'],
      user: 'www',
      group: 'www',
      eventHandlers: [{ name: 'pre-start', exec: ['/prepare'] }],
      ports: [
        { name: 'web', protocol: 'tcp', port: 80 },
        { name: 'many', protocol: 'udp', port: 5000, count: 3 },
        { name: 'odd', protocol: 'dccp', port: 1 },
      ],
      mountPoints: [{ name: 'data', path: '/data', readOnly: true }],
    },
    annotations: [
      { name: 'created', value: '2020-01-02T03:04:05Z' },
      { name: 'homepage', value: 'https://example.com/' },
      { name: 'authors', value: 'Me' },
    ],
  }).manifest;

  test('becomes a configuration, and what that cannot say is told', () => {
    const { config, lost } = fromAppc(manifest, { fallback, diffIds: [diffId as Digest] });
    expect(config).toEqual({
      os: 'linux',
      architecture: 'arm64',
      created: '2020-01-02T03:04:05Z',
      author: 'Me',
      config: {
        Entrypoint: ['/bin/app', '-x'],
        User: 'www:www',
        ExposedPorts: { '80/tcp': {}, '5000-5002/udp': {} },
        Volumes: { '/data': {} },
        Labels: {
          'org.opencontainers.image.url': 'https://example.com/',
          'org.opencontainers.image.version': '1.2',
        },
      },
      rootfs: { type: 'layers', diff_ids: [diffId] },
    });
    expect(lost).toEqual([
      'labels other than version, os and arch',
      'event handlers',
      'ports of other protocols than tcp, udp and sctp',
      'that volumes are read-only',
    ]);
  });

  test('without a platform gets the one that is given', () => {
    const { config } = fromAppc({ ...manifest, labels: undefined }, { fallback });
    expect(config).toMatchObject(fallback);
  });
});

test('any text makes a name', () => {
  expect(nameFromText('./My Image__v2//x')).toBe('my-image_v2/x');
  expect(nameFromText('***')).toBe('image');
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (input) => {
      expect(nameFromText(input)).toMatch(/^[a-z0-9]+([-._~/][a-z0-9]+)*$/);
    }),
  );
});
