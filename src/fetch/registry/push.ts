/** An image into a registry: first all that its manifest names, some blobs at once, then the manifest. */
import { createHash } from 'node:crypto';

import { FetchError } from '../../errors.ts';
import { type Descriptor, type Digest, parseDigest } from '../../formats/oci/model.ts';
import type { Timing } from '../ports.ts';
import type { PushableBlob, PushableImage } from './pushable.ts';
import { quote } from './quote.ts';
import type { Target } from './registries.ts';
import { Uploader, type UploadOutcome } from './upload.ts';

export interface PushProgress {
  readonly blob: Descriptor;
  readonly sentBytes: number;
  /** Undefined while it is under way. */
  readonly outcome: UploadOutcome | undefined;
}

export interface PushOptions {
  readonly timing: Timing;
  /** At most so many blobs at once. */
  readonly parallel: number;
  readonly chunkBytes?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: PushProgress) => void) | undefined;
}

export interface PushResult {
  /** Of the manifest: what the image can be pulled by. */
  readonly digest: Digest;
  /** By blob; those that lie elsewhere are not among them. */
  readonly outcomes: ReadonlyMap<Digest, UploadOutcome>;
  readonly sentBytes: number;
}

/** Layers that the registry must not hand out: their descriptor says where they are. */
function liesElsewhere({ mediaType, urls }: Descriptor): boolean {
  return /\.foreign\.|\.nondistributable\./.test(mediaType) && (urls ?? []).length > 0;
}

/** Idempotent. When it fails, no reference has changed. Throws FetchError, IMAGE_DAMAGED. */
export async function pushImage(
  target: Target,
  image: PushableImage,
  options: PushOptions,
): Promise<PushResult> {
  const bytes = Buffer.from(image.manifest.bytes);
  const digest = digestOf(bytes);
  if (target.ref.digest !== undefined && target.ref.digest !== digest) {
    throw new FetchError(
      'FETCH_DIGEST',
      `${target.name}: the image that is pushed has the digest ${digest}`,
      { remedies: ['push it by a tag, or without a digest'] },
    );
  }
  const blobs = [image.config, ...image.layers].filter(
    ({ descriptor }) => !liesElsewhere(descriptor),
  );
  const outcomes = await pushBlobs(target, blobs, options);
  const references = [
    ...(target.ref.digest === undefined ? [] : [digest]),
    ...(target.ref.tag === undefined ? [] : [target.ref.tag]),
  ];
  for (const reference of references) {
    await pushManifest(target, reference, digest, bytes, image.manifest.mediaType, options);
  }
  const sizes = new Map(blobs.map(({ descriptor }) => [descriptor.digest, descriptor.size]));
  const sentBytes = [...outcomes]
    .filter(([, outcome]) => outcome === 'sent')
    .reduce((sum, [blob]) => sum + (sizes.get(blob) ?? 0), 0);
  return { digest, outcomes, sentBytes };
}

function digestOf(bytes: Uint8Array): Digest {
  const digest = parseDigest(`sha256:${createHash('sha256').update(bytes).digest('hex')}`);
  if (digest === undefined) throw new Error('a hash is always a digest');
  return digest;
}

async function pushBlobs(
  target: Target,
  blobs: readonly PushableBlob[],
  options: PushOptions,
): Promise<ReadonlyMap<Digest, UploadOutcome>> {
  const failed = new AbortController();
  const signal =
    options.signal === undefined ? failed.signal : AbortSignal.any([options.signal, failed.signal]);
  const outcomes = new Map<Digest, UploadOutcome>();
  const queue = [...new Map(blobs.map((blob) => [blob.descriptor.digest, blob])).values()];
  let failure: { readonly reason: unknown } | undefined;
  const work = async (): Promise<void> => {
    for (let blob = queue.shift(); blob !== undefined; blob = queue.shift()) {
      const { descriptor } = blob;
      const report = (sentBytes: number, outcome?: UploadOutcome) =>
        options.onProgress?.({ blob: descriptor, sentBytes, outcome });
      try {
        signal.throwIfAborted();
        const { timing, chunkBytes } = options;
        const uploader = new Uploader(target, blob, { timing, chunkBytes, signal, onSent: report });
        const outcome = await uploader.run();
        outcomes.set(descriptor.digest, outcome);
        report(outcome === 'sent' ? descriptor.size : 0, outcome);
      } catch (error) {
        failure ??= { reason: error };
        failed.abort(failure.reason);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, options.parallel) }, work));
  if (failure !== undefined) throw failure.reason;
  return outcomes;
}

async function pushManifest(
  { repository }: Target,
  reference: string,
  digest: Digest,
  bytes: Buffer,
  mediaType: string,
  { signal }: PushOptions,
): Promise<void> {
  const answer = await repository.send({
    method: 'PUT',
    at: `manifests/${reference}`,
    headers: { 'content-type': mediaType },
    body: bytes,
    scopes: [`repository:${repository.name}:pull,push`],
    signal,
    isPatient: true,
  });
  if (answer.status !== 201 && answer.status !== 200 && answer.status !== 202) {
    throw await repository.failureOf(answer, `the manifest ${reference}`);
  }
  await answer.discard();
  const said = answer.headers['docker-content-digest'];
  if (said === undefined || parseDigest(said) === digest) return;
  throw new FetchError(
    'FETCH_DIGEST',
    `${repository.who}: ${answer.url.host} took the manifest ${digest} as ${quote(said)}`,
    { remedies: ['push it again; tell those who run the registry'] },
  );
}
