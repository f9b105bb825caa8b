/** From the words of `run` and `prepare` to a typed request. Pure, but for reading the image through `findImage`. */
import process from 'node:process';

import { UsageError } from '../errors.ts';
import { parseNetwork, type PodNetwork } from '../network/network.ts';
import type { AppRequest, PodRequest } from '../pod/compose.ts';
import type { NameService } from '../pod/host-files.ts';
import { MUTABLE } from '../pod/mutable.ts';
import type { PodImage } from '../pod/reify.ts';
import type { Isolation } from '../runtime/runtime.ts';
import { mergeIsolators } from '../pod/isolators.ts';
import type { Annotation, Isolator } from '../schema/appc.ts';
import { inheritedEnvironment, readEnvironmentFiles } from './environment-flags.ts';
import { parseInsecureRun } from './insecure-options.ts';
import { hasIsolatorFlags, ISOLATOR_FLAGS } from './isolator-flag-names.ts';
import { parseNameService } from './name-service-flags.ts';
import { policyAnnotations } from './policy-flags.ts';
import type { AppWords, Flags, RunWords } from './run-grammar.ts';
import {
  parseAnnotation,
  parseGids,
  parseMount,
  parsePort,
  parseUserTexts,
  parseVariable,
  parseVolume,
} from './run-values.ts';

export interface RunOptions {
  readonly detach: boolean;
  readonly tty: boolean;
  readonly interactive: boolean;
  readonly remove: boolean;
  readonly json: boolean;
  readonly debug: boolean;
  readonly dryRun: boolean;
  /** Refuse what would be ignored. */
  readonly strict: boolean;
  readonly name: string | undefined;
  readonly hostname: string | undefined;
  readonly saveId: string | undefined;
  readonly network: PodNetwork;
  readonly nameService: NameService;
  readonly followVolumeLinks: boolean;
  /** The file of the pod manifest, `-` for standard input; then there are no images. */
  readonly podManifest: string | undefined;
  readonly isolation: Isolation;
  /** For images that are named by where they come from. */
  readonly fetch: {
    readonly pullPolicy: string | undefined;
    readonly insecure: { readonly image: boolean; readonly devices: boolean };
  };
  readonly global: { readonly config: string | undefined; readonly option: readonly string[] };
}

export function parseRunOptions(words: RunWords): RunOptions {
  const { pod, apps } = words;
  const is = (name: string) => pod.one.get(name) === 'true';
  const { image, devices, ...isolation } = parseInsecureRun(pod.many.get('insecure-options') ?? []);
  const options: RunOptions = {
    detach: is('detach'),
    tty: is('tty'),
    interactive: is('interactive'),
    remove: is('rm'),
    json: is('json'),
    debug: is('debug'),
    dryRun: is('dry-run'),
    strict: is('strict'),
    name: pod.one.get('name'),
    hostname: pod.one.get('hostname'),
    saveId: pod.one.get('save-id'),
    network: parseNetwork(pod.one.get('net')),
    nameService: parseNameService(pod),
    followVolumeLinks: is('follow-volume-links'),
    podManifest: pod.one.get('pod-manifest'),
    isolation,
    fetch: { pullPolicy: pod.one.get('pull-policy'), insecure: { image, devices } },
    global: { config: pod.one.get('config'), option: pod.many.get('option') ?? [] },
  };
  if (options.podManifest !== undefined) checkManifestAlone(words);
  else if (apps.length === 0 && !is('mutable')) {
    throw new UsageError('no image to run was named', {
      remedies: ['jetpack run IMAGE', 'see the images with: jetpack images'],
    });
  }
  if (is('mutable') && (options.tty || options.interactive)) {
    throw new UsageError('--tty and --interactive do not go with --mutable', {
      remedies: ['run it without, then: jetpack enter POD:APP'],
    });
  }
  if (apps.length > 1 && (options.tty || options.interactive)) {
    throw new UsageError('--tty and --interactive are for pods of one app', {
      remedies: ['run it without, then: jetpack enter POD:APP'],
    });
  }
  return options;
}

/** What a pod manifest says itself; beside one these words would have two masters. */
const SAID_BY_MANIFEST = [
  ...ISOLATOR_FLAGS.pod.one,
  ISOLATOR_FLAGS.pod.many,
  'sysctl',
  'mutable',
  'volume',
  'set-env',
  'set-env-file',
  'inherit-env',
  'port',
  'annotation',
  'user-annotation',
  'user-label',
] as const;

function checkManifestAlone({ pod, apps, defaults }: RunWords): void {
  const [image] = apps;
  const flag =
    SAID_BY_MANIFEST.find((name) => pod.one.has(name) || pod.many.has(name)) ??
    [...defaults.one.keys(), ...defaults.many.keys()][0];
  const conflict = image === undefined ? flag && `--${flag}` : `image ${image.image}`;
  if (conflict === undefined) return;
  throw new UsageError(`${conflict} does not go with --pod-manifest, which says that itself`, {
    remedies: ['put it into the manifest', 'or name the images here, without --pod-manifest'],
  });
}

function pick(name: string, own: Flags, defaults: Flags): string | undefined {
  return own.one.get(name) ?? defaults.one.get(name);
}

/** Undefined without such flags, whose meaning is then not even loaded. */
async function isolatorsFrom(
  scope: 'app' | 'pod',
  ...layers: readonly Flags[]
): Promise<readonly Isolator[] | undefined> {
  let merged: readonly Isolator[] | undefined;
  for (const flags of layers.filter((layer) => hasIsolatorFlags(layer, scope))) {
    const { isolatorsOf } = await import('./isolator-flags.ts');
    merged = mergeIsolators(merged, isolatorsOf(flags, scope));
  }
  return merged;
}

const MUTABLE_POD = { name: MUTABLE, value: 'true' } as unknown as Annotation;

/** Of a pod or of an app, by the place where the flags stand. */
function annotationsOf({ many }: Flags, policies: readonly Annotation[] = []) {
  const asked = (many.get('annotation') ?? []).map((text) => parseAnnotation('annotation', text));
  const annotations = [...policies, ...asked];
  const names = annotations.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw new UsageError(`annotation ${twice} stands twice`);
  return {
    annotations,
    userAnnotations: parseUserTexts('user-annotation', many.get('user-annotation') ?? []),
    userLabels: parseUserTexts('user-label', many.get('user-label') ?? []),
  };
}

async function buildApp(words: AppWords, defaults: Flags, image: PodImage): Promise<AppRequest> {
  const { flags } = words;
  const readOnly = pick('readonly-rootfs', flags, defaults);
  const groups = pick('supplementary-gids', flags, defaults);
  const all = (flag: string) => [
    ...(defaults.many.get(flag) ?? []),
    ...(flags.many.get(flag) ?? []),
  ];
  return {
    image,
    name: flags.one.get('name'),
    args: words.args,
    exec: pick('exec', flags, defaults),
    user: pick('user', flags, defaults),
    group: pick('group', flags, defaults),
    supplementaryGids: groups === undefined ? undefined : parseGids(groups),
    workingDir: pick('working-dir', flags, defaults),
    environment: all('environment').map((text) => parseVariable('environment', text)),
    mounts: all('mount').map(parseMount),
    readOnlyRootfs: readOnly === undefined ? undefined : readOnly === 'true',
    isolators: await isolatorsFrom('app', defaults, flags),
    ...annotationsOf(
      flags,
      policyAnnotations(pick('restart', flags, defaults), pick('stop-signal', flags, defaults)),
    ),
  };
}

export async function buildRequest(
  words: RunWords,
  findImage: (reference: string) => Promise<PodImage> | PodImage,
): Promise<PodRequest> {
  if (words.apps.length > 1 && words.defaults.one.has('exec')) {
    throw new UsageError('--exec before the first image would run one program in every app', {
      remedies: ['put it after the image it is for'],
    });
  }
  const volumes = await Promise.all((words.pod.many.get('volume') ?? []).map(parseVolume));
  const { pod } = words;
  const environment = [
    ...readEnvironmentFiles(pod.many.get('set-env-file') ?? []),
    ...(pod.many.get('set-env') ?? []).map((text) => parseVariable('set-env', text)),
  ];
  const apps: AppRequest[] = [];
  for (const app of words.apps)
    apps.push(await buildApp(app, words.defaults, await findImage(app.image)));
  return {
    apps,
    volumes,
    inheritedEnvironment: pod.one.has('inherit-env') ? inheritedEnvironment(process.env) : [],
    environment,
    ports: (pod.many.get('port') ?? []).map(parsePort),
    isolators: await isolatorsFrom('pod', pod),
    ...annotationsOf(pod, pod.one.has('mutable') ? [MUTABLE_POD] : []),
  };
}
