/** What `images` and `image show` say of an image. */
import type { ImageMeta } from '../image/store.ts';

export function imageJson(meta: ImageMeta) {
  return {
    id: meta.id,
    name: meta.name,
    labels: Object.fromEntries(meta.labels.map(({ name, value }) => [name, value])),
    importedAt: meta.importedAt,
    sizeBytes: meta.treeBytes,
    source: meta.source,
    signedBy: meta.signedBy ?? null,
  };
}

export function versionOf(meta: ImageMeta): string {
  return meta.labels.find(({ name }) => name === 'version')?.value ?? '';
}
