/**
 * Images of `docker save`, of podman, skopeo and buildah (`docker-archive:FILE[:ref]`): `manifest.json` names the files of the
 * configuration and of each layer. Layers may be links to those of another image, and are plain tars but for who compresses them.
 */
import { createHash } from 'node:crypto';

import { FetchError } from '../../errors.ts';
import type { Descriptor, Digest, OciImage } from '../../formats/oci/model.ts';
import { platformOfConfig } from '../../formats/oci/resolve.ts';
import { sniffCompression } from '../../formats/tar/sniff.ts';
import {
  type DockerSaveItem,
  MEDIA_TYPES,
  OCI_LIMITS,
  parseDockerSave,
  parseImageConfig,
} from '../../schema/oci.ts';
import { isSameName } from '../image-name.ts';
import type { LayoutFiles } from './layout-files.ts';
import { findByConfig, openBlob, remediesOf } from './layout-source.ts';
import type { OciSource } from '../source.ts';

export const DOCKER_MANIFEST = 'manifest.json';
const HEAD_BYTES = 512;

/** `name`: for people. The files are the source's from now on. */
export function dockerArchiveSource(
  name: string,
  files: LayoutFiles,
  ref: string | undefined,
): OciSource {
  // Filled by resolve: layers have no names of their own there.
  const places = new Map<Digest, string>();
  return {
    name,
    async resolve(wanted, options = {}) {
      const manifest = await files.read(DOCKER_MANIFEST, OCI_LIMITS.manifestBytes);
      if (manifest === undefined) throw noManifest(name);
      const item = selectItem(name, parseDockerSave(manifest), ref);
      const refName = item.tag;
      const config = await readConfig(name, files, item.item);
      const known = await findByConfig(files, config.descriptor.digest, wanted, {
        source: name,
        refName,
      });
      if (known !== undefined && (await hasLayers(files, known))) return known;
      const { diff_ids: diffIds, ...parsed } = parseConfig(config.bytes, item.item);
      const layers: Descriptor[] = [];
      for (const [i, file] of item.item.Layers.entries()) {
        const layer = await describeLayer(name, files, file, diffIds[i], options.signal);
        places.set(layer.digest, file);
        layers.push(layer);
      }
      return {
        manifest: undefined,
        config,
        layers,
        diffIds,
        platform: parsed.platform,
        index: undefined,
        refName,
      };
    },
    openBlob: (blob, options) =>
      openBlob(name, files, places.get(blob.digest) ?? blobPathOf(blob), blob, options),
    close: () => files.close(),
  };
}

function blobPathOf({ digest }: Descriptor): string {
  return `blobs/${digest.replace(':', '/')}`;
}

function parseConfig(bytes: Buffer, item: DockerSaveItem) {
  const config = parseImageConfig(bytes, item.Layers.length);
  return { diff_ids: config.rootfs.diff_ids, platform: platformOfConfig(config) };
}

async function hasLayers(files: LayoutFiles, image: OciImage): Promise<boolean> {
  for (const layer of image.layers) {
    if ((await files.size(blobPathOf(layer))) !== layer.size) return false;
  }
  return true;
}

interface Selected {
  readonly item: DockerSaveItem;
  readonly tag: string | undefined;
}

/** `@2` is the third image, whatever it is called. Throws FETCH_NOT_FOUND. */
function selectItem(
  source: string,
  items: readonly DockerSaveItem[],
  ref: string | undefined,
): Selected {
  const names = items.flatMap(({ RepoTags = [] }, i) =>
    RepoTags.length === 0 ? [`@${String(i)}`] : RepoTags,
  );
  const remedies = remediesOf(names);
  if (ref === undefined) {
    const [item] = items;
    if (item !== undefined && items.length === 1) return { item, tag: item.RepoTags?.[0] };
    const what = items.length === 0 ? 'has no image' : 'has several images';
    throw new FetchError('FETCH_NOT_FOUND', `${source} ${what}`, { remedies });
  }
  const number = /^@(\d{1,6})$/.exec(ref)?.[1];
  if (number !== undefined) {
    const item = items[Number(number)];
    if (item !== undefined) return { item, tag: item.RepoTags?.[0] };
  }
  for (const item of items) {
    const tag = item.RepoTags?.find((name) => isSameName(name, ref));
    if (tag !== undefined) return { item, tag };
  }
  throw new FetchError('FETCH_NOT_FOUND', `${source} has no image "${ref}"`, { remedies });
}

async function readConfig(source: string, files: LayoutFiles, item: DockerSaveItem) {
  const bytes = await files.read(item.Config, OCI_LIMITS.configBytes);
  if (bytes === undefined) throw lacks(source, item.Config);
  const hex = createHash('sha256').update(bytes).digest('hex');
  // The file is called by its digest; skopeo refuses what is not so, too.
  const named = /(?:^|\/)([0-9a-f]{64})(?:\.json)?$/.exec(item.Config)?.[1];
  if (named !== undefined && named !== hex) {
    throw new FetchError(
      'FETCH_DIGEST',
      `${source}: what should be sha256:${named} is something else`,
      { remedies: ['make the archive again'] },
    );
  }
  const digest = `sha256:${hex}` as Digest;
  const descriptor = { mediaType: MEDIA_TYPES.dockerConfig, digest, size: bytes.length };
  return { bytes, descriptor };
}

/** A plain tar is named by its diff id, which the reader checks; what is compressed has to be hashed to have a name. */
async function describeLayer(
  source: string,
  files: LayoutFiles,
  file: string,
  diffId: Digest | undefined,
  signal: AbortSignal | undefined,
): Promise<Descriptor> {
  const opened = await files.open(file, { signal });
  if (opened === undefined || diffId === undefined) throw lacks(source, file);
  const size = opened.sizeBytes;
  const hash = createHash('sha256');
  let head = Buffer.alloc(0);
  for await (const chunk of opened.chunks) {
    if (head.length < HEAD_BYTES) {
      head = Buffer.concat([head, chunk.subarray(0, HEAD_BYTES - head.length)]);
      if (isPlain(head) && head.length >= HEAD_BYTES) break;
    }
    hash.update(chunk);
  }
  if (isPlain(head)) return { mediaType: MEDIA_TYPES.dockerLayer, digest: diffId, size };
  const digest = `sha256:${hash.digest('hex')}` as Digest;
  return { mediaType: MEDIA_TYPES.dockerLayerGzip, digest, size };
}

/** What is no archive at all is found out when it is read. */
function isPlain(head: Buffer): boolean {
  const compression = sniffCompression(head);
  return compression === 'none' || compression === undefined;
}

function noManifest(source: string): FetchError {
  return new FetchError(
    'FETCH_NOT_FOUND',
    `${source} is no archive of Docker images: it has no ${DOCKER_MANIFEST}`,
    { remedies: ['save it again with a version of Docker after 1.10'] },
  );
}

function lacks(source: string, file: string): FetchError {
  return new FetchError('FETCH_NOT_FOUND', `${source} lacks ${JSON.stringify(file)}`, {
    remedies: ['make the archive again: it is not whole'],
  });
}
