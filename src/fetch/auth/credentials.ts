/**
 * Who we are at a registry, looked up in this order: auth.d (local over system), $REGISTRY_AUTH_FILE,
 * $XDG_RUNTIME_DIR/containers/auth.json, /run/containers/0/auth.json, and Docker's config.json ($DOCKER_CONFIG or
 * ~/.docker). The first that has something for the place, or for one above it, is taken.
 */
import path from 'node:path';

import { parseBySchema } from '../../schema/appc.ts';
import { DockerConfigFile } from '../../schema/registry-config.ts';
import { readAuthFolders } from './auth-folder.ts';
import { askHelper } from './credential-helper.ts';
import { type Credential, placesAbove } from './credential.ts';
import { findInConfig } from './docker-config.ts';
import type { FetchPorts } from '../ports.ts';
import { credentialsFault, readSecretJson } from './secret-file.ts';

export interface Credentials {
  /** `place`: `example.com:5000/team/app`. Throws FETCH_CREDENTIALS. */
  find(place: string): Promise<Credential | undefined>;
}

export function configFiles({
  environment,
  homeDir,
}: Pick<FetchPorts, 'environment' | 'homeDir'>): readonly string[] {
  const below = (folder: string | undefined, ...parts: readonly string[]) =>
    folder === undefined || !path.isAbsolute(folder) ? [] : [path.join(folder, ...parts)];
  const dockerDir =
    environment['DOCKER_CONFIG'] ||
    (homeDir === undefined ? undefined : path.join(homeDir, '.docker'));
  return [
    ...below(environment['REGISTRY_AUTH_FILE']),
    ...below(environment['XDG_RUNTIME_DIR'], 'containers', 'auth.json'),
    '/run/containers/0/auth.json',
    ...below(dockerDir, 'config.json'),
  ];
}

/** Every file is read once. */
export function createCredentials(ports: FetchPorts): Credentials {
  let folders: ReadonlyMap<string, Credential> | undefined;
  const configs = new Map<string, DockerConfigFile | undefined>();
  const answers = new Map<string, Promise<Credential | undefined>>();

  const readConfig = (file: string): DockerConfigFile | undefined => {
    if (configs.has(file)) return configs.get(file);
    const content = readSecretJson(file);
    let config: DockerConfigFile | undefined;
    if (content !== undefined) {
      try {
        config = parseBySchema(DockerConfigFile, file, content.value);
      } catch (error) {
        throw credentialsFault(error);
      }
      if (content.isWorldReadable && Object.values(config.auths ?? {}).some(hasSecret)) {
        ports.warn(`${file} has secrets and everybody may read it: chmod 0600 ${file}`);
      }
    }
    configs.set(file, config);
    return config;
  };

  const look = async (place: string): Promise<Credential | undefined> => {
    folders ??= readAuthFolders(ports.folders.auth, ports.warn).registries;
    for (const each of placesAbove(place)) {
      const credential = folders.get(each);
      if (credential !== undefined) return credential;
    }
    for (const file of configFiles(ports)) {
      const config = readConfig(file);
      const answer = config === undefined ? undefined : findInConfig(file, config, place);
      if (answer?.kind === 'credential') return answer.credential;
      const fromHelper = answer === undefined ? undefined : await askHelper(ports, file, answer);
      if (fromHelper !== undefined) return fromHelper;
    }
    return undefined;
  };

  return {
    find(place) {
      let answer = answers.get(place);
      if (answer === undefined) {
        answer = look(place);
        answers.set(place, answer);
      }
      return answer;
    },
  };
}

function hasSecret(entry: unknown): boolean {
  return (
    typeof entry === 'object' &&
    entry !== null &&
    ['auth', 'password', 'identitytoken'].some((name) => Object.hasOwn(entry, name))
  );
}
