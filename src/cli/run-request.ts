/** From the words of `run` and `prepare` to a typed request. Pure, but for reading the image through `findImage`. */
import { UsageError } from '../errors.ts';
import { parseNetwork, type PodNetwork } from '../network/network.ts';
import type { AppRequest, MountRequest, PodImage, PodRequest } from '../pod/reify.ts';
import type { Isolation } from '../runtime/runtime.ts';
import { mergeIsolators } from '../pod/isolators.ts';
import type { EnvironmentVariable, Isolator } from '../schema/appc.ts';
import type { Volume } from '../schema/pod-manifest.ts';
import { parseInsecureRun } from './insecure-options.ts';
import { hasIsolatorFlags } from './isolator-flag-names.ts';
import type { AppWords, Flags, RunWords } from './run-grammar.ts';

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
  readonly isolation: Isolation;
  readonly global: { readonly config: string | undefined; readonly option: readonly string[] };
}

export function parseRunOptions({ pod, apps }: RunWords): RunOptions {
  const is = (name: string) => pod.one.get(name) === 'true';
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
    isolation: parseInsecureRun(pod.many.get('insecure-options') ?? []),
    global: { config: pod.one.get('config'), option: pod.many.get('option') ?? [] },
  };
  if (apps.length === 0) {
    throw new UsageError('no image to run was named', {
      remedies: ['jetpack run IMAGE', 'see the images with: jetpack images'],
    });
  }
  if (apps.length > 1 && (options.tty || options.interactive)) {
    throw new UsageError('--tty and --interactive are for pods of one app', {
      remedies: ['run it without, then: jetpack enter POD:APP'],
    });
  }
  return options;
}

function parseVariable(flag: string, text: string): EnvironmentVariable {
  const match = /^([A-Za-z_][A-Za-z_0-9.-]*)=([^\0]*)$/s.exec(text);
  if (match === null) throw new UsageError(`--${flag} is NAME=VALUE, not "${text}"`);
  return { name: match[1] ?? '', value: match[2] ?? '' };
}

/** `a=1,b=2`; the first part may stand without a key. */
function parsePairs(
  flag: string,
  text: string,
  known: readonly string[],
): ReadonlyMap<string, string> {
  const pairs = new Map<string, string>();
  for (const part of text.split(',')) {
    const equals = part.indexOf('=');
    const key = equals === -1 ? '' : part.slice(0, equals);
    if (!known.includes(key)) {
      throw new UsageError(
        `--${flag} "${text}": ${key === '' ? `"${part}" is not KEY=VALUE` : `there is no key "${key}"`}`,
        {
          remedies: [`its keys: ${known.filter((name) => name !== '').join(', ')}`],
        },
      );
    }
    if (pairs.has(key)) throw new UsageError(`--${flag} "${text}": ${key} stands twice`);
    pairs.set(key, part.slice(equals + 1));
  }
  return pairs;
}

function parseBool(flag: string, key: string, text: string | undefined): boolean | undefined {
  if (text === undefined) return undefined;
  if (text === 'true' || text === 'false') return text === 'true';
  throw new UsageError(`--${flag}: ${key} is true or false, not "${text}"`);
}

/** `NAME,kind=host,source=/abs[,readOnly=…][,recursive=…]` or `NAME,kind=empty[,mode=…][,uid=…][,gid=…]`. */
export async function parseVolume(text: string): Promise<Volume> {
  const comma = text.indexOf(',');
  const name = comma === -1 ? text : text.slice(0, comma);
  if (comma === -1) {
    throw new UsageError(`--volume "${text}" says no kind`, {
      remedies: [`--volume ${name},kind=host,source=/…`, `--volume ${name},kind=empty`],
    });
  }
  const pairs = parsePairs('volume', text.slice(comma + 1), [
    'kind',
    'source',
    'readOnly',
    'recursive',
    'mode',
    'uid',
    'gid',
  ]);
  const numeric = (key: string) => (pairs.has(key) ? Number(pairs.get(key)) : undefined);
  const value = {
    name,
    kind: pairs.get('kind'),
    source: pairs.get('source'),
    readOnly: parseBool('volume', 'readOnly', pairs.get('readOnly')),
    recursive: parseBool('volume', 'recursive', pairs.get('recursive')),
    mode: pairs.get('mode'),
    uid: numeric('uid'),
    gid: numeric('gid'),
  };
  if (value.kind !== 'host' && value.kind !== 'empty') {
    throw new UsageError(`--volume "${text}": kind is host or empty`);
  }
  if (value.kind === 'host' && value.source === undefined)
    throw new UsageError(`--volume "${text}": a host volume needs source=/…`);
  const present = Object.fromEntries(
    Object.entries(value).filter(([, field]) => field !== undefined),
  );
  // Loaded only where it is needed: schemas cost a start some milliseconds.
  const { Volume } = await import('../schema/pod-manifest.ts');
  const parsed = Volume.safeParse(present);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new UsageError(
    `--volume "${text}" is not valid: ${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}`.trimEnd(),
    {
      remedies: [
        'NAME,kind=host,source=/…[,readOnly=true][,recursive=false]',
        'NAME,kind=empty[,mode=0755][,uid=0][,gid=0]',
      ],
    },
  );
}

/** `volume=NAME,target=/path`, or `NAME:/path` for short. */
export function parseMount(text: string): MountRequest {
  const short = /^([^=,:]+):(\/.*)$/.exec(text);
  if (short !== null) return { volume: short[1] ?? '', target: short[2] ?? '' };
  const pairs = parsePairs('mount', text, ['volume', 'target']);
  const volume = pairs.get('volume');
  const target = pairs.get('target');
  if (volume === undefined || target?.startsWith('/') !== true) {
    throw new UsageError(`--mount "${text}" is volume=NAME,target=/path`);
  }
  return { volume, target };
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

async function buildApp(words: AppWords, defaults: Flags, image: PodImage): Promise<AppRequest> {
  const { flags } = words;
  const readOnly = pick('readonly-rootfs', flags, defaults);
  return {
    image,
    name: flags.one.get('name'),
    args: words.args,
    exec: pick('exec', flags, defaults),
    user: pick('user', flags, defaults),
    group: pick('group', flags, defaults),
    workingDir: pick('working-dir', flags, defaults),
    environment: [
      ...(defaults.many.get('environment') ?? []),
      ...(flags.many.get('environment') ?? []),
    ].map((text) => parseVariable('environment', text)),
    mounts: [...(defaults.many.get('mount') ?? []), ...(flags.many.get('mount') ?? [])].map(
      parseMount,
    ),
    readOnlyRootfs: readOnly === undefined ? undefined : readOnly === 'true',
    isolators: await isolatorsFrom('app', defaults, flags),
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
  const environment = (words.pod.many.get('set-env') ?? []).map((text) =>
    parseVariable('set-env', text),
  );
  const apps: AppRequest[] = [];
  for (const app of words.apps)
    apps.push(await buildApp(app, words.defaults, await findImage(app.image)));
  return { apps, volumes, environment, isolators: await isolatorsFrom('pod', words.pod) };
}
