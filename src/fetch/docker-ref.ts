/**
 * `[registry[:port]/]name[:tag][@digest]`, as Docker reads it (github.com/distribution/reference, regexp.go and
 * normalize.go): a first part without dot, colon or capital is no registry unless it is `localhost`; without a registry
 * it is docker.io, and a single name there is in `library/`; without tag and digest the tag is `latest`. Pure.
 */
import { isIPv6 } from 'node:net';

import { UsageError } from '../errors.ts';
import { type Digest, parseDigest } from '../formats/oci/model.ts';

export interface DockerRef {
  /** As people name it: `docker.io`, `example.com:5000`, `[::1]:5000`. */
  readonly registry: string;
  /** `library/alpine` */
  readonly repository: string;
  readonly tag: string | undefined;
  /** Decides over the tag, which then is for people only. */
  readonly digest: Digest | undefined;
}

export const DEFAULT_REGISTRY = 'docker.io';
const DEFAULT_TAG = 'latest';
/** distribution-spec: host, port and name together. */
const MAX_NAME_LENGTH = 255;

const DOMAIN_LABEL = '(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])';
const REGISTRY = new RegExp(
  `^(?:${DOMAIN_LABEL}(?:\\.${DOMAIN_LABEL})*|\\[([0-9a-fA-F:]+)\\])(?::([0-9]{1,5}))?$`,
);
const REPOSITORY =
  /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const TAG = /^\w[\w.-]{0,127}$/;
const SCHEME = 'docker://';

function refuse(text: string, why: string, remedies: readonly string[]): UsageError {
  return new UsageError(`${JSON.stringify(text)} names no image of a registry: ${why}`, {
    remedies,
  });
}

/** With or without `docker://` before it. Throws UsageError. */
export function parseDockerRef(text: string): DockerRef {
  const bare = text.startsWith(SCHEME) ? text.slice(SCHEME.length) : text;
  const form = 'write it like docker://alpine:3.20 or docker://example.com:5000/team/app@sha256:…';
  const at = bare.indexOf('@');
  const digestText = at < 0 ? undefined : bare.slice(at + 1);
  const digest = digestText === undefined ? undefined : parseDigest(digestText);
  if (digestText !== undefined && digest === undefined) {
    throw refuse(text, `${JSON.stringify(digestText)} is not a digest`, [
      'a digest is sha256: and 64 lower-case hex digits, or sha512: and 128',
    ]);
  }
  const named = at < 0 ? bare : bare.slice(0, at);
  if (/^[0-9a-f]{64}$/.test(named)) {
    throw refuse(text, 'a name of 64 hex digits would be taken for an id', [form]);
  }
  const { registry, rest } = splitRegistry(named);
  const colon = rest.indexOf(':');
  const tag = colon < 0 ? undefined : rest.slice(colon + 1);
  const path = colon < 0 ? rest : rest.slice(0, colon);
  if (tag !== undefined && !TAG.test(tag)) {
    throw refuse(text, `${JSON.stringify(tag)} is not a tag`, [
      'a tag has letters, digits, "_", "." and "-", at most 128, and begins with none of the last two',
    ]);
  }
  checkRegistry(text, registry);
  if (path !== path.toLowerCase() && REPOSITORY.test(path.toLowerCase())) {
    throw refuse(text, 'the name of a repository has no capital letters', [
      `write ${path.toLowerCase()}`,
    ]);
  }
  if (!REPOSITORY.test(path)) {
    throw refuse(text, `${JSON.stringify(path)} is not the name of a repository`, [form]);
  }
  const repository =
    registry === DEFAULT_REGISTRY && !path.includes('/') ? `library/${path}` : path;
  if (registry.length + 1 + repository.length > MAX_NAME_LENGTH) {
    throw refuse(text, `the name is longer than ${String(MAX_NAME_LENGTH)} characters`, [form]);
  }
  return {
    registry,
    repository,
    tag: tag ?? (digest === undefined ? DEFAULT_TAG : undefined),
    digest,
  };
}

function splitRegistry(named: string): { readonly registry: string; readonly rest: string } {
  const slash = named.indexOf('/');
  const first = slash < 0 ? '' : named.slice(0, slash);
  const isRegistry = /[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase();
  if (!isRegistry) return { registry: DEFAULT_REGISTRY, rest: named };
  const registry = first === 'index.docker.io' ? DEFAULT_REGISTRY : first;
  return { registry, rest: named.slice(slash + 1) };
}

function checkRegistry(text: string, registry: string): void {
  const [, ipv6, port] = REGISTRY.exec(registry) ?? [undefined, undefined, undefined];
  const isGood =
    REGISTRY.test(registry) &&
    (ipv6 === undefined || isIPv6(ipv6)) &&
    (port === undefined || (Number(port) >= 1 && Number(port) <= 65535));
  if (isGood) return;
  throw refuse(text, `${JSON.stringify(registry)} is not the address of a registry`, [
    'write a host, or a host and a port: example.com, example.com:5000, [2001:db8::1]:5000',
  ]);
}

/** What the registry is asked for: the digest where there is one. */
export function referenceOf(ref: DockerRef): string {
  return ref.digest ?? ref.tag ?? DEFAULT_TAG;
}

/** `docker.io/library/alpine` */
export function renderRepository(ref: Pick<DockerRef, 'registry' | 'repository'>): string {
  return `${ref.registry}/${ref.repository}`;
}

/** The whole reference, everything that was implied written out. `parseDockerRef` reads it back as the same. */
export function renderDockerRef(ref: DockerRef): string {
  const tag = ref.tag === undefined ? '' : `:${ref.tag}`;
  const digest = ref.digest === undefined ? '' : `@${ref.digest}`;
  return `${renderRepository(ref)}${tag}${digest}`;
}

/** The groups of an IPv6 address, `::` and an IPv4 tail written out. */
function ipv6Groups(address: string): readonly string[] {
  const groups = (text: string) => (text === '' ? [] : text.split(':'));
  const [head = '', tail] = address.toLowerCase().split('::');
  const left = groups(head);
  const right = groups(tail ?? '');
  const zeros = Array.from({ length: tail === undefined ? 0 : 8 - left.length - right.length });
  return [...left, ...zeros.map(() => '0'), ...right].map((group) =>
    Number.parseInt(group, 16).toString(16),
  );
}

/**
 * What an AC identifier cannot hold, in letters, so that no two names become the same: `_` is `~`, a run of it `~uN~`, a run
 * of `-` `~hN~` with the length N. (A single `_` before what would then look like such a run is `~u1~`.)
 */
function escapeSeparators(text: string): string {
  return text.replace(
    /(_+|--+)([a-z0-9]*)/g,
    (_whole: string, run: string, next: string): string => {
      if (run === '_' && !/^[uh][0-9]+$/.test(next)) return `~${next}`;
      return `~${run.startsWith('_') ? 'u' : 'h'}${String(run.length)}~${next}`;
    },
  );
}

/**
 * The name of the image as appc writes names (spec/types.md, AC Identifier Type): `docker.io/library/alpine`,
 * `localhost~5000/my~app` for `localhost:5000/my_app`. Two repositories never get the same one: prefixes of keys are matched
 * against it. Capitals of a host are its lower-case letters, as for DNS.
 */
export function toAppcName(ref: Pick<DockerRef, 'registry' | 'repository'>): string {
  const [, ipv6, port] = REGISTRY.exec(ref.registry) ?? [undefined, undefined, undefined];
  const withPort = port === undefined ? '' : `~${port}`;
  const host =
    ipv6 === undefined
      ? escapeSeparators(ref.registry.toLowerCase().replace(/:\d+$/, ''))
      : `${ipv6Groups(ipv6).join('-')}~ip6`;
  return `${host}${withPort}/${escapeSeparators(ref.repository)}`;
}
