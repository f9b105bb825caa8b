/** How OCI images are called here: by the reference they were fetched with, or by what their layout or archive calls them. Pure. */
import path from 'node:path';

import { UsageError } from '../errors.ts';
import {
  type DockerRef,
  parseDockerRef,
  renderDockerRef,
  toAppcName,
} from '../fetch/docker-ref.ts';
import type { ImageReference } from '../fetch/ref.ts';
import { nameFromText, type OciNames } from '../formats/oci/to-appc.ts';
import { AcIdentifier } from '../schema/appc.ts';

export type OciReference = Extract<
  ImageReference,
  { readonly kind: 'docker' | 'oci-layout' | 'oci-archive' | 'docker-archive' }
>;

const SCHEMES = {
  'oci-layout': 'oci',
  'oci-archive': 'oci-archive',
  'docker-archive': 'docker-archive',
} as const;

export function isOciReference(reference: ImageReference): reference is OciReference {
  return reference.kind === 'docker' || Object.hasOwn(SCHEMES, reference.kind);
}

/** The same text for the same thing, whatever was left out: `docker://docker.io/library/alpine:latest`, `oci:/absolute:tag`. */
export function renderReference(reference: OciReference, workingDir: string): string {
  if (reference.kind === 'docker') return `docker://${renderDockerRef(reference.ref)}`;
  const place = reference.kind === 'oci-layout' ? reference.dir : reference.file;
  const ref = reference.ref === undefined ? '' : `:${reference.ref}`;
  return `${SCHEMES[reference.kind]}:${path.resolve(workingDir, place)}${ref}`;
}

/** `refName`: what the source itself calls the image. */
export function namesOf(reference: OciReference, refName: string | undefined): OciNames {
  if (reference.kind === 'docker') return namesOfRegistry(reference.ref);
  const whole = refName?.includes('/') === true ? findDockerRef(refName) : undefined;
  if (whole !== undefined) return namesOfRegistry(whole);
  // As buildah and skopeo write it: `app:1.0`, which is no tag.
  const [, name, tag] = /^([^:]+):([^:]+)$/.exec(refName ?? '') ?? [];
  if (name !== undefined) return { name: nameFromText(name), version: tag, origin: undefined };
  const place = reference.kind === 'oci-layout' ? reference.dir : reference.file;
  const base = path.basename(path.resolve('/', place)).replace(/\.(?:tar|txz|tgz)(?:\.\w+)?$/, '');
  return { name: nameFromText(base), version: refName, origin: undefined };
}

function namesOfRegistry(ref: DockerRef): OciNames {
  const { registry, repository, tag } = ref;
  return { name: toAppcName(ref), version: tag, origin: { registry, repository, tag } };
}

function findDockerRef(text: string): DockerRef | undefined {
  try {
    return parseDockerRef(text);
  } catch (error) {
    if (error instanceof UsageError) return undefined;
    throw error;
  }
}

/** `--name NAME[:VERSION]`. Throws UsageError. */
export function parseNames(text: string): OciNames {
  const colon = text.indexOf(':');
  const name = colon < 0 ? text : text.slice(0, colon);
  const version = colon < 0 ? undefined : text.slice(colon + 1);
  if (AcIdentifier.safeParse(name).success && version !== '')
    return { name, version, origin: undefined };
  throw new UsageError(`${JSON.stringify(text)} is no name for an image`, {
    remedies: ['name it like example.com/app or example.com/app:1.0, in lower case'],
  });
}
