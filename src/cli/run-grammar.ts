/**
 * The grammar of `run` and `prepare`: `[pod flags] IMAGE [app flags] [-- ARGS… [---]] IMAGE …`.
 * Pure: words in, a request out. Flags of apps before the first image are defaults for every app; `--name` and
 * annotations are the pod's before the first image and the app's after it.
 */
import { UsageError } from '../errors.ts';
import { findNearest } from '../schema/nearest.ts';
import { ISOLATOR_FLAGS } from './isolator-flag-names.ts';

/** How a flag takes its value. */
type Arity = 'none' | 'one' | 'optional-bool';

interface FlagSpec {
  readonly name: string;
  readonly char?: string;
  readonly arity: Arity;
  readonly repeat?: boolean;
}

const flag = (
  name: string,
  arity: Arity,
  more: { char?: string; repeat?: boolean } = {},
): FlagSpec => ({ name, arity, ...more });

function isolatorFlags(scope: 'app' | 'pod'): readonly FlagSpec[] {
  const { one, many, sysctl } = ISOLATOR_FLAGS[scope];
  return [
    ...one.map((name) => flag(name, name === 'no-new-privileges' ? 'optional-bool' : 'one')),
    flag(many, 'one', { repeat: true }),
    ...(sysctl === undefined ? [] : [flag(sysctl, 'one', { repeat: true })]),
  ];
}

const POD_FLAGS: readonly FlagSpec[] = [
  flag('config', 'one'),
  flag('option', 'one', { char: 'o', repeat: true }),
  flag('debug', 'none'),
  flag('json', 'none'),
  flag('detach', 'none', { char: 'd' }),
  flag('tty', 'none', { char: 't' }),
  flag('interactive', 'none', { char: 'i' }),
  flag('rm', 'none'),
  flag('mutable', 'none'),
  flag('net', 'one'),
  flag('pod-manifest', 'one'),
  flag('set-env', 'one', { repeat: true }),
  flag('set-env-file', 'one', { repeat: true }),
  flag('inherit-env', 'none'),
  flag('dns', 'one', { repeat: true }),
  flag('dns-search', 'one', { repeat: true }),
  flag('dns-opt', 'one', { repeat: true }),
  flag('dns-domain', 'one'),
  flag('hosts-entry', 'one', { repeat: true }),
  flag('port', 'one', { repeat: true }),
  flag('follow-volume-links', 'none'),
  flag('volume', 'one', { repeat: true }),
  flag('hostname', 'one'),
  flag('save-id', 'one'),
  flag('insecure-options', 'one', { repeat: true }),
  flag('pull-policy', 'one'),
  flag('dry-run', 'none'),
  flag('strict', 'none'),
  ...isolatorFlags('pod'),
];

const APP_FLAGS: readonly FlagSpec[] = [
  flag('user', 'one'),
  flag('group', 'one'),
  flag('supplementary-gids', 'one'),
  flag('working-dir', 'one'),
  flag('exec', 'one'),
  flag('mount', 'one', { repeat: true }),
  flag('readonly-rootfs', 'optional-bool'),
  flag('environment', 'one', { repeat: true }),
  flag('restart', 'one'),
  flag('stop-signal', 'one'),
  flag('name', 'one'),
  ...isolatorFlags('app'),
  flag('annotation', 'one', { repeat: true }),
  flag('user-annotation', 'one', { repeat: true }),
  flag('user-label', 'one', { repeat: true }),
];

/** Before the first image they are about the pod, after an image about its app. */
const BY_PLACE: ReadonlySet<string> = new Set([
  'name',
  'annotation',
  'user-annotation',
  'user-label',
]);

export interface AppWords {
  readonly image: string;
  readonly args: readonly string[] | undefined;
  readonly flags: Flags;
}

/** Last value of each flag, or all of them where it repeats. */
export interface Flags {
  readonly one: ReadonlyMap<string, string>;
  readonly many: ReadonlyMap<string, readonly string[]>;
}

export interface RunWords {
  readonly pod: Flags;
  /** App flags given before the first image. */
  readonly defaults: Flags;
  readonly apps: readonly AppWords[];
}

class Collector implements Flags {
  readonly one = new Map<string, string>();
  readonly many = new Map<string, string[]>();

  add(spec: FlagSpec, value: string): void {
    if (spec.repeat === true) {
      const values = this.many.get(spec.name) ?? [];
      values.push(value);
      this.many.set(spec.name, values);
    } else this.one.set(spec.name, value);
  }
}

interface Token {
  readonly spec: FlagSpec;
  readonly value: string;
  readonly isPod: boolean;
}

function lookUp(
  word: string,
  long: string,
  char: string | undefined,
): { spec: FlagSpec; isPod: boolean } {
  const matches = (spec: FlagSpec) =>
    char === undefined ? spec.name === long : spec.char === char;
  const pod = POD_FLAGS.find(matches);
  if (pod !== undefined) return { spec: pod, isPod: true };
  const app = APP_FLAGS.find(matches);
  if (app !== undefined) return { spec: app, isPod: false };
  const near = findNearest(
    long,
    [...POD_FLAGS, ...APP_FLAGS].map((spec) => spec.name),
  );
  throw new UsageError(`there is no flag ${word}`, {
    remedies: [
      ...(near === undefined ? [] : [`--${near}`]),
      'put the arguments of the app after --',
      'see the flags with: jetpack run --help',
    ],
  });
}

/** Reads the flag at `words[at]`; returns its tokens (several for `-dit`) and the index after them. */
function readFlag(words: readonly string[], at: number): { tokens: Token[]; next: number } {
  const word = words[at] ?? '';
  if (word.startsWith('--')) {
    const equals = word.indexOf('=');
    const long = equals === -1 ? word.slice(2) : word.slice(2, equals);
    const inline = equals === -1 ? undefined : word.slice(equals + 1);
    const { spec, isPod } = lookUp(`--${long}`, long, undefined);
    if (spec.arity === 'none') {
      if (inline !== undefined) throw new UsageError(`--${long} takes no value`);
      return { tokens: [{ spec, value: 'true', isPod }], next: at + 1 };
    }
    if (spec.arity === 'optional-bool') {
      const value = inline ?? 'true';
      if (value !== 'true' && value !== 'false')
        throw new UsageError(`--${long} is true or false, not "${value}"`);
      return { tokens: [{ spec, value, isPod }], next: at + 1 };
    }
    if (inline !== undefined) return { tokens: [{ spec, value: inline, isPod }], next: at + 1 };
    const value = words[at + 1];
    if (value === undefined || value === '--') throw new UsageError(`--${long} needs a value`);
    return { tokens: [{ spec, value, isPod }], next: at + 2 };
  }
  const tokens: Token[] = [];
  for (let i = 1; i < word.length; i += 1) {
    const char = word[i] ?? '';
    const { spec, isPod } = lookUp(`-${char}`, char, char);
    if (spec.arity !== 'one') {
      tokens.push({ spec, value: 'true', isPod });
      continue;
    }
    const rest = word.slice(i + 1);
    const value = rest === '' ? words[at + 1] : rest;
    if (value === undefined) throw new UsageError(`-${char} needs a value`);
    tokens.push({ spec, value, isPod });
    return { tokens, next: at + (rest === '' ? 2 : 1) };
  }
  return { tokens, next: at + 1 };
}

export function parseRunWords(words: readonly string[]): RunWords {
  const pod = new Collector();
  const defaults = new Collector();
  const apps: { image: string; args: string[] | undefined; flags: Collector }[] = [];
  let at = 0;
  while (at < words.length) {
    const word = words[at] ?? '';
    const current = apps.at(-1);
    if (word === '--') {
      if (current === undefined)
        throw new UsageError('arguments after -- belong to an image, and none came before');
      if (current.args !== undefined) {
        throw new UsageError(`image ${current.image} has arguments already`, {
          remedies: ['end them with --- before the next image'],
        });
      }
      const end = words.indexOf('---', at + 1);
      current.args = words.slice(at + 1, end === -1 ? words.length : end);
      at = end === -1 ? words.length : end + 1;
      continue;
    }
    if (word === '---')
      throw new UsageError('--- ends the arguments of an image, and there are none before it');
    if (word.startsWith('-') && word !== '-') {
      const { tokens, next } = readFlag(words, at);
      for (const token of tokens) {
        if (BY_PLACE.has(token.spec.name) && current === undefined)
          pod.add(token.spec, token.value);
        else if (token.isPod) pod.add(token.spec, token.value);
        else (current?.flags ?? defaults).add(token.spec, token.value);
      }
      at = next;
      continue;
    }
    apps.push({ image: word, args: undefined, flags: new Collector() });
    at += 1;
  }
  return { pod, defaults, apps };
}
