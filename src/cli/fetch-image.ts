/** `fetch`, `import` and `run` bring OCI images here the same way: the reference's source, the flags, progress, interruption. */
import { createReadStream, statSync } from 'node:fs';
import process from 'node:process';

import { HostError, UsageError } from '../errors.ts';
import { parsePlatform } from '../formats/oci/platform.ts';
import type { OciNames } from '../formats/oci/to-appc.ts';
import { readFirstName } from '../formats/tar/first-name.ts';
import { parseReference } from '../fetch/ref.ts';
import { fetchImage, type FetchResult, type PullPolicy } from '../image/fetch.ts';
import { getImage } from '../image/get.ts';
import { isOciReference, type OciReference, renderReference } from '../image/oci-names.ts';
import type { Context } from './context.ts';
import { createFetchProgress } from './fetch-progress.ts';
import { createFetchPorts } from './fetch-ports.ts';
import { openSource } from './image-source.ts';
import { tellWarning } from './output.ts';

export interface FetchFlags {
  readonly policy: PullPolicy;
  /** Of another platform than this host's. */
  readonly os?: string | undefined;
  readonly arch?: string | undefined;
  readonly insecure: { readonly image: boolean; readonly devices: boolean };
  readonly names?: OciNames | undefined;
  readonly json: boolean;
}

const POLICIES: readonly string[] = ['never', 'new', 'update'] satisfies readonly PullPolicy[];

export function parsePullPolicy(text: string): PullPolicy {
  if (POLICIES.includes(text)) return text as PullPolicy;
  throw new UsageError(`--pull-policy is ${POLICIES.join(', ')}, not "${text}"`);
}

/** Tells progress and warnings. Throws what `fetchImage` throws. */
export async function fetchReference(
  context: Context,
  reference: OciReference,
  flags: FetchFlags,
): Promise<FetchResult> {
  const key = renderReference(reference, process.cwd());
  for (const flag of ['os', 'arch'] as const) {
    if (flags[flag] !== '') continue;
    throw new UsageError(`--${flag} is empty`, {
      remedies: ["leave it out for the host's", 'or say it like --os=linux --arch=arm64'],
    });
  }
  const abort = new AbortController();
  const stop = () => {
    abort.abort(
      new HostError('IO_FAILED', `the fetch of ${key} was interrupted`, {
        remedies: ['what came is kept until the next jetpack gc: fetch it again to go on'],
      }),
    );
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.once(signal, stop);
  const progress = createFetchProgress(key, {
    nowMs: () => context.now().getTime(),
    json: flags.json,
  });
  const { platform } = context.runtime;
  const ports = createFetchPorts({ json: flags.json, now: () => context.now() });
  try {
    const result = await fetchImage(context.imagePorts, {
      reference,
      key,
      policy: flags.policy,
      platform: parsePlatform(flags.os ?? platform.os, flags.arch ?? platform.arch),
      isPlatformAsked: flags.os !== undefined || flags.arch !== undefined,
      openSource: () => openSource(ports, context.imagePorts, reference, abort.signal),
      names: flags.names,
      trust: { verdict: { kind: 'unsigned' }, policy: { allowUnsigned: flags.insecure.image } },
      allowDevices: flags.insecure.devices,
      timing: ports.timing,
      signal: abort.signal,
      onProgress: progress.update,
      onUndoFailure: (failure) => {
        tellWarning(`${failure}; jetpack gc will find it`, flags.json);
      },
    });
    progress.end();
    if (!result.existing)
      for (const warning of result.meta.warnings) tellWarning(warning, flags.json);
    return result;
  } finally {
    progress.end();
    for (const signal of signals) process.off(signal, stop);
  }
}

/** A file that is an archive of OCI images or of docker save, by what is in it; undefined for any other. */
export async function findArchiveReference(
  context: Context,
  file: string,
): Promise<OciReference | undefined> {
  if (statSync(file, { throwIfNoEntry: false })?.isFile() !== true) return undefined;
  const name = await readFirstName(createReadStream(file), context.imagePorts);
  // An ACI has these two and nothing else.
  if (name === undefined || name === 'manifest' || /^rootfs(?:\/|$)/.test(name)) return undefined;
  const isDocker = !/^(?:oci-layout|index\.json|blobs)(?:\/|$)/.test(name);
  return { kind: isDocker ? 'docker-archive' : 'oci-archive', file, ref: undefined };
}

/** What a word of the command line means: fetched, or found in the store. */
export async function fetchWord(
  context: Context,
  word: string,
  flags: FetchFlags,
): Promise<FetchResult> {
  const reference = parseReference(word);
  if (isOciReference(reference)) return fetchReference(context, reference, flags);
  if (reference.kind === 'url') {
    throw new UsageError(`${word}: images of appc are not fetched from URLs`, {
      remedies: ['download it, and then: jetpack import FILE'],
    });
  }
  if (reference.kind === 'file') {
    const archive = await findArchiveReference(context, reference.file);
    if (archive !== undefined) return fetchReference(context, archive, flags);
    throw new UsageError(`${word} is a file of appc`, { remedies: [`jetpack import ${word}`] });
  }
  return { meta: getImage(context, word), existing: true, receivedBytes: 0 };
}

/** For `run`: the ids of what the words name. */
export async function fetchImages(
  context: Context,
  words: readonly string[],
  flags: Pick<FetchFlags, 'insecure' | 'json'> & { readonly policy: string },
): Promise<ReadonlyMap<string, string>> {
  const policy = parsePullPolicy(flags.policy);
  const ids = new Map<string, string>();
  for (const word of words)
    ids.set(word, (await fetchWord(context, word, { ...flags, policy })).meta.id);
  return ids;
}
