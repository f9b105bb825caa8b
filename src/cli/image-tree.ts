/** `images --tree`: images below what they are clones of, with what they share and what is theirs alone. */
import type { Layout } from '../host/layout.ts';
import { drawTree, type ImageNode, planTree } from '../image/sharing.ts';
import type { ImageMeta } from '../image/store.ts';
import type { DatasetName, Zfs } from '../zfs/zfs.ts';
import { imageJson, versionOf } from './image-rows.ts';
import { printAnswer, printJson, renderBytes, renderTable } from './output.ts';

interface Ports {
  readonly layout: Layout;
  readonly zfs: Zfs;
}

interface Options {
  readonly json: boolean;
  readonly full: boolean;
  readonly 'no-legend': boolean;
}

export async function showTree(
  { layout, zfs }: Ports,
  images: readonly ImageMeta[],
  options: Options,
): Promise<void> {
  const list = (root: DatasetName) => zfs.list(root, { depth: 1, types: ['filesystem'] });
  const rows = [...(await list(layout.dataset.images)), ...(await list(layout.dataset.trash))];
  const nodes = planTree(layout, images, rows);
  if (options.json) {
    printJson(nodes.map(nodeJson));
    return;
  }
  const lines = [...drawTree(nodes)].map(({ prefix, node }) => rowOf(prefix, node, options.full));
  const legend = ['NAME', 'VERSION', 'ID', 'SHARED', 'OWN'];
  printAnswer(renderTable(options['no-legend'] ? undefined : legend, lines));
}

function rowOf(prefix: string, { image, shared, ownBytes }: ImageNode, full: boolean): string[] {
  const bytes = (count: number) => (full ? String(count) : renderBytes(count));
  const own = ownBytes === undefined ? '?' : bytes(ownBytes);
  if (image === undefined) return [`${prefix}(removed)`, '-', '-', '-', own];
  return [
    `${prefix}${image.name}`,
    versionOf(image) || '-',
    full ? image.id : image.id.slice(0, 'sha512-'.length + 12),
    renderShared(image, shared.layers, bytes(shared.treeBytes)),
    own,
  ];
}

function renderShared({ oci, dependencies }: ImageMeta, layers: number, bytes: string): string {
  if (layers > 0) return `${String(layers)} of ${String(oci?.layers.length)} layers, ${bytes}`;
  return (dependencies?.length ?? 0) > 0 ? `dependency, ${bytes}` : '-';
}

function nodeJson({ image, shared, ownBytes, children }: ImageNode): object {
  return {
    ...(image === undefined ? { id: null, removed: true } : imageJson(image)),
    sharedLayers: shared.layers,
    sharedBytes: shared.treeBytes,
    ownBytes: ownBytes ?? null,
    dependencies: image?.dependencies ?? [],
    children: children.map(nodeJson),
  };
}
