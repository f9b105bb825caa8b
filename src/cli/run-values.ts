/** The values of the flags of `run` and `prepare`: text in, typed out, UsageError with the flag's name. Pure. */
import { UsageError } from '../errors.ts';
import type { MountRequest, UserTexts } from '../pod/compose.ts';
import type { Annotation, EnvironmentVariable } from '../schema/appc.ts';
import type { PodPort, Volume } from '../schema/pod-manifest.ts';

export function parseVariable(flag: string, text: string): EnvironmentVariable {
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
  const numeric = (key: string) => {
    const digits = pairs.get(key);
    // Number() would take nothing for 0, and other bases.
    return digits === undefined ? undefined : /^\d{1,10}$/.test(digits) ? Number(digits) : NaN;
  };
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

/** `a,b,c` as group ids. */
export function parseGids(text: string): readonly number[] {
  if (text === '') return [];
  return text.split(',').map((word) => {
    const id = Number(word);
    if (/^\d{1,10}$/.test(word) && id <= 0xfffffffe) return id;
    throw new UsageError(`--supplementary-gids "${text}": "${word}" is no group id`, {
      remedies: ['group ids with commas between them: --supplementary-gids=27,100'],
    });
  });
}

/** `NAME=VALUE`, with an AC Identifier for a name. */
export function parseAnnotation(flag: string, text: string): Annotation {
  const match = /^([a-z0-9]+(?:[-._~/][a-z0-9]+)*)=([^\0]*)$/s.exec(text);
  if (match === null) {
    throw new UsageError(`--${flag} is NAME=VALUE, not "${text}"`, {
      remedies: [
        'a name has lower-case letters and digits, with single "-", ".", "_", "~" or "/" between',
      ],
    });
  }
  return { name: match[1], value: match[2] ?? '' } as Annotation;
}

/** Every `NAME=VALUE`; the last of a name wins. */
export function parseUserTexts(flag: string, texts: readonly string[]): UserTexts {
  const pairs = texts.map((text) => {
    const equals = text.indexOf('=');
    if (equals < 1) throw new UsageError(`--${flag} is NAME=VALUE, not "${text}"`);
    return [text.slice(0, equals), text.slice(equals + 1)] as const;
  });
  return Object.fromEntries(pairs);
}

/** `NAME:[HOSTIP:]HOSTPORT`; an IPv6 address stands in brackets. */
export function parsePort(text: string): PodPort {
  const match = /^([a-z0-9-]+):(?:([0-9.]+|\[[0-9A-Fa-f:.]+\]):)?(\d{1,5})$/.exec(text);
  const hostPort = Number(match?.[3]);
  if (match === null || hostPort < 1 || hostPort > 65535) {
    throw new UsageError(`--port "${text}" is not NAME:[HOSTIP:]HOSTPORT`, {
      remedies: ['--port=http:8080', '--port=http:127.0.0.1:8080'],
    });
  }
  const hostIP = match[2]?.replace(/^\[|\]$/g, '');
  return { name: match[1], hostPort, ...(hostIP === undefined ? {} : { hostIP }) } as PodPort;
}
