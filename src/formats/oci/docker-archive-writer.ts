/**
 * An archive as `docker save` writes it, for `docker load` of every age: `manifest.json` names the configuration and the layers,
 * plain tars, and for the oldest there is `repositories` and a folder for each layer.
 */
import { createHash } from 'node:crypto';

import { type OciImageConfig, parseImageConfig } from '../../schema/oci.ts';
import { canonicalJson } from '../canonical-json.ts';
import type { TarContent } from '../tar/writer.ts';
import {
  checked,
  fileMember,
  folderMember,
  smallFile,
  type WritableImage,
} from './layout-writer.ts';
import { hexOf } from './model.ts';

export interface DockerName {
  /** `docker.io/library/alpine` */
  readonly repository: string;
  readonly tag: string;
}

/** Bytes whose size has to be known before they are written. */
export interface SizedBytes {
  readonly sizeBytes: number;
  read(): AsyncIterable<Uint8Array>;
  close(): Promise<void>;
}

/** For writeTar. `measure` keeps a layer's tar until it is written; one at a time. Throws IMAGE_DAMAGED. */
export async function* dockerArchiveContents(
  image: WritableImage,
  name: DockerName | undefined,
  measure: (chunks: AsyncIterable<Uint8Array>) => Promise<SizedBytes>,
): AsyncGenerator<TarContent, void, undefined> {
  const config = parseImageConfig(image.config.bytes, image.layers.length);
  const ids = layerIds(image);
  for (const [i, layer] of image.layers.entries()) {
    const id = ids[i] ?? '';
    yield { member: folderMember(id) };
    yield smallFile(`${id}/VERSION`, Buffer.from('1.0'));
    yield smallFile(`${id}/json`, describeLayer(config, ids, i));
    const tar = await measure(checked(layer.openTar(), { digest: layer.diffId }));
    try {
      yield { member: fileMember(`${id}/layer.tar`, tar.sizeBytes), content: () => tar.read() };
    } finally {
      await tar.close();
    }
  }
  const bytes = Buffer.from(image.config.bytes);
  const configFile = `${createHash('sha256').update(bytes).digest('hex')}.json`;
  yield smallFile(configFile, bytes);
  const item = {
    Config: configFile,
    RepoTags: name === undefined ? null : [`${name.repository}:${name.tag}`],
    Layers: ids.map((id) => `${id}/layer.tar`),
  };
  yield smallFile('manifest.json', Buffer.from(canonicalJson([item])));
  const top = ids.at(-1);
  if (name === undefined || top === undefined) return;
  const repositories = { [name.repository]: { [name.tag]: top } };
  yield smallFile('repositories', Buffer.from(canonicalJson(repositories)));
}

/** Names for the layers, of what is in them and below them: two layers of the same content are two folders. */
function layerIds(image: WritableImage): readonly string[] {
  const ids: string[] = [];
  for (const { diffId } of image.layers) {
    const below = ids.at(-1) ?? '';
    ids.push(
      createHash('sha256')
        .update(`${below} ${hexOf(diffId)}`)
        .digest('hex'),
    );
  }
  return ids;
}

/** What Docker knew of a layer before version 1.10. */
function describeLayer(config: OciImageConfig, ids: readonly string[], index: number): Buffer {
  const { os, architecture, created, config: run } = config;
  const parent = ids[index - 1];
  const isTop = index === ids.length - 1;
  return Buffer.from(
    canonicalJson({
      id: ids[index],
      ...(parent === undefined ? {} : { parent }),
      created: created ?? '1970-01-01T00:00:00Z',
      os,
      ...(isTop ? { architecture, config: run ?? {} } : {}),
    }),
  );
}
