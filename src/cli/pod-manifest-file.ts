/** `--pod-manifest`: a manifest from a file or standard input, and the images that it names. */
import { closeSync, openSync, readSync } from 'node:fs';

import { errnoOf, JetpackError, PodError, UsageError } from '../errors.ts';
import type { DraftPod, PodImage } from '../pod/reify.ts';
import {
  parseDraftPodManifest,
  type DraftPodApp,
  type PodManifest,
} from '../schema/pod-manifest.ts';

/** Far more than any plan can hold. */
const MAX_BYTES = 4 * 1024 * 1024;

/** How long to wait for standard input that others have made non-blocking. */
const AGAIN_MS = 20;

function readSome(fd: number, chunk: Buffer): number {
  for (;;) {
    try {
      return readSync(fd, chunk);
    } catch (error) {
      if (errnoOf(error) !== 'EAGAIN') throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, AGAIN_MS);
    }
  }
}

function readWhole(file: string): Buffer {
  const fd = file === '-' ? 0 : openSync(file, 'r');
  try {
    const chunks: Buffer[] = [];
    let size = 0;
    for (;;) {
      const chunk = Buffer.allocUnsafe(64 * 1024);
      const read = readSome(fd, chunk);
      if (read === 0) return Buffer.concat(chunks);
      chunks.push(chunk.subarray(0, read));
      size += read;
      if (size > MAX_BYTES)
        throw new PodError('POD_INVALID', `the pod manifest ${file} is larger than 4 MiB`);
    }
  } finally {
    if (fd !== 0) closeSync(fd);
  }
}

function readManifestFile(file: string): Buffer {
  try {
    return readWhole(file);
  } catch (cause) {
    if (cause instanceof JetpackError) throw cause;
    const errno = errnoOf(cause);
    const why = errno === 'ENOENT' ? 'there is no such file' : (errno ?? String(cause));
    throw new UsageError(`cannot read the pod manifest ${file}: ${why}`, { cause });
  }
}

/** The words by which the store finds the image: an id beats a name. */
function referenceOf({ image }: DraftPodApp): string {
  if (image.id !== undefined) return image.id;
  const split = (image.labels ?? []).find(({ value }) => value.includes(','));
  if (split !== undefined) {
    // The words of a reference have commas between them: it would name another image.
    throw new PodError('POD_INVALID', `no image can be found by ${split.name}=${split.value}`, {
      remedies: ['name the image by its id'],
    });
  }
  const labels = (image.labels ?? []).map(({ name, value }) => `,${name}=${value}`);
  return `${String(image.name)}${labels.join('')}`;
}

/** Says which app of the manifest wanted the image that cannot be had. */
function located(error: unknown, index: number, app: DraftPodApp): unknown {
  if (!(error instanceof JetpackError)) return error;
  const field = `apps[${String(index)}].image.${app.image.id === undefined ? 'name' : 'id'}`;
  error.message = `the pod manifest, ${field}: ${error.message}`;
  return error;
}

/** Throws UsageError for a file that cannot be read, ManifestError, and what `findImage` throws. */
export function readPodManifest(
  file: string,
  findImage: (reference: string) => PodImage,
): { readonly draft: DraftPod; readonly warnings: readonly string[] } {
  const { manifest, warnings } = parseDraftPodManifest(readManifestFile(file));
  const images = manifest.apps.map((app, i) => {
    try {
      return findImage(referenceOf(app));
    } catch (error) {
      throw located(error, i, app);
    }
  });
  return {
    // Reification puts the whole id in the place of what stands there.
    draft: { manifest: manifest as unknown as PodManifest, images, origin: 'manifest' },
    warnings: warnings.map(({ path, message }) => `the pod manifest, ${path}: ${message}`),
  };
}
