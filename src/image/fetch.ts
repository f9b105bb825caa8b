/** Brings an image here by its reference, as far as the pull policy says. */
import type { RegistrySource, OciSource } from '../fetch/source.ts';
import { ImageError } from '../errors.ts';
import type { Digest, OciImage } from '../formats/oci/model.ts';
import { matchPlatform, normalisePlatform, platformOfAppc } from '../formats/oci/platform.ts';
import type { OciNames } from '../formats/oci/to-appc.ts';
import { type Fetched, findFetched, putFetched } from './fetched.ts';
import { importOci, type OciImportRequest } from './import-oci.ts';
import { namesOf, type OciReference } from './oci-names.ts';
import type { ImagePorts } from './ports.ts';
import { platformOf } from '../schema/platform.ts';
import { findMeta, type ImageMeta } from './store.ts';
import { requireTrust } from '../trust/gate.ts';

/** What was fetched before is taken unasked (`new`), if the source says that it still is the same (`update`), or in any case (`never`). */
export type PullPolicy = 'never' | 'new' | 'update';

export interface FetchRequest extends Omit<OciImportRequest, 'source' | 'names'> {
  readonly reference: OciReference;
  /** The same text for the same thing: what is written down about it is found by this. */
  readonly key: string;
  readonly policy: PullPolicy;
  /** Opened when it is asked, and closed again. */
  readonly openSource: () => Promise<OciSource>;
  /** Instead of the name that the reference gives it. */
  readonly names?: OciNames | undefined;
}

export interface FetchResult {
  readonly meta: ImageMeta;
  /** It was in the store already. */
  readonly existing: boolean;
  /** What the source has sent of layers. */
  readonly receivedBytes: number;
}

/** Throws what `importOci` throws, and IMAGE_NOT_FOUND. */
export async function fetchImage(ports: ImagePorts, request: FetchRequest): Promise<FetchResult> {
  const { layout } = ports;
  const { reference, key, policy, signal } = request;
  const platform = normalisePlatform(request.platform);
  const fetched = findFetched(layout, key, platform);
  const found = fetched && findMeta(layout, fetched.id);
  const stored = found !== undefined && isAsked(request, found) ? found : undefined;
  const known = stored && { meta: stored, existing: true, receivedBytes: 0 };
  if (known !== undefined && (policy !== 'update' || isFixed(reference))) return known;
  if (policy === 'never') throw notHere(key);
  // Before anything is opened: an archive is read as a whole for that.
  if (known === undefined) requireTrust(key, request.trust.verdict, request.trust.policy);
  const source = await request.openSource();
  try {
    if (known !== undefined && (await isUnchanged(source, fetched, signal))) return known;
    const { meta, existing, image, receivedBytes } = await importOci(ports, {
      ...request,
      source,
      names: ({ refName }) => request.names ?? namesOf(reference, refName),
    });
    // Under a name that somebody chose for it, it is not what the reference stands for.
    if (request.names !== undefined) return { meta, existing, receivedBytes };
    await putFetched(layout, {
      version: 1,
      ref: key,
      platform,
      ...remoteOf(image),
      id: meta.id,
      fetchedAt: ports.clock.now().toISOString(),
    });
    return { meta, existing, receivedBytes };
  } finally {
    await source.close();
  }
}

/** An image for another platform is taken where nobody asked for one; then it is written down, but is not what is asked for. */
function isAsked({ isPlatformAsked, platform }: FetchRequest, { labels }: ImageMeta): boolean {
  if (isPlatformAsked !== true) return true;
  return matchPlatform(platform, platformOfAppc(platformOf(labels))) !== undefined;
}

/** By its digest, which can never become another image. */
function isFixed(reference: OciReference): boolean {
  return reference.kind === 'docker' && reference.ref.digest !== undefined;
}

async function isUnchanged(
  source: OciSource,
  fetched: Fetched | undefined,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  if (fetched?.digest === undefined || !isRegistry(source)) return false;
  const { digest, etag } = fetched;
  return source.isUnchanged({ digest, etag }, signal === undefined ? {} : { signal });
}

function isRegistry(source: OciSource): source is RegistrySource {
  return 'isUnchanged' in source;
}

function remoteOf(image: OciImage & { readonly remote?: unknown }): {
  readonly digest?: Digest;
  readonly etag?: string | undefined;
} {
  if (hasRemote(image)) return image.remote;
  const digest = image.index?.digest ?? image.manifest?.descriptor.digest;
  return digest === undefined ? {} : { digest };
}

function hasRemote(image: OciImage): image is Awaited<ReturnType<RegistrySource['resolve']>> {
  return 'remote' in image;
}

function notHere(key: string): ImageError {
  return new ImageError('IMAGE_NOT_FOUND', `${key} was not fetched, and must not be`, {
    remedies: [`fetch it with: jetpack fetch ${key}`, 'or say --pull-policy=new'],
  });
}
