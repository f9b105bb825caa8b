/**
 * The documents of the OCI image specification 1.1 (image-index.md, manifest.md, config.md, image-layout.md), and of Docker
 * where they are the same thing under another media type (manifest lists, schema 2, `docker save`).
 * Unknown fields are kept; null in a known field is no field, because Go writes empty lists so. What names or measures content
 * is taken literally: digests, sizes, media types, and that an image has one diff id for each layer.
 */
import * as z from 'zod/mini';

import { ManifestError } from '../errors.ts';
import { appcObject, ArgumentText, isRecord, parseBySchema, readJson } from './appc.ts';
import { type Digest, parseDigest } from './digest.ts';

export const MEDIA_TYPES = {
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociConfig: 'application/vnd.oci.image.config.v1+json',
  ociLayer: 'application/vnd.oci.image.layer.v1.tar',
  ociLayerGzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  ociLayerZstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
  dockerList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerConfig: 'application/vnd.docker.container.image.v1+json',
  dockerLayer: 'application/vnd.docker.image.rootfs.diff.tar',
  dockerLayerGzip: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
} as const;

/** What a source may be asked to read into memory, and how many things there may be. */
export const OCI_LIMITS = {
  manifestBytes: 4 * 1024 * 1024,
  configBytes: 8 * 1024 * 1024,
  layers: 1024,
  indexEntries: 4096,
} as const;

const INDEX_TYPES: ReadonlySet<string> = new Set([MEDIA_TYPES.ociIndex, MEDIA_TYPES.dockerList]);
const MANIFEST_TYPES: ReadonlySet<string> = new Set([
  MEDIA_TYPES.ociManifest,
  MEDIA_TYPES.dockerManifest,
]);
const CONFIG_TYPES: ReadonlySet<string> = new Set([
  MEDIA_TYPES.ociConfig,
  MEDIA_TYPES.dockerConfig,
  // So Docker called it in the first images of schema 2, which are still around.
  'application/octet-stream',
]);
/** The oldest form, signed and without a configuration; registries give it only to who asks for it. */
const SCHEMA_1 = /^application\/vnd\.docker\.distribution\.manifest\.v1\+(?:json|prettyjws)$/;
/** Layers that are tar archives; `foreign` and `nondistributable` ones are, and lie elsewhere. */
const LAYER =
  /^application\/vnd\.(?:oci\.image\.layer\.(?:v1|nondistributable\.v1)\.tar(?:\+(?:gzip|zstd))?|docker\.image\.rootfs\.(?:diff|foreign\.diff)\.tar(?:\.gzip|\.zstd)?)$/;

export function isIndexType(mediaType: string): boolean {
  return INDEX_TYPES.has(mediaType);
}

export function isManifestType(mediaType: string): boolean {
  return MANIFEST_TYPES.has(mediaType);
}

// Building blocks

const DigestText = z.pipe(
  z.string(),
  z.transform((text: string, context): Digest => {
    const digest = parseDigest(text);
    if (digest !== undefined) return digest;
    context.issues.push({
      code: 'custom',
      message: 'must be "sha256:" and 64, or "sha512:" and 128 lower-case hex digits',
      input: text,
    });
    return z.NEVER;
  }),
);

const MediaType = z
  .string()
  .check(
    z.regex(
      /^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}\/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$/,
      'must be a media type',
    ),
  );

const Size = z
  .number()
  .check(z.refine((size) => Number.isSafeInteger(size) && size >= 0, 'must be a number of bytes'));

const Texts = z.array(z.string());
const Annotations = z.record(z.string(), z.string());

export const OciPlatform = appcObject({
  architecture: z.string(),
  os: z.string(),
  variant: z.optional(z.string()),
  'os.version': z.optional(z.string()),
  'os.features': z.optional(Texts),
});
export type OciPlatform = z.infer<typeof OciPlatform>;

const descriptor = {
  mediaType: MediaType,
  digest: DigestText,
  size: Size,
  urls: z.optional(Texts),
  annotations: z.optional(Annotations),
  artifactType: z.optional(z.string()),
};

export const OciDescriptor = appcObject(descriptor);
export type OciDescriptor = z.infer<typeof OciDescriptor>;

/** What an index says of one of its manifests. */
export const OciIndexEntry = appcObject({ ...descriptor, platform: z.optional(OciPlatform) });
export type OciIndexEntry = z.infer<typeof OciIndexEntry>;

const schemaVersion = z.literal(2);

export const OciIndex = appcObject({
  schemaVersion,
  mediaType: z.optional(MediaType),
  manifests: z._default(
    z
      .array(OciIndexEntry)
      .check(z.maxLength(OCI_LIMITS.indexEntries, 'has more entries than are allowed')),
    [],
  ),
  annotations: z.optional(Annotations),
});
export type OciIndex = z.infer<typeof OciIndex>;

export const OciManifest = appcObject({
  schemaVersion,
  mediaType: z.optional(MediaType),
  artifactType: z.optional(z.string()),
  config: OciDescriptor,
  layers: z._default(
    z
      .array(OciDescriptor)
      .check(z.maxLength(OCI_LIMITS.layers, 'has more layers than are allowed')),
    [],
  ),
  annotations: z.optional(Annotations),
});
export type OciManifest = z.infer<typeof OciManifest>;

/** Durations are nanoseconds. */
export const Healthcheck = appcObject({
  Test: z.optional(Texts),
  Interval: z.optional(z.number()),
  Timeout: z.optional(z.number()),
  StartPeriod: z.optional(z.number()),
  Retries: z.optional(z.number()),
});

/** A set, as Go writes it: the names of an object whose values are empty. */
const NameSet = z.record(z.string(), z.unknown());
const Arguments = z.array(ArgumentText);

/** config.md, "config": how the image is run. */
export const OciRuntimeConfig = appcObject({
  User: z.optional(ArgumentText),
  ExposedPorts: z.optional(NameSet),
  Env: z.optional(Arguments),
  Entrypoint: z.optional(Arguments),
  Cmd: z.optional(Arguments),
  Volumes: z.optional(NameSet),
  WorkingDir: z.optional(ArgumentText),
  Labels: z.optional(Annotations),
  StopSignal: z.optional(z.string()),
  Healthcheck: z.optional(Healthcheck),
});
export type OciRuntimeConfig = z.infer<typeof OciRuntimeConfig>;

export const OciImageConfig = appcObject({
  created: z.optional(z.string()),
  author: z.optional(z.string()),
  architecture: z.string(),
  os: z.string(),
  variant: z.optional(z.string()),
  'os.version': z.optional(z.string()),
  'os.features': z.optional(Texts),
  config: z.optional(OciRuntimeConfig),
  rootfs: appcObject({
    type: z.literal('layers'),
    diff_ids: z._default(
      z.array(DigestText).check(z.maxLength(OCI_LIMITS.layers, 'has more layers than are allowed')),
      [],
    ),
  }),
  history: z.optional(z.array(z.looseObject({}))),
});
export type OciImageConfig = z.infer<typeof OciImageConfig>;

export const OciLayout = appcObject({
  imageLayoutVersion: z
    .string()
    .check(z.regex(/^1\.\d+\.\d+$/, 'is a version that is not understood: 1.0.0 is')),
});

/** `manifest.json` of `docker save`: one item for each image. */
const DockerSaveItem = appcObject({
  Config: z.string().check(z.minLength(1)),
  RepoTags: z.optional(Texts),
  Layers: z._default(
    z.array(z.string()).check(z.maxLength(OCI_LIMITS.layers, 'has more layers than are allowed')),
    [],
  ),
});
export type DockerSaveItem = z.infer<typeof DockerSaveItem>;
export const DockerSaveManifest = z.array(DockerSaveItem);

// Parsing

/**
 * `mediaType`: what the bytes were said to be, by a registry's header or by the descriptor that led here.
 * The same bytes must not be an image to one reader and an index to another, so what looks like both is refused, and what
 * calls itself something else than it was called.
 */
function parseDocument(what: string, bytes: unknown, mediaType: string | undefined): unknown {
  const value = readJson(what, bytes);
  if (!isRecord(value)) throw fault(what, '', 'must be an object');
  if (value['schemaVersion'] === 1) {
    throw fault(what, 'schemaVersion', 'is 1, an old form that is not supported: push it again');
  }
  const own = value['mediaType'];
  if (typeof own === 'string' && mediaType !== undefined && own !== mediaType) {
    throw fault(what, 'mediaType', `is ${own}, but it was announced as ${mediaType}`);
  }
  return value;
}

function fault(what: string, path: string, message: string): ManifestError {
  return new ManifestError(what, [{ path, message }]);
}

function refuse(what: string, value: unknown, fields: readonly string[]): void {
  const wrong = fields.find((field) => isRecord(value) && Object.hasOwn(value, field));
  if (wrong !== undefined) throw fault(what, wrong, 'has no place in a document of this type');
}

/** Whether these bytes are an index or one image's manifest; by their media type, and where nothing says it by what they hold. */
export function kindOfManifest(bytes: Uint8Array, mediaType?: string): 'index' | 'manifest' {
  const what = 'the manifest';
  const value = parseDocument(what, bytes, undefined);
  const own = isRecord(value) ? value['mediaType'] : undefined;
  const type = mediaType ?? (typeof own === 'string' ? own : undefined);
  if (type !== undefined) {
    if (isIndexType(type)) return 'index';
    if (isManifestType(type)) return 'manifest';
    if (SCHEMA_1.test(type)) {
      throw fault(what, 'mediaType', `is ${type}, an old form that is not supported`);
    }
    // A registry that says only "JSON" has said nothing.
    if (!/^(?:application|text)\/(?:json|plain|octet-stream)$/.test(type)) {
      throw fault(what, 'mediaType', `is ${type}, which is no image`);
    }
    if (typeof own === 'string') return kindOfManifest(bytes);
  }
  return isRecord(value) && Array.isArray(value['manifests']) ? 'index' : 'manifest';
}

/** Throws ManifestError. */
export function parseIndex(bytes: unknown, mediaType?: string): OciIndex {
  const what = 'the image index';
  const value = parseDocument(what, bytes, mediaType);
  refuse(what, value, ['config', 'layers', 'fsLayers']);
  const index = parseBySchema(OciIndex, what, value);
  const type = index.mediaType ?? mediaType;
  if (type === undefined || isIndexType(type)) return index;
  throw fault(what, 'mediaType', `is ${type}, which is no index`);
}

/** Throws ManifestError: for what is no image, too (charts, signatures, encrypted layers). */
export function parseManifest(bytes: unknown, mediaType?: string): OciManifest {
  const what = 'the manifest of the image';
  const value = parseDocument(what, bytes, mediaType);
  refuse(what, value, ['manifests', 'fsLayers']);
  const manifest = parseBySchema(OciManifest, what, value);
  const type = manifest.mediaType ?? mediaType;
  if (type !== undefined && !isManifestType(type)) {
    throw fault(what, 'mediaType', `is ${type}, which is no manifest`);
  }
  if (!CONFIG_TYPES.has(manifest.config.mediaType)) {
    throw fault(
      what,
      'config.mediaType',
      `is ${manifest.config.mediaType}: this is something else than an image`,
    );
  }
  for (const [index, layer] of manifest.layers.entries()) {
    if (LAYER.test(layer.mediaType)) continue;
    const path = `layers[${String(index)}].mediaType`;
    throw fault(what, path, `is ${layer.mediaType}, a kind of layer that is not understood`);
  }
  if (manifest.config.size > OCI_LIMITS.configBytes) {
    throw fault(what, 'config.size', `is more than the ${String(OCI_LIMITS.configBytes)} allowed`);
  }
  return manifest;
}

/** `layers`: how many the manifest has. Throws ManifestError. */
export function parseImageConfig(bytes: unknown, layers?: number): OciImageConfig {
  const what = 'the configuration of the image';
  const config = parseBySchema(OciImageConfig, what, bytes);
  const diffIds = config.rootfs.diff_ids.length;
  if (layers !== undefined && diffIds !== layers) {
    const message = `has ${String(diffIds)} digests for ${String(layers)} layers`;
    throw fault(what, 'rootfs.diff_ids', message);
  }
  return config;
}

/** The file `oci-layout`. Throws ManifestError. */
export function parseLayout(bytes: unknown): void {
  parseBySchema(OciLayout, 'the file oci-layout', bytes);
}

/** Throws ManifestError. */
export function parseDockerSave(bytes: unknown): readonly DockerSaveItem[] {
  return parseBySchema(DockerSaveManifest, 'the file manifest.json', bytes);
}
