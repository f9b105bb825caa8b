/** `registries.d`: how registries are reached. A file per registry; a later folder goes over an earlier one. */
import { readFileSync } from 'node:fs';
import path from 'node:path';

import { errnoOf, HostError, ManifestError } from '../../errors.ts';
import { parseBySchema } from '../../schema/appc.ts';
import { RegistryFile } from '../../schema/registry-config.ts';
import { normaliseKey } from '../auth/credential.ts';
import { DEFAULT_REGISTRY } from '../docker-ref.ts';
import { listFiles } from '../files/list-files.ts';
import { isLoopbackHost } from './loopback.ts';

/** Docker Hub's API is not where its name says. */
const HUB_API = 'registry-1.docker.io';

/** Where a registry, or what stands in for it, is. */
export interface Endpoint {
  /** With the scheme; without a path. */
  readonly origin: URL;
  /** What goes before the name of the repository there: `docker-hub/`; mostly nothing. */
  readonly prefix: string;
  /** For credentials: `docker.io`, `mirror.example.com/docker-hub`. */
  readonly place: string;
  readonly isMirror: boolean;
  /** Nobody has configured it: TLS is tried first, and where there is none, it is done without. */
  readonly mayLackTls: boolean;
}

export interface RegistrySettings {
  /** Mirrors in their order, then the registry itself. `host[:port]` */
  endpointsOf(registry: string): readonly Endpoint[];
  /** What was configured for a host, however we came to it; undefined: nothing. */
  find(host: string): RegistryFile | undefined;
  /** Whether http is allowed to this host. */
  isPlainHttpAllowed(url: URL): boolean;
}

function invalid(message: string, remedies: readonly string[], cause?: unknown): HostError {
  return new HostError('CONFIG_INVALID', message, { remedies, cause });
}

const REMEDY = 'what belongs into it: docs/registries.md';

function readFile(file: string): RegistryFile {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    throw invalid(`cannot read ${file}: ${errnoOf(cause) ?? String(cause)}`, [], cause);
  }
  let parsed: RegistryFile;
  try {
    parsed = parseBySchema(RegistryFile, file, text);
  } catch (error) {
    if (error instanceof ManifestError) throw invalid(error.message, [REMEDY], error);
    throw error;
  }
  if ((parsed.cert === undefined) !== (parsed.key === undefined)) {
    throw invalid(`${file}: cert and key are only of use together`, [REMEDY]);
  }
  if (parsed.plainHttp === true && (parsed.insecureTls ?? parsed.ca ?? parsed.cert) !== undefined) {
    throw invalid(`${file}: plainHttp is without TLS, but ca, cert or insecureTls are there too`, [
      REMEDY,
    ]);
  }
  return parsed;
}

/** By registry. Throws CONFIG_INVALID. */
function readFolder(folder: string): ReadonlyMap<string, RegistryFile> {
  const found = new Map<string, RegistryFile>();
  const files = new Map<string, string>();
  for (const name of listFiles(folder).filter((each) => each.endsWith('.json'))) {
    const file = path.join(folder, name);
    const parsed = readFile(file);
    const registry = normaliseKey(parsed.registry);
    const earlier = files.get(registry);
    if (earlier !== undefined) {
      throw invalid(`${file}: ${registry} is configured in ${earlier} already`, [
        'a registry has one file in a folder; /etc goes over /usr/lib',
      ]);
    }
    found.set(registry, parsed);
    files.set(registry, file);
  }
  return found;
}

function mirrorEndpoint(text: string): Endpoint {
  const url = new URL(text);
  const prefix = url.pathname.replace(/^\/+|\/+$/g, '');
  return {
    origin: new URL(url.origin),
    prefix: prefix === '' ? '' : `${prefix}/`,
    place: prefix === '' ? url.host : `${url.host}/${prefix}`,
    isMirror: true,
    mayLackTls: false,
  };
}

/** Throws CONFIG_INVALID. */
export function readRegistrySettings(folders: readonly string[]): RegistrySettings {
  const files = new Map(folders.flatMap((folder) => [...readFolder(folder)]));
  const plainMirrors = new Set(
    [...files.values()]
      .flatMap((file) => file.mirrors ?? [])
      .map((mirror) => new URL(mirror))
      .filter((url) => url.protocol === 'http:')
      .map((url) => url.host),
  );
  const find = (host: string) => files.get(normaliseKey(host));
  return {
    find,
    endpointsOf(registry) {
      const settings = find(registry);
      const plainHttp = settings?.plainHttp === true;
      const host = registry === DEFAULT_REGISTRY ? HUB_API : registry;
      const origin = new URL(`${plainHttp ? 'http' : 'https'}://${host}`);
      const own: Endpoint = {
        origin,
        prefix: '',
        place: registry,
        isMirror: false,
        mayLackTls: settings?.plainHttp === undefined && isLoopbackHost(origin.hostname),
      };
      return [...(settings?.mirrors ?? []).map(mirrorEndpoint), own];
    },
    isPlainHttpAllowed(url) {
      return (
        isLoopbackHost(url.hostname) ||
        find(url.host)?.plainHttp === true ||
        plainMirrors.has(url.host)
      );
    },
  };
}
