/**
 * Images of a registry: from its mirrors in their order, then from itself. A tag is what the first of them says that has
 * it; from there on everything is asked for by digest, and whatever comes is checked against it.
 */
import { createHash } from 'node:crypto';

import { FetchError } from '../../errors.ts';
import { algorithmOf, type Descriptor, type Digest, parseDigest } from '../../formats/oci/model.ts';
import { resolveImage, verifyDocument } from '../../formats/oci/resolve.ts';
import { isIndexType, isManifestType, MEDIA_TYPES, OCI_LIMITS } from '../../schema/oci.ts';
import { parseContentRange } from './content-range.ts';
import { type DockerRef, referenceOf, renderDockerRef } from '../docker-ref.ts';
import type { Http } from './http.ts';
import { quote } from './quote.ts';
import type { Repository, RepositoryRequest } from './repository.ts';
import type { BlobStream, RegistrySource, RemoteState } from '../source.ts';
import type { HttpAnswer } from './transport.ts';

const ACCEPT = [
  MEDIA_TYPES.ociIndex,
  MEDIA_TYPES.dockerList,
  MEDIA_TYPES.ociManifest,
  MEDIA_TYPES.dockerManifest,
].join(', ');

const SCHEMA_1 = 'application/vnd.docker.distribution.manifest.v1+';

/** As it comes: what is compressed on the way has other bytes, and ranges of other bytes. */
const AS_IS = { 'accept-encoding': 'identity' };

/** A mirror that failed so often is left out from then on. */
const MAX_STRIKES = 2;

export interface RegistrySourceOptions {
  readonly ref: DockerRef;
  /** Mirrors, then the registry itself. */
  readonly repositories: readonly Repository[];
  readonly http: Http;
  readonly warn: (message: string) => void;
  readonly close: () => Promise<void>;
}

interface Document {
  readonly bytes: Buffer;
  readonly descriptor: Descriptor;
  readonly etag: string | undefined;
}

function mediaTypeOf(answer: HttpAnswer): string {
  return (answer.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase() ?? '';
}

function digestOf(bytes: Uint8Array, algorithm: 'sha256' | 'sha512'): Digest {
  const digest = parseDigest(`${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`);
  if (digest === undefined) throw new Error('a hash is always a digest');
  return digest;
}

/** What the registry says its bytes are must be what they are: a cache in between may have mixed them up. */
function checkSaidDigest(who: string, answer: HttpAnswer, bytes: Uint8Array): void {
  const said = answer.headers['docker-content-digest'];
  if (said === undefined) return;
  const digest = parseDigest(said);
  if (digest === undefined) {
    throw new FetchError(
      'FETCH_PROTOCOL',
      `${who}: ${answer.url.host} answers with a digest that is none: ${quote(said)}`,
    );
  }
  if (digestOf(bytes, algorithmOf(digest)) === digest) return;
  throw new FetchError(
    'FETCH_DIGEST',
    `${who}: ${answer.url.host} says that the manifest is ${digest}, and it is not`,
    { remedies: ['nothing of it was used; tell those who run the registry or mirror'] },
  );
}

function refuseSchema1(who: string, mediaType: string, bytes: Buffer): void {
  const isOld =
    mediaType.startsWith(SCHEMA_1) ||
    (!isIndexType(mediaType) &&
      !isManifestType(mediaType) &&
      /"schemaVersion"\s*:\s*1\b/.test(bytes.subarray(0, 4096).toString('latin1')));
  if (!isOld) return;
  throw new FetchError(
    'FETCH_UNSUPPORTED',
    `${who}: the manifest is of Docker's schema 1, which has no digests of its layers' content`,
    {
      remedies: [
        'make it new: pull and push it with a current Docker or with skopeo copy --format v2s2',
      ],
    },
  );
}

export function createRegistrySource(options: RegistrySourceOptions): RegistrySource {
  const { ref, http, warn } = options;
  const name = `docker://${renderDockerRef(ref)}`;
  const strikes = new Map<Repository, number>();
  const distrusted = new Map<Digest, Set<Repository>>();
  /** Who gave a blob last: it is the one to distrust. */
  const givers = new Map<Digest, Repository>();

  const strike = (repository: Repository, count: number) =>
    strikes.set(repository, (strikes.get(repository) ?? 0) + count);

  const placesFor = (digest: Digest | undefined): readonly Repository[] =>
    options.repositories.filter((repository, index) => {
      const isLast = index === options.repositories.length - 1;
      const isDistrusted = digest !== undefined && distrusted.get(digest)?.has(repository) === true;
      return !isDistrusted && (isLast || (strikes.get(repository) ?? 0) < MAX_STRIKES);
    });

  /** One place after the other; the failure of the last is the one that counts. */
  const fromFirst = async <T>(
    digest: Digest | undefined,
    signal: AbortSignal | undefined,
    ask: (repository: Repository, isPatient: boolean) => Promise<T>,
  ): Promise<T> => {
    const places = placesFor(digest);
    const failures: FetchError[] = [];
    for (const [index, repository] of places.entries()) {
      const isLast = index === places.length - 1;
      try {
        return await ask(repository, isLast);
      } catch (error) {
        signal?.throwIfAborted();
        if (!(error instanceof FetchError)) throw error;
        if (isLast) throw failures.length === 0 ? error : withEarlier(error, failures);
        failures.push(error);
        if (error.code !== 'FETCH_NOT_FOUND') strike(repository, MAX_STRIKES);
        if (error.code === 'FETCH_DIGEST' || error.code === 'FETCH_SIZE') warn(error.message);
      }
    }
    throw new FetchError(
      'FETCH_DIGEST',
      `${name}: nobody gives the right bytes for ${digest ?? 'it'}`,
      { remedies: ['tell those who run the registry and its mirrors'] },
    );
  };

  const requestDocument = async (
    repository: Repository,
    reference: string,
    request: Partial<RepositoryRequest>,
  ): Promise<Document> => {
    const what = `the manifest ${reference}`;
    const answer = await repository.send({
      method: 'GET',
      at: `manifests/${reference}`,
      headers: { ...AS_IS, accept: ACCEPT },
      ...request,
    });
    if (answer.status !== 200) throw await repository.failureOf(answer, what);
    const { who } = repository;
    const bytes = await http.readDocument(answer, who, what, OCI_LIMITS.manifestBytes);
    const mediaType = mediaTypeOf(answer);
    const wanted = parseDigest(reference);
    const digest = digestOf(bytes, wanted === undefined ? 'sha256' : algorithmOf(wanted));
    if (wanted !== undefined && digest !== wanted) {
      throw new FetchError(
        'FETCH_DIGEST',
        `${who}: what ${answer.url.host} gives as ${wanted} is something else`,
        { remedies: ['nothing of it was used; tell those who run the registry or mirror'] },
      );
    }
    checkSaidDigest(who, answer, bytes);
    refuseSchema1(who, mediaType, bytes);
    return {
      bytes,
      descriptor: { mediaType, digest, size: bytes.length },
      etag: answer.headers['etag'],
    };
  };

  const readDocument = (
    descriptor: Descriptor,
    limitBytes: number,
    signal: AbortSignal | undefined,
  ): Promise<Buffer> =>
    fromFirst(descriptor.digest, signal, async (repository, isPatient) => {
      let bytes: Buffer;
      if (isIndexType(descriptor.mediaType) || isManifestType(descriptor.mediaType)) {
        ({ bytes } = await requestDocument(repository, descriptor.digest, { signal, isPatient }));
      } else {
        const what = `the configuration ${descriptor.digest}`;
        const answer = await repository.send({
          method: 'GET',
          at: `blobs/${descriptor.digest}`,
          headers: AS_IS,
          signal,
          isPatient,
        });
        if (answer.status !== 200) throw await repository.failureOf(answer, what);
        bytes = await http.readDocument(
          answer,
          repository.who,
          what,
          Math.min(limitBytes, descriptor.size),
        );
      }
      // Here, so that what a mirror has wrong can be had from the next.
      verifyDocument(repository.who, descriptor, bytes);
      return bytes;
    });

  const openAt = async (
    repository: Repository,
    blob: Descriptor,
    fromByte: number,
    signal: AbortSignal | undefined,
  ): Promise<BlobStream> => {
    const request = (headers: Readonly<Record<string, string>>) =>
      repository.send({
        method: 'GET',
        at: `blobs/${blob.digest}`,
        headers: { ...AS_IS, ...headers },
        signal,
      });
    let answer = await request(fromByte > 0 ? { range: `bytes=${String(fromByte)}-` } : {});
    if (answer.status === 416) {
      // What we have is not the beginning of what is there, or ranges are nothing for it: from the beginning, then.
      await answer.discard();
      answer = await request({});
    }
    return toStream(repository, blob, fromByte, answer);
  };

  const toStream = async (
    repository: Repository,
    blob: Descriptor,
    fromByte: number,
    answer: HttpAnswer,
  ): Promise<BlobStream> => {
    const what = `blob ${blob.digest}`;
    if (answer.status !== 200 && answer.status !== 206) {
      throw await repository.failureOf(answer, what);
    }
    const start = startOf(repository, blob, fromByte, answer);
    if (start instanceof FetchError) {
      await answer.discard();
      throw start;
    }
    givers.set(blob.digest, repository);
    return { chunks: counting(repository, answer.chunks), fromByte: start };
  };

  /** What breaks off at a mirror a second time is had from elsewhere. */
  async function* counting(
    repository: Repository,
    chunks: AsyncIterable<Uint8Array>,
  ): AsyncGenerator<Uint8Array> {
    try {
      yield* chunks;
    } catch (error) {
      strike(repository, 1);
      throw error;
    }
  }

  /** Layers that a registry must not hand out lie where their descriptors say. */
  const openForeign = async (
    blob: Descriptor,
    fromByte: number,
    signal: AbortSignal | undefined,
    failure: unknown,
  ): Promise<BlobStream> => {
    const repository = options.repositories.at(-1);
    const urls = (blob.urls ?? []).map((text) => URL.parse(text));
    const isMissing = failure instanceof FetchError && failure.code === 'FETCH_NOT_FOUND';
    if (repository === undefined || !isMissing || urls.length === 0) throw failure;
    let last: unknown = failure;
    for (const url of urls) {
      // Anything but https would let everybody on the way see what we fetch, and the manifest chooses the host.
      if (url?.protocol !== 'https:') continue;
      try {
        const answer = await http.send({
          method: 'GET',
          url,
          headers: {
            ...AS_IS,
            ...(fromByte > 0 ? { range: `bytes=${String(fromByte)}-` } : {}),
          },
          signal,
          who: repository.who,
        });
        return await toStream(repository, blob, fromByte, answer);
      } catch (error) {
        signal?.throwIfAborted();
        last = error;
      }
    }
    throw last;
  };

  /** Undefined: the registry does not tell it without sending the manifest. */
  const head = async (
    repository: Repository,
    known: { readonly digest: Digest; readonly etag?: string | undefined },
    signal: AbortSignal | undefined,
    isPatient: boolean,
  ): Promise<boolean | undefined> => {
    const reference = referenceOf(ref);
    const answer = await repository.send({
      method: 'HEAD',
      at: `manifests/${reference}`,
      headers: {
        ...AS_IS,
        accept: ACCEPT,
        ...(known.etag === undefined ? {} : { 'if-none-match': known.etag }),
      },
      signal,
      isPatient,
    });
    if (answer.status === 304) {
      await answer.discard();
      return true;
    }
    if (answer.status === 405 || answer.status === 501) {
      await answer.discard();
      return undefined;
    }
    if (answer.status !== 200)
      throw await repository.failureOf(answer, `the manifest ${reference}`);
    await answer.discard();
    const said = parseDigest(answer.headers['docker-content-digest'] ?? '');
    if (said === undefined || algorithmOf(said) !== algorithmOf(known.digest)) return undefined;
    return said === known.digest;
  };

  return {
    name,
    async resolve(wanted, { signal } = {}) {
      const root = await fromFirst(ref.digest, signal, (repository, isPatient) =>
        requestDocument(repository, referenceOf(ref), { signal, isPatient }),
      );
      const image = await resolveImage(
        { bytes: root.bytes, descriptor: root.descriptor },
        wanted,
        (descriptor, limitBytes) => readDocument(descriptor, limitBytes, signal),
        { source: name, refName: renderDockerRef(ref) },
      );
      const remote: RemoteState = { digest: root.descriptor.digest, etag: root.etag };
      return { ...image, remote };
    },
    async isUnchanged(known, { signal } = {}) {
      if (ref.digest !== undefined) return ref.digest === known.digest;
      return fromFirst(undefined, signal, async (repository, isPatient) => {
        const answer = await head(repository, known, signal, isPatient);
        if (answer !== undefined) return answer;
        const { bytes } = await requestDocument(repository, referenceOf(ref), {
          signal,
          isPatient,
        });
        return digestOf(bytes, algorithmOf(known.digest)) === known.digest;
      });
    },
    async openBlob(blob, { fromByte = 0, signal } = {}) {
      try {
        return await fromFirst(blob.digest, signal, (repository) =>
          openAt(repository, blob, fromByte, signal),
        );
      } catch (error) {
        signal?.throwIfAborted();
        return openForeign(blob, fromByte, signal, error);
      }
    },
    distrust(blob) {
      const giver = givers.get(blob.digest);
      const known = distrusted.get(blob.digest) ?? new Set<Repository>();
      // Nobody more than once: each time there is one place less, and so an end.
      if (giver === undefined || known.has(giver)) return false;
      known.add(giver);
      distrusted.set(blob.digest, known);
      warn(`${giver.who} gives other bytes than those of blob ${blob.digest}`);
      return placesFor(blob.digest).length > 0;
    },
    close: options.close,
  };
}

function withEarlier(error: FetchError, earlier: readonly FetchError[]): FetchError {
  return new FetchError(error.code, error.message, {
    cause: error.cause,
    passing: error.passing,
    remedies: [...error.remedies, ...earlier.map(({ message }) => `before that: ${message}`)],
  });
}

/** Where the bytes of an answer begin, or what is wrong with it. */
function startOf(
  { who }: Repository,
  blob: Descriptor,
  fromByte: number,
  answer: HttpAnswer,
): number | FetchError {
  const { host } = answer.url;
  if (answer.status === 200) {
    const length = answer.headers['content-length'];
    if (length === undefined || Number(length) === blob.size) return 0;
    return new FetchError(
      'FETCH_SIZE',
      `${who}: ${host} has ${quote(length)} bytes as blob ${blob.digest}, and the manifest says ${String(blob.size)}`,
      { remedies: ['nothing of it was used; tell those who run the registry or mirror'] },
    );
  }
  const text = answer.headers['content-range'];
  const range = parseContentRange(text);
  const isRight =
    range?.firstByte === fromByte &&
    fromByte > 0 &&
    range.lastByte < blob.size &&
    (range.totalBytes === undefined || range.totalBytes === blob.size);
  if (isRight) return fromByte;
  return new FetchError(
    'FETCH_PROTOCOL',
    `${who}: asked for blob ${blob.digest} from byte ${String(fromByte)}, ${host} answers with the range ${quote(text ?? '')}`,
    { remedies: ['tell those who run the registry or mirror'] },
  );
}
