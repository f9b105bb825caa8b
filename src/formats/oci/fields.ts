/**
 * Fields of an OCI configuration and those of appc that mean the same, both ways. What appc cannot say is left out here; who
 * converts keeps the original aside where the way back does not lead to it. All pure.
 */
import { createHash } from 'node:crypto';
import path from 'node:path';

import { isStrictIdentifier } from '../../schema/appc.ts';

// User

export interface UserAndGroup {
  readonly user: string;
  readonly group: string;
  /** The group is the user's own in the image's /etc/passwd, which appc cannot say; `group` is then 0, as appc's tools write it. */
  readonly isOwnGroup: boolean;
}

/** config.md, "User": `user`, `uid`, `user:group`, `uid:gid` and mixtures; nothing is root. */
export function userOf(text: string | undefined): UserAndGroup {
  const [user = '', group] = splitOnce(text ?? '', ':');
  return {
    user: user === '' ? '0' : user,
    group: group === undefined || group === '' ? '0' : group,
    isOwnGroup: user !== '' && (group === undefined || group === ''),
  };
}

/** Undefined for root, and for what has no such form: the owner of a file. */
export function renderUser({ user, group, isOwnGroup }: UserAndGroup): string | undefined {
  if (user.startsWith('/') || group.startsWith('/')) return undefined;
  if (user === '0' && group === '0') return undefined;
  return isOwnGroup ? user : `${user}:${group}`;
}

// Environment

export interface Variable {
  readonly name: string;
  readonly value: string;
}

const VARIABLE = /^[A-Za-z_][A-Za-z_0-9.-]*$/;

/** The last one of a name wins, at the place of the first. What appc does not take as a name is left out. */
export function environmentOf(env: readonly string[]): readonly Variable[] {
  const variables = new Map<string, string>();
  for (const text of env) {
    const [name = '', value] = splitOnce(text, '=');
    if (value !== undefined && VARIABLE.test(name)) variables.set(name, value);
  }
  return [...variables].map(([name, value]) => ({ name, value }));
}

export function renderEnvironment(variables: readonly Variable[]): readonly string[] {
  return variables.map(({ name, value }) => `${name}=${value}`);
}

// Ports

export interface PortRange {
  readonly name: string;
  readonly protocol: string;
  readonly port: number;
  readonly count?: number | undefined;
}

const EXPOSED = /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(tcp|udp|sctp))?$/i;

/** `80`, `80/tcp`, `8000-8010/udp`. By port, then by protocol; what is no port is left out. */
export function portsOf(exposed: readonly string[]): readonly PortRange[] {
  const ports = new Map<string, PortRange>();
  for (const text of exposed) {
    const [, first = '', last = first, given = 'tcp'] = EXPOSED.exec(text) ?? [];
    const port = Number(first);
    const count = Number(last) - port + 1;
    if (first === '' || port < 1 || count < 1 || port + count > 65536) continue;
    const protocol = given.toLowerCase();
    const range = count === 1 ? String(port) : `${String(port)}-${String(port + count - 1)}`;
    const name = `${range}-${protocol}`;
    ports.set(name, { name, protocol, port, ...(count === 1 ? {} : { count }) });
  }
  return [...ports.values()].sort(
    (a, b) => a.port - b.port || (a.count ?? 1) - (b.count ?? 1) || (a.name < b.name ? -1 : 1),
  );
}

/** Undefined for a protocol that an OCI configuration does not have. */
export function renderPort(port: Omit<PortRange, 'name'>): string | undefined {
  const protocol = port.protocol.toLowerCase();
  if (!['tcp', 'udp', 'sctp'].includes(protocol)) return undefined;
  const count = port.count ?? 1;
  const last = port.port + count - 1;
  return `${count === 1 ? String(port.port) : `${String(port.port)}-${String(last)}`}/${protocol}`;
}

// Volumes

export interface NamedPath {
  readonly name: string;
  readonly path: string;
}

/** Mount points by their path, each with a name made of it. What is no absolute path, or the root itself, is left out. */
export function mountPointsOf(volumes: readonly string[]): readonly NamedPath[] {
  const paths = new Set(
    volumes
      .filter((text) => text.startsWith('/') && !text.includes('\0'))
      .map((text) => path.posix.normalize(text).replace(/(?<=.)\/$/, ''))
      .filter((text) => text !== '/'),
  );
  const points: NamedPath[] = [];
  const taken = new Set<string>();
  for (const place of [...paths].sort()) {
    const plain = nameOfPath(place);
    // The digest is of the path alone, so a name depends on nothing but which other volumes there are.
    const isPlain = plain.length <= 63 && !taken.has(plain);
    const name = isPlain ? plain : `${plain.slice(0, 46).replace(/-+$/, '')}-${shortDigest(place)}`;
    taken.add(name);
    points.push({ name, path: place });
  }
  return points;
}

/** `/var/lib/data` → `volume-var-lib-data`, as appc's converter of Docker images calls it. */
function nameOfPath(place: string): string {
  const words = place.toLowerCase().replace(/[^a-z0-9]+/g, '-');
  return `volume-${words.replace(/^-+|-+$/g, '')}`.replace(/-+$/, '');
}

function shortDigest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}

// Labels

/** What annotations of these names mean something of their own; a label of such a name must not become one. */
const RESERVED = /^(?:created|authors|homepage|documentation|appc\.io\/.*|jetpack\/.*)$/s;

export function isReserved(name: string): boolean {
  return RESERVED.test(name);
}

export type Texts = Readonly<Record<string, string>>;

/** Labels whose names appc allows are annotations, all others user labels, whose names may be anything. */
export function splitLabels(labels: Texts): {
  readonly annotations: readonly Variable[];
  readonly userLabels: Texts;
} {
  const entries = Object.entries(labels);
  const isAnnotation = (name: string) => isStrictIdentifier(name) && !isReserved(name);
  return {
    annotations: entries
      .filter(([name]) => isAnnotation(name))
      .map(([name, value]) => ({ name, value })),
    userLabels: Object.fromEntries(entries.filter(([name]) => !isAnnotation(name))),
  };
}

function splitOnce(text: string, separator: string): readonly string[] {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}
