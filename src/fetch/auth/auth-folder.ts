/**
 * `auth.d`: files of the kinds that rkt has, dockerAuth for registries and auth for downloads over https. `rktKind` and
 * `rktVersion` may be spelled jetpackKind and jetpackVersion. Only `*.json` counts, sub-folders do not; a place twice in one
 * folder is an error; a later folder (local) goes over an earlier one (system).
 */
import path from 'node:path';

import { FetchError } from '../../errors.ts';
import { isRecord, parseBySchema } from '../../schema/appc.ts';
import { BasicAuthFile, DockerAuthFile, OauthAuthFile } from '../../schema/registry-config.ts';
import { type Credential, normaliseKey } from './credential.ts';
import { listFiles } from '../files/list-files.ts';
import { credentialsFault, readSecretJson } from './secret-file.ts';

export interface AuthFolders {
  /** By place: `example.com`, `example.com/team`. */
  readonly registries: ReadonlyMap<string, Credential>;
  /** By domain: the whole header Authorization for downloads over https. */
  readonly domains: ReadonlyMap<string, string>;
}

interface Entry {
  readonly kind: 'registries' | 'domains';
  readonly place: string;
  readonly value: Credential | string;
}

const KINDS = 'dockerAuth (registries) and auth (domains)';

function wrong(file: string, why: string, remedies: readonly string[]): FetchError {
  return new FetchError('FETCH_CREDENTIALS', `${file}: ${why}`, {
    remedies: [...remedies, 'what belongs into it: docs/registries.md'],
  });
}

/** `rktKind` and `jetpackKind` are `kind`. */
function withOneSpelling(value: unknown): unknown {
  if (!isRecord(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, field]) => [
      key.replace(/^(?:rkt|jetpack)(Kind|Version)$/, (_whole, word: string) => word.toLowerCase()),
      field,
    ]),
  );
}

/** `file` is for messages. Throws FETCH_CREDENTIALS, ManifestError. */
function parseEntries(file: string, value: unknown): readonly Entry[] {
  const tidy = withOneSpelling(value);
  const kind = isRecord(tidy) ? tidy['kind'] : undefined;
  if (kind === 'dockerAuth') {
    const { registries, credentials } = parseBySchema(DockerAuthFile, file, tidy);
    const credential: Credential = { kind: 'password', ...credentials };
    return registries.map((name) => ({
      kind: 'registries',
      place: normaliseKey(name),
      value: credential,
    }));
  }
  if (kind !== 'auth')
    throw wrong(file, 'its rktKind is none that is known', [`there are ${KINDS}`]);
  const type = isRecord(tidy) ? tidy['type'] : undefined;
  if (type === 'basic') {
    const { domains, credentials } = parseBySchema(BasicAuthFile, file, tidy);
    const login = Buffer.from(`${credentials.user}:${credentials.password}`).toString('base64');
    return domains.map((place) => ({ kind: 'domains', place, value: `Basic ${login}` }));
  }
  if (type === 'oauth') {
    const { domains, credentials } = parseBySchema(OauthAuthFile, file, tidy);
    return domains.map((place) => ({
      kind: 'domains',
      place,
      value: `Bearer ${credentials.token}`,
    }));
  }
  throw wrong(file, 'its type is none that is known', ['there are basic and oauth']);
}

function readFolder(folder: string, warn: (message: string) => void): readonly Entry[] {
  const origins = new Map<string, string>();
  return listFiles(folder)
    .filter((name) => name.endsWith('.json'))
    .flatMap((name) => {
      const file = path.join(folder, name);
      const content = readSecretJson(file);
      if (content === undefined) return [];
      if (content.isWorldReadable) {
        warn(`${file} has secrets and everybody may read it: chmod 0600 ${file}`);
      }
      let entries: readonly Entry[];
      try {
        entries = parseEntries(file, content.value);
      } catch (error) {
        throw credentialsFault(error);
      }
      for (const { kind, place } of entries) {
        const earlier = origins.get(`${kind} ${place}`);
        if (earlier !== undefined) {
          throw wrong(file, `there are credentials for ${place} in ${earlier} already`, [
            'a place has one file in a folder; /etc goes over /usr/lib',
          ]);
        }
        origins.set(`${kind} ${place}`, file);
      }
      return entries;
    });
}

/** Throws FETCH_CREDENTIALS. */
export function readAuthFolders(
  folders: readonly string[],
  warn: (message: string) => void,
): AuthFolders {
  const registries = new Map<string, Credential>();
  const domains = new Map<string, string>();
  for (const { place, value } of folders.flatMap((folder) => readFolder(folder, warn))) {
    if (typeof value === 'string') domains.set(place, value);
    else registries.set(place, value);
  }
  return { registries, domains };
}
