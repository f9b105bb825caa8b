/**
 * The configuration of an OCI image as an image manifest of appc, without loss: what appc has no field for is kept in
 * annotations, so that from-appc.ts leads back to the same configuration. The bytes are a function of the arguments alone,
 * because the image id is made of them (docs/adr/0010-ids-of-oci-images.md).
 */
import { isRecord, isStrictIdentifier } from '../../schema/appc.ts';
import { type ImageManifest, parseImageManifest } from '../../schema/image-manifest.ts';
import type { OciImageConfig, OciRuntimeConfig } from '../../schema/oci.ts';
import { canonicalJson, isSameJson } from '../canonical-json.ts';
import { byteTextOf, displayName } from '../tar/names.ts';
import { DOCKER, JETPACK, OCI } from './annotations.ts';
import {
  environmentOf,
  mountPointsOf,
  portsOf,
  renderEnvironment,
  renderPort,
  renderUser,
  splitLabels,
  userOf,
} from './fields.ts';
import type { Digest } from './model.ts';
import { appcArchitecture, platformOfAppc } from './platform.ts';

export interface OciNames {
  /** An AC identifier. */
  readonly name: string;
  /** The label version: the tag. */
  readonly version: string | undefined;
  /** Where it comes from, if that is a registry. */
  readonly origin:
    | { readonly registry: string; readonly repository: string; readonly tag: string | undefined }
    | undefined;
}

export interface ConvertedImage {
  readonly manifest: ImageManifest;
  /** Canonical. */
  readonly bytes: Buffer;
  /** What is kept but without an effect, for people. */
  readonly warnings: readonly string[];
}

const AC_VERSION = '0.8.11';

/** Fields that are converted one by one; all others are kept together. */
const KNOWN = new Set([
  'created',
  'author',
  'architecture',
  'os',
  'variant',
  'os.version',
  'os.features',
  'config',
  'rootfs',
  'history',
]);
const KNOWN_CONFIG = new Set([
  'User',
  'ExposedPorts',
  'Env',
  'Entrypoint',
  'Cmd',
  'Volumes',
  'WorkingDir',
  'Labels',
  'StopSignal',
  'Healthcheck',
  'Shell',
  'OnBuild',
  'ArgsEscaped',
  'StopTimeout',
]);

/** Whether there is such a signal is for the host to say that runs it; here it is about the form. */
const SIGNAL = /^(?:[1-9]\d?|(?:SIG)?[A-Z][A-Z0-9]*(?:[+-]\d{1,2})?)$/;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/;

/** Throws ManifestError when the configuration says what no manifest can hold. */
export function toAppc(
  config: OciImageConfig,
  configDigest: Digest,
  names: OciNames,
): ConvertedImage {
  const run = config.config ?? {};
  const annotations = new Map<string, string>();
  const labels = splitLabels(run.Labels ?? {});
  for (const { name, value } of labels.annotations) annotations.set(name, value);
  keepOrigin(annotations, configDigest, names);
  keepWhole(annotations, config, run);
  const manifest = {
    acKind: 'ImageManifest',
    acVersion: AC_VERSION,
    name: names.name,
    labels: labelsOf(config, names, annotations),
    app: {
      ...appOf(run, annotations),
      ...(Object.keys(labels.userLabels).length === 0 ? {} : { userLabels: labels.userLabels }),
    },
    annotations: [...annotations]
      .map(([name, value]) => ({ name, value }))
      .sort((a, b) => (a.name < b.name ? -1 : 1)),
  };
  const bytes = Buffer.from(canonicalJson(manifest));
  return { manifest: parseImageManifest(bytes).manifest, bytes, warnings: warningsOf(run) };
}

/** An AC identifier of any text, for what has no name of its own. */
export function nameFromText(text: string): string {
  const name = text
    .toLowerCase()
    .replace(/[^a-z0-9._~/-]+/g, '-')
    .replace(/[-._~/]+/g, (run) => (run.includes('/') ? '/' : (run[0] ?? '')))
    .replace(/^[-._~/]+|[-._~/]+$/g, '');
  return isStrictIdentifier(name) ? name : 'image';
}

type Kept = Map<string, string>;

function keepOrigin(kept: Kept, configDigest: Digest, { origin }: OciNames): void {
  kept.set(DOCKER.imageId, configDigest);
  kept.set(OCI.configDigest, configDigest);
  if (origin === undefined) return;
  const { registry, repository, tag } = origin;
  kept.set(DOCKER.registry, registry);
  kept.set(DOCKER.repository, repository);
  if (tag !== undefined) kept.set(DOCKER.tag, tag);
  const tagged = tag === undefined ? '' : `:${tag}`;
  kept.set(DOCKER.originalName, `${registry}/${repository}${tagged}`);
}

/** Fields that appc has nothing like. */
function keepWhole(kept: Kept, config: OciImageConfig, run: OciRuntimeConfig): void {
  keep(kept, OCI.diffIds, config.rootfs.diff_ids);
  keep(kept, OCI.history, config.history);
  keep(kept, OCI.osVersion, config['os.version']);
  keep(kept, OCI.osFeatures, config['os.features']);
  keep(kept, OCI.healthcheck, run.Healthcheck);
  keep(kept, OCI.shell, run['Shell']);
  keep(kept, OCI.onBuild, run['OnBuild']);
  keep(kept, OCI.argsEscaped, run['ArgsEscaped']);
  keep(kept, OCI.stopTimeout, run['StopTimeout']);
  const rootfs = without(config.rootfs, new Set(['type', 'diff_ids']));
  const unknown = { ...without(config, KNOWN), ...(isEmpty(rootfs) ? {} : { rootfs }) };
  keep(kept, OCI.unknown, unknown);
  keep(kept, OCI.unknownConfig, without(run, KNOWN_CONFIG));
  keep(kept, DOCKER.entrypoint, run.Entrypoint);
  keep(kept, DOCKER.cmd, run.Cmd);
  if (config.author !== undefined && config.author !== '') kept.set('authors', config.author);
  const { created } = config;
  if (created === undefined || created === '') return;
  if (TIME.test(created) && !Number.isNaN(Date.parse(created))) kept.set('created', created);
  else keep(kept, OCI.created, created);
}

function labelsOf(config: OciImageConfig, { version }: OciNames, kept: Kept) {
  const { os, architecture, variant } = config;
  const platform = { os, architecture, ...(variant === undefined ? {} : { variant }) };
  const arch = appcArchitecture(platform);
  const isWhole = os !== '' && arch !== '' && isSameJson(platformOfAppc({ os, arch }), platform);
  if (!isWhole) keep(kept, OCI.platform, platform);
  return [
    ...(arch === '' ? [] : [{ name: 'arch', value: arch }]),
    ...(os === '' ? [] : [{ name: 'os', value: os }]),
    ...(version === undefined ? [] : [{ name: 'version', value: version }]),
  ];
}

function appOf(run: OciRuntimeConfig, kept: Kept) {
  const exec = [...(run.Entrypoint ?? []), ...(run.Cmd ?? [])];
  const user = userOf(run.User);
  keepUnlessSame(kept, OCI.user, run.User, renderUser(user));
  if (user.isOwnGroup) kept.set(JETPACK.ownGroup, 'true');
  const environment = environmentOf(run.Env ?? []);
  keepUnlessSame(kept, OCI.env, run.Env, renderEnvironment(environment));
  const exposed = Object.keys(run.ExposedPorts ?? {});
  const ports = portsOf(exposed);
  keepUnlessSame(kept, OCI.exposedPorts, run.ExposedPorts, setOf(ports.map(renderPort)));
  const mountPoints = mountPointsOf(Object.keys(run.Volumes ?? {}));
  keepUnlessSame(kept, OCI.volumes, run.Volumes, setOf(mountPoints.map(({ path }) => path)));
  const workingDirectory = workingDirectoryOf(run.WorkingDir);
  keepUnlessSame(kept, OCI.workingDir, run.WorkingDir, workingDirectory);
  const { StopSignal: stopSignal } = run;
  if (stopSignal !== undefined && SIGNAL.test(stopSignal)) {
    kept.set(JETPACK.stopSignal, stopSignal);
  } else keep(kept, OCI.stopSignal, stopSignal);
  return {
    ...(exec.length === 0 ? {} : { exec }),
    user: user.user,
    group: user.group,
    ...(workingDirectory === undefined ? {} : { workingDirectory }),
    ...(environment.length === 0 ? {} : { environment }),
    ...(ports.length === 0 ? {} : { ports }),
    ...(mountPoints.length === 0 ? {} : { mountPoints }),
  };
}

/** Absolute; what is relative is below the root, as Docker has it. */
function workingDirectoryOf(text: string | undefined): string | undefined {
  if (text === undefined || text === '') return undefined;
  return text.startsWith('/') ? text : `/${text}`;
}

function warningsOf(run: OciRuntimeConfig): readonly string[] {
  const unusable = (what: string, all: readonly string[], convert: (one: string) => unknown) =>
    all
      .filter((text) => isEmpty(convert(text)))
      .map((text) => `its ${what} ${displayName(byteTextOf(text))} is kept, and cannot be used`);
  const health = run.Healthcheck?.Test?.[0];
  return [
    ...unusable('environment variable', run.Env ?? [], (text) => environmentOf([text])),
    ...unusable('port', Object.keys(run.ExposedPorts ?? {}), (text) => portsOf([text])),
    ...unusable('volume', Object.keys(run.Volumes ?? {}), (text) => mountPointsOf([text])),
    ...(health === undefined || health === 'NONE' ? [] : ['its health check is kept, and not run']),
  ];
}

// Keeping

function keep(kept: Kept, name: string, value: unknown): void {
  if (!isEmpty(value)) kept.set(name, canonicalJson(value));
}

function keepUnlessSame(kept: Kept, name: string, original: unknown, back: unknown): void {
  if (isEmpty(original) && isEmpty(back)) return;
  if (!isSameJson(original, back)) keep(kept, name, original);
}

/** To Go, which writes these documents, an empty list is none. */
export function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null || value === '') return true;
  if (Array.isArray(value)) return value.length === 0;
  return isRecord(value) && Object.keys(value).length === 0;
}

export function setOf(names: readonly (string | undefined)[]): Readonly<Record<string, object>> {
  return Object.fromEntries(names.flatMap((name) => (name === undefined ? [] : [[name, {}]])));
}

function without(
  record: Readonly<Record<string, unknown>>,
  names: ReadonlySet<string>,
): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    Object.entries(record).filter(([name, value]) => !names.has(name) && value !== undefined),
  );
}
