/** From a reference to the source of an image that lies in files. */
import { archiveFiles, type ArchiveFileLimits, type ArchivePorts } from './archive-files.ts';
import { DOCKER_MANIFEST, dockerArchiveSource } from './docker-archive.ts';
import { folderFiles, type LayoutFiles } from './layout-files.ts';
import { INDEX_FILE, LAYOUT_FILE, layoutSource } from './layout-source.ts';
import type { ImageReference } from '../ref.ts';
import type { OciSource } from '../source.ts';

export type FileReference = Extract<
  ImageReference,
  { readonly kind: 'oci-layout' | 'oci-archive' | 'docker-archive' }
>;

export function isFileReference(reference: ImageReference): reference is FileReference {
  return ['oci-layout', 'oci-archive', 'docker-archive'].includes(reference.kind);
}

/** `oci:DIR:REF` */
export function renderFileReference(reference: FileReference): string {
  const place = reference.kind === 'oci-layout' ? reference.dir : reference.file;
  const kind = reference.kind === 'oci-layout' ? 'oci' : reference.kind;
  return `${kind}:${place}${reference.ref === undefined ? '' : `:${reference.ref}`}`;
}

/** Throws FetchError, ArchiveError, HostError; nothing is open then. */
export async function openFileSource(
  reference: FileReference,
  ports: ArchivePorts,
  options: { readonly limits?: Partial<ArchiveFileLimits>; readonly signal?: AbortSignal } = {},
): Promise<OciSource> {
  const name = renderFileReference(reference);
  if (reference.kind === 'oci-layout') {
    return layoutSource(name, folderFiles(reference.dir, name), reference.ref);
  }
  const files = await archiveFiles(reference.file, name, ports, options);
  return archiveSource(name, files, reference);
}

/** What is in the archive decides, the word before the colon only where it could be both. */
async function archiveSource(
  name: string,
  files: LayoutFiles,
  { kind, ref }: FileReference,
): Promise<OciSource> {
  try {
    const wanted = kind === 'docker-archive' ? DOCKER_MANIFEST : INDEX_FILE;
    const other = kind === 'docker-archive' ? LAYOUT_FILE : DOCKER_MANIFEST;
    const hasWanted = (await files.size(wanted)) !== undefined;
    const hasOther = (await files.size(other)) !== undefined;
    const isDocker = (kind === 'docker-archive') === (hasWanted || !hasOther);
    return (isDocker ? dockerArchiveSource : layoutSource)(name, files, ref);
  } catch (error) {
    await files.close();
    throw error;
  }
}
