/**
 * An image manifest of appc as the configuration of an OCI image: for one that was converted by to-appc.ts the same as it was,
 * but for what has been changed since. What an OCI configuration cannot say is told, never dropped in silence.
 */
import { parseImageConfig, type OciImageConfig } from '../../schema/oci.ts';
import { type App, isRecord } from '../../schema/appc.ts';
import type { ImageManifest } from '../../schema/image-manifest.ts';
import { platformOf } from '../../schema/platform.ts';
import { canonicalJson, isSameJson } from '../canonical-json.ts';
import { DOCKER, JETPACK, OCI } from './annotations.ts';
import {
  environmentOf,
  isReserved,
  mountPointsOf,
  portsOf,
  renderEnvironment,
  renderPort,
  renderUser,
  userOf,
} from './fields.ts';
import type { Digest, Platform } from './model.ts';
import { appcArchitecture, platformOfAppc } from './platform.ts';
import { isEmpty, setOf } from './to-appc.ts';

export interface ConvertedConfig {
  readonly config: OciImageConfig;
  /** Canonical. */
  readonly bytes: Buffer;
  /** What the configuration has no place for, for people. */
  readonly lost: readonly string[];
}

export interface FromAppcOptions {
  /** Of the layers of the new image. Default: those that the manifest names. */
  readonly diffIds?: readonly Digest[];
  /** The layers are others than those that the history tells of: one line instead. */
  readonly history?: readonly Readonly<Record<string, unknown>>[];
  /** For an image that says no platform: a configuration has to. */
  readonly fallback: Platform;
}

/** Throws ManifestError when the annotations do not hold what to-appc.ts has put there. */
export function fromAppc(manifest: ImageManifest, options: FromAppcOptions): ConvertedConfig {
  const aside = new Aside(manifest);
  const app: App = manifest.app ?? { user: '0', group: '0' };
  const config = compact({
    ...aside.record(OCI.unknown),
    created: aside.text('created') ?? aside.json(OCI.created),
    author: aside.text('authors'),
    'os.version': aside.json(OCI.osVersion),
    'os.features': aside.json(OCI.osFeatures),
    config: compact(runFields(app, manifest, aside)),
    history: options.history ?? aside.json(OCI.history),
  });
  const rootfs = aside.record(OCI.unknown)['rootfs'];
  const bytes = Buffer.from(
    canonicalJson({
      ...config,
      ...platformFields(manifest, aside, options.fallback),
      rootfs: {
        ...(isRecord(rootfs) ? rootfs : {}),
        type: 'layers',
        diff_ids: options.diffIds ?? aside.json(OCI.diffIds) ?? [],
      },
    }),
  );
  return { config: parseImageConfig(bytes), bytes, lost: lostOf(manifest, app) };
}

function platformFields(manifest: ImageManifest, aside: Aside, fallback: Platform) {
  const labels = platformOf(manifest.labels);
  const original = aside.record(OCI.platform);
  if (typeof original['os'] === 'string' && typeof original['architecture'] === 'string') {
    // Kept for what appc has no word for; the labels may have been changed since, and count more.
    const { os, architecture, variant } = original;
    const told = { os, architecture, ...(typeof variant === 'string' ? { variant } : {}) };
    const { os: labelOs = '', arch: labelArch = '' } = labels;
    if (os === labelOs && appcArchitecture(told) === labelArch) return told;
  }
  const { os, architecture, variant } = platformOfAppc(labels);
  return {
    os: os === '' ? fallback.os : os,
    ...(architecture === ''
      ? {
          architecture: fallback.architecture,
          ...(fallback.variant === undefined ? {} : { variant: fallback.variant }),
        }
      : { architecture, ...(variant === undefined ? {} : { variant }) }),
  };
}

function runFields(app: App, manifest: ImageManifest, aside: Aside) {
  const isOwnGroup = aside.text(JETPACK.ownGroup) === 'true' && app.group === '0';
  const user = { user: app.user, group: app.group, isOwnGroup };
  const environment = app.environment ?? [];
  const ports = (app.ports ?? []).map(({ name, protocol, port, count }) => ({
    name: String(name),
    protocol,
    port,
    ...(count === undefined || count === 1 ? {} : { count }),
  }));
  const points = (app.mountPoints ?? []).map(({ name, path }) => ({ name: String(name), path }));
  return {
    ...aside.record(OCI.unknownConfig),
    ...commandOf(app, aside),
    User: aside.original(
      OCI.user,
      (text) => isSameJson(userOf(asText(text)), user),
      () => renderUser(user),
    ),
    Env: aside.original(
      OCI.env,
      (list) => isSameJson(environmentOf(asTexts(list)), environment),
      () => renderEnvironment(environment),
    ),
    ExposedPorts: aside.original(
      OCI.exposedPorts,
      (set) => isSameJson(portsOf(asNames(set)), ports),
      () => setOf(ports.map(renderPort)),
    ),
    Volumes: aside.original(
      OCI.volumes,
      (set) => isSameJson(mountPointsOf(asNames(set)), points),
      () => setOf(points.map(({ path }) => path)),
    ),
    WorkingDir: aside.original(
      OCI.workingDir,
      (text) => `/${asText(text) ?? ''}` === app.workingDirectory,
      () => app.workingDirectory,
    ),
    Labels: labelsOf(app, manifest, aside),
    StopSignal: aside.text(JETPACK.stopSignal) ?? aside.json(OCI.stopSignal),
    Healthcheck: aside.json(OCI.healthcheck),
    Shell: aside.json(OCI.shell),
    OnBuild: aside.json(OCI.onBuild),
    ArgsEscaped: aside.json(OCI.argsEscaped),
    StopTimeout: aside.json(OCI.stopTimeout),
  };
}

/** Both parts, unless the command is no longer the one that they made. */
function commandOf(app: App, aside: Aside) {
  const entrypoint = asTexts(aside.json(DOCKER.entrypoint));
  const cmd = asTexts(aside.json(DOCKER.cmd));
  const exec = app.exec ?? [];
  return isSameJson([...entrypoint, ...cmd], exec)
    ? { Entrypoint: entrypoint, Cmd: cmd }
    : { Entrypoint: exec };
}

const LINKS = new Map([
  ['homepage', 'org.opencontainers.image.url'],
  ['documentation', 'org.opencontainers.image.documentation'],
]);

function labelsOf(app: App, manifest: ImageManifest, aside: Aside) {
  const labels = new Map<string, string>();
  for (const { name, value } of manifest.annotations ?? []) {
    const label = LINKS.get(name) ?? (isReserved(name) ? undefined : String(name));
    if (label !== undefined) labels.set(label, value);
  }
  for (const [name, value] of Object.entries(app.userLabels ?? {})) labels.set(name, value);
  const version = manifest.labels?.find(({ name }) => String(name) === 'version')?.value;
  const label = 'org.opencontainers.image.version';
  // Of an OCI image the version is its tag, which is no part of the configuration.
  if (version !== undefined && !aside.isOci && !labels.has(label)) labels.set(label, version);
  return Object.fromEntries(labels);
}

function lostOf({ labels = [] }: ImageManifest, app: App): readonly string[] {
  const lost: string[] = [];
  const some = (what: string, list: readonly unknown[] | undefined): void => {
    if (list !== undefined && list.length > 0) lost.push(what);
  };
  const known = new Set(['version', 'os', 'arch']);
  some(
    'labels other than version, os and arch',
    labels.filter(({ name }) => !known.has(name)),
  );
  some('event handlers', app.eventHandlers);
  some('isolators', app.isolators);
  some('supplementary groups', app.supplementaryGIDs);
  some('user annotations', Object.keys(app.userAnnotations ?? {}));
  const hasPath = app.user.startsWith('/') || app.group.startsWith('/');
  if (hasPath) lost.push('a user or group that is told by the owner of a file');
  some(
    'ports of other protocols than tcp, udp and sctp',
    (app.ports ?? []).filter((port) => renderPort(port) === undefined),
  );
  some(
    'sockets that are passed to the app',
    (app.ports ?? []).filter((port) => port.socketActivated === true),
  );
  some(
    'that volumes are read-only',
    (app.mountPoints ?? []).filter((point) => point.readOnly === true),
  );
  return lost;
}

/** The annotations of a manifest, as what was kept aside in them. */
class Aside {
  readonly #texts: ReadonlyMap<string, string>;

  constructor({ annotations = [] }: ImageManifest) {
    this.#texts = new Map(annotations.map(({ name, value }) => [String(name), value]));
  }

  /** Whether the manifest was made from an OCI configuration. */
  get isOci(): boolean {
    return this.#texts.has(OCI.configDigest);
  }

  text(name: string): string | undefined {
    return this.#texts.get(name);
  }

  json(name: string): unknown {
    const text = this.#texts.get(name);
    if (text === undefined) return undefined;
    try {
      return JSON.parse(text) as unknown;
    } catch {
      // Not ours: the same as not there.
      return undefined;
    }
  }

  record(name: string): Readonly<Record<string, unknown>> {
    const value = this.json(name);
    return isRecord(value) ? value : {};
  }

  /** What was kept, as long as it still means what the manifest says. */
  original(name: string, isStill: (value: unknown) => boolean, render: () => unknown): unknown {
    const value = this.json(name);
    return value !== undefined && isStill(value) ? value : render();
  }
}

function compact(fields: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => !isEmpty(value)));
}

function asText(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function asTexts(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}

function asNames(value: unknown): readonly string[] {
  return isRecord(value) ? Object.keys(value) : [];
}
