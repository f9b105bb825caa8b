/**
 * The configuration: `key = value` lines in a file, `#` comments. Precedence: built-in defaults < file < `-o key=value`.
 * A key that nobody knows is an error, never ignored.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';

import { errnoOf, HostError } from '../errors.ts';
import { findNearest } from '../schema/nearest.ts';
import { parseDatasetName, type DatasetName } from '../zfs/zfs.ts';
import { MAX_SOCKET_PATH } from './lease.ts';
import { refuseListenList } from './listen-list.ts';

export const CONFIG_FILE = '/etc/jetpack/jetpack.conf';

const UUID_LENGTH = 36;

/** The longest socket path below the mount point must fit into sun_path. */
function fitsSockets(mountpoint: string): boolean {
  const control = path.join(mountpoint, 'pods', 'x'.repeat(UUID_LENGTH), 'control');
  return Buffer.byteLength(control) <= MAX_SOCKET_PATH;
}

/** A parser of one value: throws Refusal. Plain functions, since schemas would cost every start some milliseconds. */
class Refusal extends Error {}

function absolutePath(text: string): string {
  if (path.resolve(text) === text && !/[\0-\x1f\x7f]/.test(text)) return text;
  throw new Refusal('must be an absolute path without ".", ".." or a slash at its end');
}

function mountpoint(text: string): string {
  if (absolutePath(text) !== '/' && fitsSockets(text)) return text;
  throw new Refusal(
    `must be short enough for the sockets below it (${String(MAX_SOCKET_PATH)} bytes with /pods/UUID/control)`,
  );
}

function wholeNumber(least: number, most = Infinity): (text: string) => number {
  return (text) => {
    if (/^\d{1,15}$/.test(text) && Number(text) >= least && Number(text) <= most)
      return Number(text);
    const end = most === Infinity ? '' : `, at most ${String(most)}`;
    throw new Refusal(`must be a whole number, at least ${String(least)}${end}`);
  };
}

function yesOrNo(text: string): boolean {
  if (text === 'yes' || text === 'no') return text === 'yes';
  throw new Refusal('must be yes or no');
}

function listenList(text: string): readonly string[] {
  const items = text.split(',').map((item) => item.trim());
  const why = refuseListenList(items);
  if (why === undefined) return items;
  throw new Refusal(why);
}

function accountName(text: string): string {
  if (/^[a-z_][a-z0-9_-]{0,31}$/.test(text) && text !== 'root') return text;
  throw new Refusal('must be the name of a user other than root');
}

function datasetName(text: string): DatasetName {
  const name = parseDatasetName(text);
  if (name !== undefined && !text.includes('@') && text.includes('/')) return name;
  throw new Refusal('must be the name of a dataset below a pool, like tank/jetpack');
}

/** Every key: how its value is read. */
const PARSERS = {
  /** The root dataset; undefined until `jetpack init` or the administrator chose one. */
  'root.zfs': datasetName,
  'root.mountpoint': mountpoint,
  /** The folder of jetpack-shim and the compiled seccomp filter. */
  'path.libexec': absolutePath,
  'path.share': absolutePath,
  /** Size at which an app's log is rotated, and how many rotated files stay. */
  'logs.max-bytes': wholeNumber(4096),
  'logs.keep': wholeNumber(0),
  /** Between TERM and KILL. */
  'stop.grace-ms': wholeNumber(0),
  /** The metadata service. */
  'mds.port': wholeNumber(1, 65535),
  'mds.listen': listenList,
  'mds.user': accountName,
  /** Whether `run` and `prepare` tell when it does not answer. */
  'mds.warn': yesOrNo,
  /** Only where they are not in one of the usual places. */
  'zfs.program': absolutePath,
  'zpool.program': absolutePath,
} as const;

export type ConfigKey = keyof typeof PARSERS;
/** Keys without a built-in value. */
type OptionalKey = 'root.zfs' | 'zfs.program' | 'zpool.program';
type Value<K extends ConfigKey> = ReturnType<(typeof PARSERS)[K]>;
export type Config = { readonly [K in Exclude<ConfigKey, OptionalKey>]: Value<K> } & {
  readonly [K in OptionalKey]?: Value<K>;
};

export const CONFIG_KEYS = Object.keys(PARSERS) as readonly ConfigKey[];

/** One `key = value` and where it stands: `/etc/jetpack/jetpack.conf:3`, `-o`, `built in`. */
export interface Setting {
  readonly key: ConfigKey;
  readonly value: string;
  readonly origin: string;
}

export interface ConfigDefaults {
  readonly platform: 'linux' | 'freebsd';
  /** The folder of the installed package. */
  readonly packageDir: string;
}

export function defaultSettings({ platform, packageDir }: ConfigDefaults): readonly Setting[] {
  const values: Readonly<Partial<Record<ConfigKey, string>>> = {
    ...(platform === 'freebsd' ? { 'root.zfs': 'zroot/jetpack' } : {}),
    'root.mountpoint': platform === 'freebsd' ? '/var/jetpack' : '/var/lib/jetpack',
    'path.libexec': path.join(packageDir, 'shim', 'build'),
    'path.share': path.join(packageDir, 'share'),
    'logs.max-bytes': String(10 * 1024 * 1024),
    'logs.keep': '3',
    'stop.grace-ms': '10000',
    'mds.port': '1104',
    'mds.listen': '127.0.0.1,::1',
    'mds.user': '_jetpack',
    'mds.warn': 'yes',
  };
  return CONFIG_KEYS.flatMap((key) => {
    const value = values[key];
    return value === undefined ? [] : [{ key, value, origin: 'built in' }];
  });
}

function invalid(origin: string, message: string, remedies: readonly string[] = []): HostError {
  return new HostError('CONFIG_INVALID', `${origin}: ${message}`, { remedies });
}

function parseSetting(text: string, origin: string): Setting {
  const [, name, value] = /^([^=\s]+)\s*=\s*(.*)$/.exec(text) ?? [];
  if (name === undefined || value === undefined) {
    throw invalid(origin, `not "key = value": ${text}`);
  }
  const key = CONFIG_KEYS.find((known) => known === name);
  if (key === undefined) {
    const near = findNearest(name, CONFIG_KEYS);
    const meant = near === undefined ? [] : [`did you mean ${near}?`];
    throw invalid(origin, `unknown key "${name}"`, [...meant, 'see the keys with: jetpack config']);
  }
  return { key, value, origin };
}

/** Throws CONFIG_INVALID with the line, also for a key that stands there twice. */
export function parseConfigFile(text: string, file: string): readonly Setting[] {
  const settings: Setting[] = [];
  for (const [index, line] of text.split('\n').entries()) {
    const content = line.replace(/^\s*#.*$|\s+#.*$/, '').trim();
    if (content === '') continue;
    const setting = parseSetting(content, `${file}:${String(index + 1)}`);
    const earlier = settings.find((other) => other.key === setting.key);
    if (earlier !== undefined) {
      throw invalid(setting.origin, `${setting.key} is already set at ${earlier.origin}`);
    }
    settings.push(setting);
  }
  return settings;
}

/** The values of `-o key=value`; the last of several wins. */
export function parseConfigOptions(options: readonly string[]): readonly Setting[] {
  return options.map((option) => parseSetting(option.trim(), '-o'));
}

export interface MergedConfig {
  readonly config: Config;
  /** Where each value comes from. */
  readonly origins: Readonly<Partial<Record<ConfigKey, string>>>;
}

/** Later settings win. Throws CONFIG_INVALID with the origin of the first value that is not acceptable. */
export function mergeConfig(...sources: readonly (readonly Setting[])[]): MergedConfig {
  const winners = new Map(sources.flat().map((setting) => [setting.key, setting]));
  const values = [...winners.values()].map(
    (setting) => [setting.key, parseValue(setting)] as const,
  );
  const origins = Object.fromEntries([...winners].map(([key, { origin }]) => [key, origin]));
  // The defaults have every key that is not optional.
  return { config: Object.fromEntries(values) as Config, origins };
}

function parseValue({ key, value, origin }: Setting): Value<ConfigKey> {
  try {
    return PARSERS[key](value);
  } catch (error) {
    if (error instanceof Refusal) throw invalid(origin, `${key} = ${value}: ${error.message}`);
    throw error;
  }
}

export interface ConfigSources {
  /** `--config` or JETPACK_CONF: must exist. Without it CONFIG_FILE, where it exists. */
  readonly file: string | undefined;
  /** The values of `-o`. */
  readonly overrides: readonly string[];
  readonly defaults: ConfigDefaults;
}

/** Blocking, since nothing can go on without it. Throws CONFIG_INVALID. */
export function loadMergedConfig({ file, overrides, defaults }: ConfigSources): MergedConfig {
  const fromFile = readConfigFile(file ?? CONFIG_FILE, file !== undefined);
  return mergeConfig(defaultSettings(defaults), fromFile, parseConfigOptions(overrides));
}

/** The values of `loadMergedConfig`. */
export function loadConfig(sources: ConfigSources): Config {
  return loadMergedConfig(sources).config;
}

function readConfigFile(file: string, mustExist: boolean): readonly Setting[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    if (errnoOf(cause) === 'ENOENT' && !mustExist) return [];
    const why =
      errnoOf(cause) === 'ENOENT' ? 'there is no such file' : (errnoOf(cause) ?? String(cause));
    throw new HostError('CONFIG_INVALID', `cannot read the configuration ${file}: ${why}`, {
      remedies: [
        'name another with --config or JETPACK_CONF',
        `or make it with: JETPACK_CONF=${file} jetpack init`,
      ],
      cause,
    });
  }
  return parseConfigFile(text, file);
}

/** For all that works on the store. Throws NOT_INITIALISED while no root dataset is chosen. */
export function rootDatasetOf(config: Config): DatasetName {
  const name = config['root.zfs'];
  if (name !== undefined) return name;
  throw new HostError('NOT_INITIALISED', 'no root dataset is configured (root.zfs)', {
    remedies: ['jetpack init', 'without a pool: jetpack init --pool-file FILE --pool-size 10G'],
  });
}

/** What `jetpack init` writes when there is no file yet. */
export function renderConfigFile(config: Pick<Config, 'root.zfs' | 'root.mountpoint'>): string {
  return [
    '# jetpack: key = value; all keys and their values: jetpack config',
    `root.zfs = ${config['root.zfs'] ?? ''}`,
    `root.mountpoint = ${config['root.mountpoint']}`,
    '',
  ].join('\n');
}
