/** Documents of OCI and Docker: lenient where they are written so, strict about what names content. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { ManifestError } from '../../../src/errors.ts';
import {
  kindOfManifest,
  MEDIA_TYPES,
  OCI_LIMITS,
  parseDockerSave,
  parseImageConfig,
  parseIndex,
  parseLayout,
  parseManifest,
} from '../../../src/schema/oci.ts';

const digest = `sha256:${'a'.repeat(64)}`;
const config = { mediaType: MEDIA_TYPES.ociConfig, digest, size: 10 };
const layer = { mediaType: MEDIA_TYPES.ociLayerGzip, digest, size: 20 };
const manifest = { schemaVersion: 2, config, layers: [layer] };
const index = {
  schemaVersion: 2,
  manifests: [{ mediaType: MEDIA_TYPES.ociManifest, digest, size: 3 }],
};
const image = {
  os: 'linux',
  architecture: 'amd64',
  rootfs: { type: 'layers', diff_ids: [digest] },
};

function faultOf(parse: () => unknown): string | undefined {
  try {
    parse();
    return undefined;
  } catch (error) {
    if (!(error instanceof ManifestError)) throw error;
    const [first] = error.problems;
    return `${first?.path ?? ''}: ${first?.message ?? ''}`;
  }
}

describe('a manifest', () => {
  test('is taken without a media type, with null lists, and with fields that are not known', () => {
    const odd = { ...manifest, layers: null, annotations: null, subject: { any: 'thing' } };
    expect(parseManifest(JSON.stringify(odd))).toEqual({
      schemaVersion: 2,
      config,
      layers: [],
      subject: { any: 'thing' },
    });
  });

  test('is taken as Docker writes it', () => {
    const docker = {
      ...manifest,
      mediaType: MEDIA_TYPES.dockerManifest,
      config: { ...config, mediaType: MEDIA_TYPES.dockerConfig },
      layers: [
        { ...layer, mediaType: MEDIA_TYPES.dockerLayerGzip },
        { ...layer, mediaType: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip' },
      ],
    };
    expect(parseManifest(docker, MEDIA_TYPES.dockerManifest).layers).toHaveLength(2);
  });

  test.each([
    [
      'a digest of an unknown kind',
      { config: { ...config, digest: `md5:${'a'.repeat(32)}` } },
      'config.digest',
    ],
    [
      'a digest in capitals',
      { config: { ...config, digest: digest.toUpperCase() } },
      'config.digest',
    ],
    [
      'a digest with a path',
      { config: { ...config, digest: `sha256:../../../etc/passwd` } },
      'config.digest',
    ],
    ['a size below zero', { layers: [{ ...layer, size: -1 }] }, 'layers[0].size'],
    ['half a byte', { layers: [{ ...layer, size: 0.5 }] }, 'layers[0].size'],
    ['a size beyond numbers', { layers: [{ ...layer, size: 2 ** 60 }] }, 'layers[0].size'],
    [
      'a layer of another kind',
      { layers: [{ ...layer, mediaType: 'text/plain' }] },
      'layers[0].mediaType',
    ],
    [
      'an encrypted layer',
      { layers: [{ ...layer, mediaType: `${MEDIA_TYPES.ociLayerGzip}+encrypted` }] },
      'layers[0].mediaType',
    ],
    ['no media type of its layer', { layers: [{ digest, size: 1 }] }, 'layers[0].mediaType'],
    [
      'another configuration',
      { config: { ...config, mediaType: 'application/vnd.cncf.helm.config.v1+json' } },
      'config.mediaType',
    ],
    [
      'a large configuration',
      { config: { ...config, size: OCI_LIMITS.configBytes + 1 } },
      'config.size',
    ],
    [
      'too many layers',
      { layers: Array.from({ length: OCI_LIMITS.layers + 1 }, () => layer) },
      'layers',
    ],
    ['an old version', { schemaVersion: 1 }, 'schemaVersion'],
    ['no version', { schemaVersion: undefined }, 'schemaVersion'],
    ['an index in it', { manifests: [] }, 'manifests'],
    ['another type than announced', { mediaType: MEDIA_TYPES.dockerManifest }, 'mediaType'],
  ])('with %s is refused', (_, fields, path) => {
    const fault = faultOf(() =>
      parseManifest(JSON.stringify({ ...manifest, ...fields }), MEDIA_TYPES.ociManifest),
    );
    expect(fault).toMatch(new RegExp(`^${path.replace(/[[\]]/g, '\\$&')}: `));
  });

  test('that is no JSON, not UTF-8 or nested without end is refused', () => {
    expect(faultOf(() => parseManifest('{'))).toContain('not JSON');
    expect(faultOf(() => parseManifest(Buffer.from([0x22, 0xff, 0x22])))).toContain('UTF-8');
    expect(faultOf(() => parseManifest('['.repeat(100_000)))).toContain('deep');
    expect(faultOf(() => parseManifest('[]'))).toContain('must be an object');
  });
});

describe('an index', () => {
  test('is taken with platforms that nobody knows, and without any', () => {
    const platform = { os: 'plan9', architecture: 'mips', 'os.version': '4', extra: 1 };
    const entry = { ...index.manifests[0], platform };
    const parsed = parseIndex({ schemaVersion: 2, manifests: [entry, ...index.manifests] });
    expect(parsed.manifests.map((one) => one.platform)).toEqual([platform, undefined]);
    expect(parseIndex({ schemaVersion: 2, manifests: null }).manifests).toEqual([]);
  });

  test('is not what is a manifest as well', () => {
    expect(faultOf(() => parseIndex({ ...index, layers: [] }))).toMatch(/^layers: /);
    expect(faultOf(() => parseIndex({ ...index, config }))).toMatch(/^config: /);
    const type = { ...index, mediaType: MEDIA_TYPES.ociManifest };
    expect(faultOf(() => parseIndex(type))).toMatch(/^mediaType: /);
  });
});

test.each([
  [manifest, undefined, 'manifest'],
  [index, undefined, 'index'],
  [manifest, MEDIA_TYPES.dockerManifest, 'manifest'],
  [manifest, MEDIA_TYPES.dockerList, 'index'],
  [index, 'application/json', 'index'],
  [{ ...manifest, mediaType: MEDIA_TYPES.ociManifest }, 'text/plain', 'manifest'],
])(
  '%# is an index or a manifest by its media type, else by its content',
  (document, type, kind) => {
    expect(kindOfManifest(Buffer.from(JSON.stringify(document)), type)).toBe(kind);
  },
);

test('what is neither, or of the first version, is refused by name', () => {
  const kind = (document: object, type?: string) =>
    faultOf(() => kindOfManifest(Buffer.from(JSON.stringify(document)), type));
  expect(kind({ schemaVersion: 1 })).toContain('old form');
  expect(kind({}, 'application/vnd.docker.distribution.manifest.v1+prettyjws')).toContain(
    'old form',
  );
  expect(kind({}, 'application/vnd.in-toto+json')).toContain('no image');
});

describe('a configuration', () => {
  test('keeps what is not known, and takes null for nothing', () => {
    const odd = {
      ...image,
      config: { Env: null, Entrypoint: null, Odd: 1 },
      history: null,
      id: 'x',
    };
    expect(parseImageConfig(odd, 1)).toEqual({ ...image, config: { Odd: 1 }, id: 'x' });
    expect(
      parseImageConfig({ ...image, rootfs: { type: 'layers', diff_ids: null } }, 0).rootfs,
    ).toEqual({
      type: 'layers',
      diff_ids: [],
    });
  });

  test.each([
    [
      'other layers than the manifest',
      { rootfs: { type: 'layers', diff_ids: [] } },
      'rootfs.diff_ids',
    ],
    [
      'a diff id that is none',
      { rootfs: { type: 'layers', diff_ids: ['sha256:1'] } },
      'rootfs.diff_ids[0]',
    ],
    ['another kind of root', { rootfs: { type: 'squashfs', diff_ids: [digest] } }, 'rootfs.type'],
    ['no system', { os: undefined }, 'os'],
    ['a NUL in its command', { config: { Cmd: ['a\0b'] } }, 'config.Cmd[0]'],
    ['a number as a label', { config: { Labels: { a: 1 } } }, 'config.Labels.a'],
  ])('with %s is refused', (_, fields, path) => {
    const fault = faultOf(() => parseImageConfig({ ...image, ...fields }, 1));
    expect(fault?.slice(0, path.length + 2)).toBe(`${path}: `);
  });
});

test('layouts are of version 1, and lists of docker save have their files', () => {
  expect(faultOf(() => parseLayout('{"imageLayoutVersion":"1.0.0"}'))).toBeUndefined();
  expect(faultOf(() => parseLayout('{"imageLayoutVersion":"2.0.0"}'))).toContain('not understood');
  expect(parseDockerSave('[{"Config":"a.json","RepoTags":null,"Layers":null}]')).toEqual([
    { Config: 'a.json', Layers: [] },
  ]);
  expect(faultOf(() => parseDockerSave('[{"Layers":[]}]'))).toContain('missing');
});

test('whatever comes, it is parsed or refused as a manifest', () => {
  const noise = fc.oneof(
    fc.json(),
    fc.jsonValue().map((value) => JSON.stringify({ ...manifest, config: value })),
    fc.jsonValue().map((value) => JSON.stringify({ ...manifest, layers: [value] })),
    fc.jsonValue().map((value) => JSON.stringify({ ...image, config: value })),
    fc.jsonValue().map((value) => JSON.stringify({ ...index, manifests: value })),
    fc.uint8Array().map((bytes) => Buffer.from(bytes)),
  );
  fc.assert(
    fc.property(noise, (input) => {
      for (const parse of [parseManifest, parseIndex, parseImageConfig, parseDockerSave]) {
        faultOf(() => parse(input));
      }
    }),
    { numRuns: 500 },
  );
});
