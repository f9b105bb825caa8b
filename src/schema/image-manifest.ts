/** The image manifest of appc (spec/aci.md). */
import * as z from 'zod/mini';

import { ManifestError, type ManifestProblem } from '../errors.ts';
import {
  AbsolutePath,
  AcIdentifier,
  AcVersion,
  Annotations,
  App,
  appcObject,
  appWarnings,
  ImageId,
  Labels,
  laxNameProblems,
  parseBySchema,
  type ParseOptions,
} from './appc.ts';
import { platformWarning } from './platform.ts';
import { findUnknownFields } from './unknown-fields.ts';

/** An image that this one is rendered on top of. */
export const Dependency = appcObject({
  imageName: AcIdentifier,
  imageID: z.optional(ImageId),
  labels: z.optional(Labels),
  size: z.optional(z.int().check(z.minimum(0))),
});
export type Dependency = z.infer<typeof Dependency>;

export const ImageManifest = appcObject({
  acKind: z.literal('ImageManifest'),
  acVersion: AcVersion,
  name: AcIdentifier,
  labels: z.optional(Labels),
  app: z.optional(App),
  dependencies: z.optional(z.array(Dependency)),
  pathWhitelist: z.optional(z.array(AbsolutePath)),
  annotations: z.optional(Annotations),
});
export type ImageManifest = z.infer<typeof ImageManifest>;

export interface ParsedImageManifest {
  readonly manifest: ImageManifest;
  /** What is odd but allowed: names out of the specification's form, unknown isolators, unknown systems. */
  readonly warnings: readonly ManifestProblem[];
}

/** `input`: the text, its bytes, or the parsed JSON. Throws ManifestError with every fault found. */
export function parseImageManifest(
  input: unknown,
  options: ParseOptions = {},
): ParsedImageManifest {
  const what = 'the image manifest';
  const manifest = parseBySchema(ImageManifest, what, input);
  const lax = [...namesOf(manifest)];
  const warnings: ManifestProblem[] = [];
  if (manifest.app !== undefined) {
    const inApp = appWarnings(manifest.app, ['app']);
    lax.push(...inApp.lax);
    warnings.push(...inApp.other);
  }
  const platform = platformWarning(manifest.labels);
  if (platform !== undefined) warnings.push({ path: 'labels', message: platform });
  if (options.strict === true && lax.length > 0) throw new ManifestError(what, lax);
  return {
    manifest,
    warnings: [...lax, ...warnings, ...findUnknownFields(ImageManifest, manifest)],
  };
}

function namesOf(manifest: ImageManifest): readonly ManifestProblem[] {
  const kind = 'identifier' as const;
  return laxNameProblems([
    { path: ['name'], name: manifest.name, kind },
    ...(manifest.labels ?? []).map(({ name }, index) => ({
      path: ['labels', index, 'name'],
      name,
      kind,
    })),
    ...(manifest.annotations ?? []).map(({ name }, index) => ({
      path: ['annotations', index, 'name'],
      name,
      kind,
    })),
    ...(manifest.dependencies ?? []).map(({ imageName }, index) => ({
      path: ['dependencies', index, 'imageName'],
      name: imageName,
      kind,
    })),
  ]);
}
