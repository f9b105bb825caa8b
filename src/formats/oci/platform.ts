/**
 * Platforms: Go's words (`linux/arm/v7`) and appc's (`linux`, `armv7l`), and which image of an index is for one.
 * What variants mean is told by Go's GOARM and GOAMD64, and by the platforms package of containerd.
 */
import { FetchError } from '../../errors.ts';
import type { ImagePlatform } from '../../schema/platform.ts';
import type { OciIndexEntry } from '../../schema/oci.ts';
import type { Platform } from './model.ts';

const SPELLINGS = new Map<string, readonly [architecture: string, variant?: string]>(
  Object.entries({
    x86_64: ['amd64'],
    'x86-64': ['amd64'],
    i386: ['386'],
    i486: ['386'],
    i586: ['386'],
    i686: ['386'],
    x86: ['386'],
    ia32: ['386'],
    aarch64: ['arm64'],
    aarch64_be: ['arm64be'],
    armhf: ['arm', 'v7'],
    armel: ['arm', 'v6'],
    armv5l: ['arm', 'v5'],
    armv6l: ['arm', 'v6'],
    armv7l: ['arm', 'v7'],
    armv8l: ['arm', 'v8'],
    armv7b: ['armbe', 'v7'],
    // What Node calls it.
    x64: ['amd64'],
  } as const),
);

/** One spelling for every platform: `arm64/v8` is arm64, plain arm is v7, `amd64/v1` is amd64. */
export function normalisePlatform(platform: Platform): Platform {
  const os = platform.os.toLowerCase();
  const given = platform.architecture.toLowerCase();
  const [architecture, implied] = SPELLINGS.get(given) ?? [given];
  let variant = (platform.variant ?? '').toLowerCase() || implied;
  if (variant !== undefined && /^\d+$/.test(variant)) variant = `v${variant}`;
  if (architecture === 'arm') variant ??= 'v7';
  if (architecture === 'arm64' && variant === 'v8') variant = undefined;
  if (architecture === 'amd64' && variant === 'v1') variant = undefined;
  return {
    os: os === 'macos' ? 'darwin' : os,
    architecture,
    ...(variant === undefined ? {} : { variant }),
  };
}

/** What `--os` and `--arch` say: arch in Go's words or appc's, with a variant behind a slash (`arm/v6`). */
export function parsePlatform(os: string, arch: string): Platform {
  const [architecture = '', variant] = arch.split('/', 2);
  return normalisePlatform({
    os,
    architecture,
    ...(variant === undefined || variant === '' ? {} : { variant }),
  });
}

/** `linux/arm/v7` */
export function renderPlatform({ os, architecture, variant }: Platform): string {
  return [os, architecture, ...(variant === undefined ? [] : [variant])].join('/');
}

const APPC_ARCHITECTURES = new Map([
  ['386', 'i386'],
  ['arm64', 'aarch64'],
  ['arm64be', 'aarch64_be'],
]);

/** The value of the label arch for this platform (spec/aci.md); what appc has no word for keeps Go's. */
export function appcArchitecture(platform: Platform): string {
  const { os, architecture, variant } = normalisePlatform(platform);
  if (os === 'darwin' && architecture === 'amd64') return 'x86_64';
  if (architecture === 'arm') {
    if (os !== 'linux') return 'arm';
    // An ARMv8 in its 32-bit state is an ARMv7 to its programs.
    return variant === 'v5' ? 'armv5l' : variant === 'v6' ? 'armv6l' : 'armv7l';
  }
  if (architecture === 'armbe') return 'armv7b';
  return APPC_ARCHITECTURES.get(architecture) ?? architecture;
}

/** What the labels os and arch mean; empty where they are not there. */
export function platformOfAppc({ os = '', arch = '' }: ImagePlatform): Platform {
  return normalisePlatform({ os, architecture: arch });
}

/** How well an image for `offered` runs where `wanted` is asked for: the larger the better, undefined for not at all. */
export function matchPlatform(wanted: Platform, offered: Platform): number | undefined {
  const want = normalisePlatform(wanted);
  const has = normalisePlatform(offered);
  if (want.os !== has.os || want.architecture !== has.architecture) return undefined;
  if (want.variant === has.variant) return EXACT;
  const [wantLevel, hasLevel] = [levelOf(want), levelOf(has)];
  if (wantLevel === undefined || hasLevel === undefined || hasLevel > wantLevel) return undefined;
  return hasLevel;
}

const EXACT = 1000;
const FLOORS = new Map([
  ['amd64', 1],
  ['arm64', 8],
  ['arm', 7],
]);

/** Of processors each of which runs what was made for the ones before it. */
function levelOf({ architecture, variant }: Platform): number | undefined {
  if (variant === undefined) return FLOORS.get(architecture);
  const match = /^v(\d{1,2})(?:\.(\d{1,2}))?$/.exec(variant);
  if (match === null || !FLOORS.has(architecture)) return undefined;
  return Number(match[1]) + Number(match[2] ?? 0) / 100;
}

/** An attestation: says something about an image beside it, and is none (BuildKit). */
function isAttestation({ annotations, platform }: OciIndexEntry): boolean {
  return (
    annotations?.['vnd.docker.reference.type'] === 'attestation-manifest' ||
    (platform?.os === 'unknown' && platform.architecture === 'unknown')
  );
}

export interface PlatformChoice {
  /** The best one, of several as good the first. */
  readonly entry: OciIndexEntry | undefined;
  /** Entries that say no platform, to be looked into when there is no `entry`. */
  readonly unsaid: readonly OciIndexEntry[];
  /** For an error: the platforms there are. */
  readonly offered: readonly string[];
}

/** `os.version` is not looked at. Pure. */
export function choosePlatform(
  entries: readonly OciIndexEntry[],
  wanted: Platform,
): PlatformChoice {
  let best: { readonly entry: OciIndexEntry; readonly match: number } | undefined;
  const unsaid: OciIndexEntry[] = [];
  const offered = new Set<string>();
  for (const entry of entries.filter((candidate) => !isAttestation(candidate))) {
    const platform = platformOfEntry(entry);
    if (platform === undefined) {
      unsaid.push(entry);
      continue;
    }
    offered.add(renderPlatform(platform));
    const match = matchPlatform(wanted, platform);
    if (match !== undefined && (best === undefined || match > best.match)) best = { entry, match };
  }
  return { entry: best?.entry, unsaid, offered: [...offered] };
}

export function platformOfEntry({ platform }: OciIndexEntry): Platform | undefined {
  if (platform === undefined || (platform.os === '' && platform.architecture === '')) {
    return undefined;
  }
  const { os, architecture, variant } = platform;
  return { os, architecture, ...(variant === undefined || variant === '' ? {} : { variant }) };
}

const SHOWN = 20;

/** `source`: for people. */
export function noPlatform(
  source: string,
  wanted: Platform,
  offered: readonly string[],
): FetchError {
  const shown = offered.slice(0, SHOWN).join(', ');
  const more = offered.length > SHOWN ? ` and ${String(offered.length - SHOWN)} more` : '';
  return new FetchError(
    'FETCH_NO_PLATFORM',
    `${source} has no image for ${renderPlatform(wanted)}: ${offered.length === 0 ? 'it has none at all' : `there is ${shown}${more}`}`,
    { remedies: ['choose one that is there with --os and --arch, like --os=linux --arch=arm64'] },
  );
}
