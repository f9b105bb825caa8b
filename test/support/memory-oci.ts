/** OCI images from layers in memory, as a source: for tests of the store, where no other program is needed. */
import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';

import type { OciSource } from '../../src/fetch/source.ts';
import type { Descriptor, Digest, OciImage } from '../../src/formats/oci/model.ts';
import { importOci, type OciImportResult } from '../../src/image/import-oci.ts';
import type { ImagePorts } from '../../src/image/ports.ts';
import { tar, type TarMember } from './tar.ts';

export interface MemoryLayer {
  readonly members: readonly TarMember[];
  /** Default gzip. */
  readonly compression?: 'gzip' | 'none';
}

export interface MemoryImage {
  readonly name: string;
  readonly layers: readonly MemoryLayer[];
  /** Makes images with the same layers differ. */
  readonly label?: string;
}

function digestOf(bytes: Buffer): Digest {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}` as Digest;
}

function descriptorOf(mediaType: string, bytes: Buffer): Descriptor {
  return { mediaType, digest: digestOf(bytes), size: bytes.length };
}

export function memorySource(image: MemoryImage): OciSource & { readonly opened: Digest[] } {
  const blobs = new Map<Digest, Buffer>();
  const opened: Digest[] = [];
  const diffIds: Digest[] = [];
  const layers = image.layers.map(({ members, compression = 'gzip' }) => {
    const plain = tar(members);
    const isPlain = compression === 'none';
    const bytes = isPlain ? plain : gzipSync(plain, { level: 1 });
    const type = `application/vnd.oci.image.layer.v1.tar${isPlain ? '' : '+gzip'}`;
    const descriptor = descriptorOf(type, bytes);
    diffIds.push(digestOf(plain));
    blobs.set(descriptor.digest, bytes);
    return descriptor;
  });
  const platform = { os: 'linux', architecture: 'amd64' };
  const configBytes = Buffer.from(
    JSON.stringify({
      ...platform,
      config: { Cmd: ['/bin/true'], ...(image.label ? { Labels: { label: image.label } } : {}) },
      rootfs: { type: 'layers', diff_ids: diffIds },
    }),
  );
  const config = descriptorOf('application/vnd.oci.image.config.v1+json', configBytes);
  const manifestType = 'application/vnd.oci.image.manifest.v1+json';
  const manifestBytes = Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType: manifestType, config, layers }),
  );
  const resolved: OciImage = {
    manifest: { bytes: manifestBytes, descriptor: descriptorOf(manifestType, manifestBytes) },
    config: { bytes: configBytes, descriptor: config },
    layers,
    diffIds,
    platform,
    index: undefined,
    refName: undefined,
  };
  return {
    name: `memory:${image.name}`,
    opened,
    resolve: () => Promise.resolve(resolved),
    openBlob({ digest }, { fromByte = 0 } = {}) {
      opened.push(digest);
      const bytes = blobs.get(digest) ?? Buffer.alloc(0);
      async function* chunks(): AsyncGenerator<Buffer> {
        await Promise.resolve();
        for (let at = fromByte; at < bytes.length; at += 65_536)
          yield bytes.subarray(at, at + 65_536);
      }
      return Promise.resolve({ chunks: chunks(), fromByte });
    },
    close: () => Promise.resolve(),
  };
}

/** Into the store, unsigned. */
export function importMemory(
  ports: ImagePorts,
  image: MemoryImage,
  source: OciSource = memorySource(image),
): Promise<OciImportResult> {
  return importOci(ports, {
    source,
    platform: { os: 'linux', architecture: 'amd64' },
    names: () => ({ name: image.name, version: undefined, origin: undefined }),
    trust: { verdict: { kind: 'unsigned' }, policy: { allowUnsigned: true } },
    timing: { nowMs: () => Date.now(), sleep: () => Promise.resolve(), random: () => 0 },
  });
}
