/** An image of the store into a registry, as the OCI or Docker image that it came as, or as one made of its tree. */
import { parseReference } from '../fetch/ref.ts';
import { renderRepository } from '../fetch/docker-ref.ts';
import { pushImage, type PushOptions, type PushResult } from '../fetch/registry/push.ts';
import type { PushableBlob } from '../fetch/registry/pushable.ts';
import type { Target } from '../fetch/registry/registries.ts';
import { type OciFormOptions, openOciForm } from './oci-form.ts';
import type { ImagePorts } from './ports.ts';
import type { ImageMeta } from './store.ts';

export interface StoredPush {
  readonly image: ImageMeta;
  readonly target: Target;
  readonly form: OciFormOptions;
  readonly options: PushOptions;
  /** How much there is to send, at most; told before the first byte. */
  readonly onTotal?: (totalBytes: number) => void;
}

export interface StoredPushResult extends PushResult {
  /** What the image says and an OCI image cannot, for people. */
  readonly lost: readonly string[];
}

/** The repository that the image was fetched from: on the same registry, its blobs need not be sent. */
function originsOf(image: ImageMeta): readonly string[] {
  if (image.oci === undefined || !image.source.startsWith('docker://')) return [];
  const reference = parseReference(image.source);
  return reference.kind === 'docker' ? [renderRepository(reference.ref)] : [];
}

/** Throws ImageError, FetchError, ManifestError, ZfsError, HostError; no reference has changed then. */
export async function pushStoredImage(
  ports: ImagePorts,
  { image, target, form, options, onTotal }: StoredPush,
): Promise<StoredPushResult> {
  const opened = await openOciForm(ports, image, form);
  try {
    const origins = form.flat === true ? [] : originsOf(image);
    const withOrigins = (blob: PushableBlob): PushableBlob => ({ ...blob, origins });
    const { config, layers } = opened;
    onTotal?.([config, ...layers].reduce((sum, { descriptor }) => sum + descriptor.size, 0));
    const result = await pushImage(
      target,
      {
        manifest: opened.manifest,
        config: withOrigins(config),
        layers: layers.map(withOrigins),
      },
      options,
    );
    return { ...result, lost: opened.lost };
  } finally {
    await opened.close();
  }
}
