/** The pod manifest of appc (spec/pods.md). */
import * as z from 'zod/mini';

import { ManifestError, type ManifestProblem } from '../errors.ts';
import {
  AbsolutePath,
  AcIdentifier,
  AcName,
  AcVersion,
  Annotations,
  App,
  appcKinds,
  appcObject,
  AppName,
  appWarnings,
  checkIsolators,
  ImageId,
  Isolator,
  isolatorWarnings,
  Labels,
  laxNameProblems,
  parseBySchema,
  Port,
  type ParseOptions,
  uniqueBy,
  UserTexts,
} from './appc.ts';
import { findUnknownFields } from './unknown-fields.ts';

const Id = z.int().check(z.minimum(0), z.maximum(0xfffffffe));
const Mode = z.string().check(z.regex(/^[0-7]{1,4}$/, 'must be an octal mode like 0755'));

const HostVolume = z.looseObject({
  name: AcName,
  kind: z.literal('host'),
  source: AbsolutePath,
  readOnly: z.optional(z.boolean()),
  recursive: z.optional(z.boolean()),
  mode: z.optional(z.undefined('belongs to volumes of kind empty')),
  uid: z.optional(z.undefined('belongs to volumes of kind empty')),
  gid: z.optional(z.undefined('belongs to volumes of kind empty')),
});
export type HostVolume = z.infer<typeof HostVolume>;

const EmptyVolume = z.looseObject({
  name: AcName,
  kind: z.literal('empty'),
  readOnly: z.optional(z.boolean()),
  mode: z.optional(Mode),
  uid: z.optional(Id),
  gid: z.optional(Id),
  source: z.optional(z.undefined('belongs to volumes of kind host')),
  recursive: z.optional(z.undefined('belongs to volumes of kind host')),
});
export type EmptyVolume = z.infer<typeof EmptyVolume>;

export const Volume = appcKinds(
  HostVolume,
  EmptyVolume,
  ['name', 'kind', 'source', 'readOnly', 'recursive', 'mode', 'uid', 'gid'],
  'must be "host" or "empty"',
);
export type Volume = z.infer<typeof Volume>;

export const Mount = appcObject({
  volume: AcName,
  path: AbsolutePath,
  appVolume: z.optional(Volume),
});
export type Mount = z.infer<typeof Mount>;

const podApp = <Image extends z.ZodMiniType>(image: Image) =>
  appcObject({
    name: AppName,
    image,
    app: z.optional(App),
    readOnlyRootFS: z.optional(z.boolean()),
    mounts: z.optional(z.array(Mount)),
    annotations: z.optional(Annotations),
  });

export const PodApp = podApp(
  appcObject({ id: ImageId, name: z.optional(AcIdentifier), labels: z.optional(Labels) }),
);
export type PodApp = z.infer<typeof PodApp>;

/** As a person writes it: by the beginning of an id, or by name and labels. */
const DraftPodApp = podApp(
  appcObject({
    id: z.optional(
      z
        .string()
        .check(
          z.regex(
            /^sha512-[0-9a-f]{2,128}$/,
            'must be "sha512-" and up to 128 lower-case hex digits',
          ),
        ),
    ),
    name: z.optional(AcIdentifier),
    labels: z.optional(Labels),
  }).check(
    z.refine(
      ({ id, name }) => id !== undefined || name !== undefined,
      'must have the id of an image, or a name',
    ),
  ),
);
export type DraftPodApp = z.infer<typeof DraftPodApp>;

export const PodPort = appcObject({
  name: AcName,
  hostPort: z.int().check(z.minimum(1), z.maximum(65535)),
  hostIP: z.optional(z.union([z.ipv4(), z.ipv6()], 'must be an address like 127.0.0.1')),
  // The library of appc has a whole port here, the commands of others a number.
  podPort: z.optional(
    z.union([z.int().check(z.minimum(1), z.maximum(65535)), Port], 'must be a port, or its number'),
  ),
});
export type PodPort = z.infer<typeof PodPort>;

const podManifest = <One extends typeof PodApp | typeof DraftPodApp>(app: One) =>
  appcObject({
    acKind: z.literal('PodManifest'),
    acVersion: AcVersion,
    apps: z.array(app).check(
      z.minLength(1, 'must have an app'),
      uniqueBy('the app', (one) => one.name),
    ),
    volumes: z.optional(z.array(Volume).check(uniqueBy('the volume', (volume) => volume.name))),
    isolators: z.optional(z.array(Isolator).check(checkIsolators('pod'))),
    annotations: z.optional(Annotations),
    ports: z.optional(z.array(PodPort).check(uniqueBy('the port', (port) => port.name))),
    userAnnotations: z.optional(UserTexts),
    userLabels: z.optional(UserTexts),
  });

export const PodManifest = podManifest(PodApp);
export type PodManifest = z.infer<typeof PodManifest>;

/** Before reification: images may be named in other ways than by their whole id. */
export const DraftPodManifest = podManifest(DraftPodApp);
export type DraftPodManifest = z.infer<typeof DraftPodManifest>;

export interface ParsedPodManifest<Manifest = PodManifest> {
  readonly manifest: Manifest;
  readonly warnings: readonly ManifestProblem[];
}

/** `input`: the text, its bytes, or the parsed JSON. Throws ManifestError with every fault found. */
export function parsePodManifest(input: unknown, options: ParseOptions = {}): ParsedPodManifest {
  const manifest = parseBySchema(PodManifest, WHAT, input);
  return { manifest, warnings: oddities(PodManifest, manifest, options) };
}

/** As `parsePodManifest`, for a manifest that somebody wrote and that is to be reified. */
export function parseDraftPodManifest(
  input: unknown,
  options: ParseOptions = {},
): ParsedPodManifest<DraftPodManifest> {
  const manifest = parseBySchema(DraftPodManifest, WHAT, input);
  return { manifest, warnings: oddities(DraftPodManifest, manifest, options) };
}

const WHAT = 'the pod manifest';

/** What is odd but allowed: lax names (a fault when strict), unknown isolators and fields. */
function oddities(
  schema: z.ZodMiniType,
  manifest: PodManifest | DraftPodManifest,
  options: ParseOptions,
): readonly ManifestProblem[] {
  const lax = [
    ...laxNameProblems([
      ...manifest.apps.map(({ name }, i) => ({
        path: ['apps', i, 'name'],
        name,
        kind: 'name' as const,
      })),
      ...(manifest.volumes ?? []).map(({ name }, i) => ({
        path: ['volumes', i, 'name'],
        name,
        kind: 'name' as const,
      })),
    ]),
  ];
  const warnings = [...isolatorWarnings(manifest.isolators, ['isolators'])];
  for (const [index, { app }] of manifest.apps.entries()) {
    if (app === undefined) continue;
    const inApp = appWarnings(app, ['apps', index, 'app']);
    lax.push(...inApp.lax);
    warnings.push(...inApp.other);
  }
  if (options.strict === true && lax.length > 0) throw new ManifestError(WHAT, lax);
  return [...lax, ...warnings, ...findUnknownFields(schema, manifest)];
}
