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
  type ParseOptions,
  uniqueBy,
  UserTexts,
} from './appc.ts';

const Id = z.int().check(z.minimum(0), z.maximum(0xfffffffe));
const Mode = z.string().check(z.regex(/^[0-7]{1,4}$/, 'must be an octal mode like 0755'));

export const HostVolume = appcObject({
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

export const EmptyVolume = appcObject({
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

export const Volume = z.union([HostVolume, EmptyVolume]);
export type Volume = z.infer<typeof Volume>;

export const Mount = appcObject({
  volume: AcName,
  path: AbsolutePath,
  appVolume: z.optional(Volume),
});
export type Mount = z.infer<typeof Mount>;

export const PodApp = appcObject({
  name: AppName,
  image: appcObject({ id: ImageId, name: z.optional(AcIdentifier), labels: z.optional(Labels) }),
  app: z.optional(App),
  readOnlyRootFS: z.optional(z.boolean()),
  mounts: z.optional(z.array(Mount)),
  annotations: z.optional(Annotations),
});
export type PodApp = z.infer<typeof PodApp>;

export const PodPort = appcObject({
  name: AcName,
  hostPort: z.int().check(z.minimum(1), z.maximum(65535)),
  hostIP: z.optional(z.string()),
  podPort: z.optional(z.unknown()),
});

export const PodManifest = appcObject({
  acKind: z.literal('PodManifest'),
  acVersion: AcVersion,
  apps: z.array(PodApp).check(
    z.minLength(1, 'must have an app'),
    uniqueBy('the app', (app) => app.name),
  ),
  volumes: z.optional(z.array(Volume).check(uniqueBy('the volume', (volume) => volume.name))),
  isolators: z.optional(z.array(Isolator).check(checkIsolators('pod'))),
  annotations: z.optional(Annotations),
  ports: z.optional(z.array(PodPort).check(uniqueBy('the port', (port) => port.name))),
  userAnnotations: z.optional(UserTexts),
  userLabels: z.optional(UserTexts),
});
export type PodManifest = z.infer<typeof PodManifest>;

export interface ParsedPodManifest {
  readonly manifest: PodManifest;
  readonly warnings: readonly ManifestProblem[];
}

/** `input`: the text, its bytes, or the parsed JSON. Throws ManifestError with every fault found. */
export function parsePodManifest(input: unknown, options: ParseOptions = {}): ParsedPodManifest {
  const what = 'the pod manifest';
  const manifest = parseBySchema(PodManifest, what, input);
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
  if (options.strict === true && lax.length > 0) throw new ManifestError(what, lax);
  return { manifest, warnings: [...lax, ...warnings] };
}
