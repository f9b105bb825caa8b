/** What a `config.json` of Docker or an `auth.json` of containers-auth.json(5) says about a place. Pure. */
import { FetchError } from '../../errors.ts';
import type { AuthEntry, DockerConfigFile } from '../../schema/registry-config.ts';
import { type Credential, normaliseKey, placesAbove } from './credential.ts';

export type ConfigAnswer =
  | { readonly kind: 'credential'; readonly credential: Credential }
  /** Ask `docker-credential-NAME` for this server. */
  | { readonly kind: 'helper'; readonly helper: string; readonly server: string }
  | undefined;

/** The entry of the place, or of the nearest one above it, under any spelling of its key. */
function findNearestEntry<T>(
  entries: Readonly<Record<string, T>> | undefined,
  places: readonly string[],
): T | undefined {
  const byPlace = new Map(
    Object.entries(entries ?? {}).map(([key, value]) => [normaliseKey(key), value]),
  );
  const place = places.find((each) => byPlace.has(each));
  return place === undefined ? undefined : byPlace.get(place);
}

/** How a helper is asked for a registry: Docker Hub has a name of its own there. */
function serverOf(host: string): string {
  return host === 'docker.io' ? 'https://index.docker.io/v1/' : host;
}

/** Undefined for an entry without content: a helper has it. Throws FETCH_CREDENTIALS. */
export function readAuthEntry(file: string, entry: AuthEntry): Credential | undefined {
  if (entry.identitytoken) return { kind: 'identity-token', token: entry.identitytoken };
  if (entry.username !== undefined && entry.username !== '' && entry.password !== undefined) {
    return { kind: 'password', user: entry.username, password: entry.password };
  }
  if (!entry.auth) return undefined;
  const text = Buffer.from(entry.auth, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (colon <= 0) {
    throw new FetchError('FETCH_CREDENTIALS', `${file}: an "auth" is not base64 of user:password`, {
      remedies: ['log in again with the program that writes this file'],
    });
  }
  // As Docker does: some writers put zeros behind it.
  const password = text.slice(colon + 1).replace(/\0+$/, '');
  return { kind: 'password', user: text.slice(0, colon), password };
}

/** `place`: `example.com/team/app`. A helper for it goes first, then what is written down, then the helper for all. */
export function findInConfig(file: string, config: DockerConfigFile, place: string): ConfigAnswer {
  const places = placesAbove(place).filter((each) => each !== '');
  const host = places.at(-1) ?? '';
  const helper = findNearestEntry(config.credHelpers, places);
  if (helper) return { kind: 'helper', helper, server: serverOf(host) };
  const byPlace = new Map<string, Credential>();
  for (const [key, entry] of Object.entries(config.auths ?? {})) {
    if (entry === null || !places.includes(normaliseKey(key))) continue;
    const credential = readAuthEntry(file, entry);
    if (credential !== undefined) byPlace.set(normaliseKey(key), credential);
  }
  const nearest = places.map((each) => byPlace.get(each)).find((found) => found !== undefined);
  if (nearest !== undefined) return { kind: 'credential', credential: nearest };
  if (config.credsStore) {
    return { kind: 'helper', helper: config.credsStore, server: serverOf(host) };
  }
  return undefined;
}
