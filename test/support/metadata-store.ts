/** Folders as prepare and import leave them, for the metadata service; and a pod source in memory. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { createSecret, metadataToken, metadataUrl } from '../../src/pod/metadata.ts';

export const IMAGE = `sha512-${'ab'.repeat(64)}`;

export interface MetadataStore {
  readonly pods: string;
  readonly images: string;
  /** Writes a pod of one app, and returns its token. */
  addPod(uuid: string, manifest?: object): string;
  addImage(id: string, manifest: string, parsed?: string): void;
  remove(): void;
}

export function podManifest(extra: object = {}): object {
  return {
    acVersion: '0.8.11',
    acKind: 'PodManifest',
    apps: [
      {
        name: 'web',
        image: { id: IMAGE },
        annotations: [{ name: 'tier', value: 'front' }],
      },
    ],
    annotations: [{ name: 'ip', value: '10.1.2.3' }],
    ...extra,
  };
}

export const IMAGE_MANIFEST = JSON.stringify({
  acKind: 'ImageManifest',
  acVersion: '0.8.11',
  name: 'example.com/web',
  annotations: [
    { name: 'authors', value: 'somebody' },
    { name: 'tier', value: 'any' },
  ],
});

export function createMetadataStore(): MetadataStore {
  const dir = mkdtempSync(path.join(tmpdir(), 'jp-mds-'));
  const [pods, images] = [path.join(dir, 'pods'), path.join(dir, 'images')];
  mkdirSync(pods);
  mkdirSync(images);
  return {
    pods,
    images,
    addPod(uuid, manifest = podManifest()) {
      const token = metadataToken(uuid, createSecret());
      const folder = path.join(pods, uuid);
      mkdirSync(folder, { recursive: true });
      writeFileSync(path.join(folder, 'metadata-url'), `${metadataUrl(1104, token)}\n`);
      writeFileSync(path.join(folder, 'manifest'), JSON.stringify(manifest));
      return token;
    },
    addImage(id, manifest, parsed = manifest) {
      const folder = path.join(images, id);
      mkdirSync(folder, { recursive: true });
      writeFileSync(path.join(folder, 'manifest'), manifest);
      writeFileSync(path.join(folder, 'parsed.json'), parsed);
    },
    remove() {
      rmSync(dir, { recursive: true });
    },
  };
}
