/**
 * The words of `run` and `prepare` as a pod manifest: what was asked for, laid over what the images say. The result is the
 * same kind of draft that `--pod-manifest` reads, and goes the same way from there (reify.ts). Pure.
 */
import { PodError } from '../errors.ts';
import { DOCKER } from '../formats/oci/annotations.ts';
import type { Annotation, App, EnvironmentVariable, Isolator } from '../schema/appc.ts';
import type { PodManifest, PodPort, Volume } from '../schema/pod-manifest.ts';
import { OWN_GROUP } from './app-annotations.ts';
import { mergeIsolators } from './isolators.ts';
import { AC_VERSION, type DraftPod, type PodImage } from './reify.ts';

export interface MountRequest {
  readonly volume: string;
  readonly target: string;
}

/** Text to text, of people and for people. */
export type UserTexts = Readonly<Record<string, string>>;

/** One app as asked for; what is undefined comes from the image. */
export interface AppRequest {
  readonly image: PodImage;
  readonly name: string | undefined;
  /** Replace the image's arguments after its program; after its entry point in an image of Docker. */
  readonly args: readonly string[] | undefined;
  /** Replaces the image's program; its arguments are then `args` alone. */
  readonly exec: string | undefined;
  readonly user: string | undefined;
  readonly group: string | undefined;
  readonly supplementaryGids: readonly number[] | undefined;
  readonly workingDir: string | undefined;
  readonly environment: readonly EnvironmentVariable[];
  readonly mounts: readonly MountRequest[];
  readonly readOnlyRootfs: boolean | undefined;
  /** Each replaces the image's isolator of its kind. */
  readonly isolators?: readonly Isolator[] | undefined;
  readonly annotations: readonly Annotation[];
  readonly userAnnotations: UserTexts;
  readonly userLabels: UserTexts;
}

export interface PodRequest {
  readonly apps: readonly AppRequest[];
  readonly volumes: readonly Volume[];
  /** For every app, below what its image says (`--inherit-env`). */
  readonly inheritedEnvironment: readonly EnvironmentVariable[];
  /** For every app, above its image's and below an app's own `environment`. */
  readonly environment: readonly EnvironmentVariable[];
  readonly ports: readonly PodPort[];
  /** Of the pod as a whole. */
  readonly isolators?: readonly Isolator[] | undefined;
  readonly annotations: readonly Annotation[];
  readonly userAnnotations: UserTexts;
  readonly userLabels: UserTexts;
}

/** The default name of an app: the last component of the image's name, made an AC Name. */
export function appNameFor(imageName: string): string {
  const last = imageName.slice(imageName.lastIndexOf('/') + 1).toLowerCase();
  const name = last
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 63)
    .replace(/-+$/, '');
  return name === '' ? 'app' : name;
}

function mergeEnvironment(
  ...layers: readonly (readonly EnvironmentVariable[])[]
): EnvironmentVariable[] {
  const merged = new Map<string, string>();
  for (const layer of layers) for (const { name, value } of layer) merged.set(name, value);
  return [...merged].map(([name, value]) => ({ name, value }));
}

function composeExec(request: AppRequest, app: App | undefined): readonly string[] {
  const [program, ...imageArgs] = app?.exec ?? [];
  if (request.exec !== undefined) return [request.exec, ...(request.args ?? [])];
  const entrypoint = request.args && entrypointOf(request.image);
  if (entrypoint !== undefined) return [...entrypoint, ...(request.args ?? [])];
  // Whether there is a program at all is looked at when the manifest is complete.
  return program === undefined ? [] : [program, ...(request.args ?? imageArgs)];
}

/**
 * What arguments are put behind in an image of Docker: its whole entry point, which may be nothing at all. Undefined for an image
 * of appc, whose first word is the program.
 */
function entrypointOf({ manifest }: PodImage): readonly string[] | undefined {
  const text = (name: string) => manifest.annotations?.find((each) => each.name === name)?.value;
  const [entrypoint, cmd] = [text(DOCKER.entrypoint), text(DOCKER.cmd)];
  if (entrypoint === undefined && cmd === undefined) return undefined;
  const words = parseWords(entrypoint ?? '[]');
  const whole = words && [...words, ...(parseWords(cmd ?? '[]') ?? [])];
  // Once the command has become another one, nobody knows where its entry point ends.
  const isSame = JSON.stringify(whole) === JSON.stringify(manifest.app?.exec ?? []);
  return isSame ? words : undefined;
}

function parseWords(json: string): readonly string[] | undefined {
  try {
    const value: unknown = JSON.parse(json);
    return Array.isArray(value) && value.every((word) => typeof word === 'string')
      ? value
      : undefined;
  } catch {
    return undefined;
  }
}

/** A group that was asked for is that one, even where the image says that it is the user's own. */
function annotationsOf({ image, group, annotations }: AppRequest): readonly Annotation[] {
  const isSaid = image.manifest.annotations?.some(({ name }) => name === OWN_GROUP) === true;
  if (group === undefined || !isSaid || annotations.some(({ name }) => name === OWN_GROUP))
    return annotations;
  return [...annotations, { name: OWN_GROUP, value: 'false' } as unknown as Annotation];
}

function withoutEmpty<T extends object>(fields: T): Partial<T> {
  const kept = Object.entries(fields).filter(([, value]) =>
    Array.isArray(value)
      ? value.length > 0
      : value !== undefined && Object.keys(value as object).length > 0,
  );
  return Object.fromEntries(kept) as Partial<T>;
}

/** The app object of a request: the image's, with the request's words in the places that they name. */
export function composeApp(request: AppRequest, pod: PodRequest): App {
  const app = request.image.manifest.app;
  const isolators = mergeIsolators(app?.isolators, request.isolators);
  return {
    ...app,
    ...(isolators === undefined ? {} : { isolators: [...isolators] }),
    exec: [...composeExec(request, app)],
    user: request.user ?? app?.user ?? '0',
    group: request.group ?? app?.group ?? '0',
    environment: mergeEnvironment(
      pod.inheritedEnvironment,
      app?.environment ?? [],
      pod.environment,
      request.environment,
    ),
    ...(request.supplementaryGids === undefined
      ? {}
      : { supplementaryGIDs: [...request.supplementaryGids] }),
    ...(request.workingDir === undefined ? {} : { workingDirectory: request.workingDir }),
    ...withoutEmpty({
      userAnnotations: { ...app?.userAnnotations, ...request.userAnnotations },
      userLabels: { ...app?.userLabels, ...request.userLabels },
    }),
  };
}

const APP_NAME = /^[a-z0-9]+(-[a-z0-9]+)*$/;

/** Names every app; two apps of one name are refused, since the user must be able to tell them apart. */
function nameApps(apps: readonly AppRequest[]): readonly string[] {
  const names = apps.map((app) => app.name ?? appNameFor(app.image.manifest.name));
  const bad = names.find((name) => !APP_NAME.test(name) || name.length > 63);
  if (bad !== undefined) {
    throw new PodError('POD_INVALID', `"${bad}" cannot be the name of an app`, {
      remedies: ['1 to 63 lower-case letters, digits and single "-" between them'],
    });
  }
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) {
    throw new PodError('POD_INVALID', `two apps of the pod would be called "${twice}"`, {
      remedies: ['give one of them another name with --name after its image'],
    });
  }
  return names;
}

/** Throws POD_INVALID for names that cannot be. */
export function composePod(request: PodRequest): DraftPod {
  const names = nameApps(request.apps);
  const twice = request.volumes.find(
    (volume, i) => request.volumes.findIndex((other) => other.name === volume.name) !== i,
  );
  if (twice !== undefined)
    throw new PodError('POD_VOLUME', `volume "${twice.name}" is there twice`);
  const { annotations, userAnnotations, userLabels, ports } = request;
  const manifest = {
    acKind: 'PodManifest',
    acVersion: AC_VERSION,
    apps: request.apps.map((wanted, i) => ({
      name: names[i] ?? '',
      image: { id: wanted.image.id },
      app: composeApp(wanted, request),
      readOnlyRootFS: wanted.readOnlyRootfs ?? false,
      mounts: wanted.mounts.map(({ volume, target }) => ({ volume, path: target })),
      ...withoutEmpty({ annotations: annotationsOf(wanted) }),
    })),
    volumes: [...request.volumes],
    ...withoutEmpty({
      annotations,
      userAnnotations,
      userLabels,
      ports,
      isolators: request.isolators,
    }),
    // The words were checked by the command line; the names carry brands that only schemas give.
  } as unknown as PodManifest;
  return { manifest, images: request.apps.map(({ image }) => image), origin: 'words' };
}
