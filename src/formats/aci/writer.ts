/**
 * The canonical ACI of a manifest and a tree: the manifest first, then `rootfs` and what is below it in the order of the bytes of
 * their names. The same manifest and tree are the same bytes, everywhere and always.
 */
import { createHash } from 'node:crypto';

import type { ImageId } from '../../schema/appc.ts';
import {
  encodeHeader,
  END_MARK,
  paddingAfter,
  type TarContent,
  type TarMember,
} from '../tar/writer.ts';

/** Nothing that tells of its writer: root's, without a time. */
const NEUTRAL = {
  linkName: '',
  uid: 0,
  gid: 0,
  mtimeS: 0,
  mtimeNs: 0,
  deviceMajor: 0,
  deviceMinor: 0,
  xattrs: [],
} as const;

function manifestMember(manifest: Uint8Array): TarMember {
  const { length } = manifest;
  return { ...NEUTRAL, name: 'manifest', type: 'file', mode: 0o644, sizeBytes: length };
}

const EMPTY_ROOTFS: TarMember = {
  ...NEUTRAL,
  name: 'rootfs',
  type: 'directory',
  mode: 0o755,
  sizeBytes: 0,
};

/** For writeTar. `tree`: its root first; names, and those of hard links, as they are below the root, which is the empty name. */
export async function* aciContents(
  manifest: Uint8Array,
  tree: Iterable<TarContent> | AsyncIterable<TarContent>,
): AsyncGenerator<TarContent, void, undefined> {
  yield { member: manifestMember(manifest), content: () => [manifest] };
  for await (const { member, content } of tree) {
    const isLink = member.type === 'link';
    const below = {
      ...member,
      name: inRootfs(member.name),
      linkName: isLink ? inRootfs(member.linkName) : member.linkName,
    };
    yield { member: below, ...(content === undefined ? {} : { content }) };
  }
}

function inRootfs(name: string): string {
  return name === '' ? 'rootfs' : `rootfs/${name}`;
}

/**
 * The id of an OCI image (docs/adr/0010-ids-of-oci-images.md): of the canonical ACI with this manifest and an empty `rootfs`.
 */
export function ociImageId(manifest: Uint8Array): ImageId {
  const digest = createHash('sha512')
    .update(encodeHeader(manifestMember(manifest)))
    .update(manifest)
    .update(paddingAfter(manifest.length))
    .update(encodeHeader(EMPTY_ROOTFS))
    .update(END_MARK)
    .digest('hex');
  return `sha512-${digest}` as ImageId;
}
