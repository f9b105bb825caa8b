/** An image layout of layers that a test has written byte for byte, for what no other program would make, or where there is none. */
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';

export interface PlainImage {
  readonly tag: string;
  /** Uncompressed. */
  readonly layers: readonly Buffer[];
  /** Of the configuration, beside what has to be there. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** How the layers are packed; gzip by default. */
  readonly pack?: (layer: Buffer) => Buffer;
  readonly layerType?: string;
}

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const LAYER = 'application/vnd.oci.image.layer.v1.tar+gzip';

export function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

export function writePlainLayout(dir: string, images: readonly PlainImage[]): void {
  mkdirSync(path.join(dir, 'blobs/sha256'), { recursive: true });
  const add = (bytes: Uint8Array, mediaType: string) => {
    const digest = sha256(bytes);
    writeFileSync(path.join(dir, 'blobs', digest.replace(':', '/')), bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const manifests = images.map((image) => {
    const { tag, layers, config = {}, pack = gzipSync, layerType = LAYER } = image;
    const document = {
      architecture: 'amd64',
      os: 'linux',
      ...config,
      rootfs: { type: 'layers', diff_ids: layers.map(sha256) },
    };
    const manifest = {
      schemaVersion: 2,
      mediaType: MANIFEST,
      config: add(
        Buffer.from(JSON.stringify(document)),
        'application/vnd.oci.image.config.v1+json',
      ),
      layers: layers.map((layer) => add(pack(layer), layerType)),
    };
    return {
      ...add(Buffer.from(JSON.stringify(manifest)), MANIFEST),
      annotations: { 'org.opencontainers.image.ref.name': tag },
    };
  });
  writeFileSync(path.join(dir, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests }));
  writeFileSync(path.join(dir, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
}
