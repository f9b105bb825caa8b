/** Who we are at a registry. Never part of a message. */

export type Credential =
  | { readonly kind: 'password'; readonly user: string; readonly password: string }
  | { readonly kind: 'identity-token'; readonly token: string };

/** For messages. */
export function userOf(credential: Credential): string {
  return credential.kind === 'password' ? credential.user : '<token>';
}

export function basicHeader(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`, 'utf8').toString('base64')}`;
}

/** The hosts that are Docker Hub by another name. */
const HUB = new Set(['docker.io', 'index.docker.io', 'registry-1.docker.io']);

/**
 * A registry or a place below it as the key of a file says it (`https://index.docker.io/v1/`, `example.com/team`) in one
 * spelling: `docker.io`, `example.com/team`.
 */
export function normaliseKey(key: string): string {
  const bare = key
    .replace(/^https?:\/\//, '')
    .replace(/\/+$/, '')
    .replace(/\/v[12]$/, '');
  const slash = bare.indexOf('/');
  const host = (slash < 0 ? bare : bare.slice(0, slash)).toLowerCase();
  return `${HUB.has(host) ? 'docker.io' : host}${slash < 0 ? '' : bare.slice(slash)}`;
}

/** `example.com/a/b` → itself, `example.com/a`, `example.com`: the first that has something is taken. */
export function placesAbove(place: string): readonly string[] {
  const parts = normaliseKey(place).split('/');
  return parts.map((_, index) => parts.slice(0, parts.length - index).join('/'));
}
