/**
 * Flags that are isolators in other words: `--memory=16Mi` is resource/memory with that limit. Loaded only when one of them
 * is given, since it needs the schemas.
 */
import * as z from 'zod/mini';

import { ManifestError, UsageError } from '../errors.ts';
import { checkIsolators, Isolator, parseBySchema, type IsolatorScope } from '../schema/appc.ts';
import { ISOLATOR_FLAGS, type IsolatorFlags } from './isolator-flag-names.ts';
import type { Flags } from './run-grammar.ts';

/** An isolator before it is checked, and the flag that it comes from. */
interface Wanted {
  readonly flag: string;
  readonly name: string;
  readonly value: unknown;
}

function listOf(flag: string, text: string): readonly string[] {
  const words = text.split(',');
  if (words.some((word) => word === ''))
    throw new UsageError(`--${flag} is a list of names with commas between them, not "${text}"`);
  return words;
}

/** `CAP_` may be left away. */
function capabilitiesOf(flag: string, text: string): unknown {
  const set = listOf(flag, text).map((name) => {
    const upper = name.toUpperCase();
    return upper.startsWith('CAP_') ? upper : `CAP_${upper}`;
  });
  return { set };
}

function numberOf(flag: string, text: string): number {
  if (!/^-?\d{1,15}$/.test(text))
    throw new UsageError(`--${flag} is a whole number, not "${text}"`);
  return Number(text);
}

/** `mode=retain|remove[,errno=E],NAME,…` */
function seccompOf(text: string): Wanted {
  const flag = 'seccomp';
  const wrong = (why: string): never => {
    throw new UsageError(`--seccomp "${text}": ${why}`, {
      remedies: ['--seccomp=mode=retain|remove[,errno=EPERM],NAME,…'],
    });
  };
  let mode: string | undefined;
  let errno: string | undefined;
  const set: string[] = [];
  for (const word of listOf(flag, text)) {
    const equals = word.indexOf('=');
    const key = equals === -1 ? undefined : word.slice(0, equals);
    const value = word.slice(equals + 1);
    if (key === undefined) set.push(word);
    else if (key === 'mode' && mode === undefined) mode = value;
    else if (key === 'errno' && errno === undefined) errno = value;
    else
      wrong(key === 'mode' || key === 'errno' ? `${key} stands twice` : `there is no key "${key}"`);
  }
  if (mode !== 'retain' && mode !== 'remove') wrong('mode is retain or remove');
  if (set.length === 0) wrong('it names no system call');
  return {
    flag,
    name: `os/linux/seccomp-${mode ?? ''}-set`,
    value: { set, ...(errno === undefined ? {} : { errno }) },
  };
}

/** `NAME=JSON` */
function isolatorOf(flag: string, text: string): Wanted {
  const equals = text.indexOf('=');
  const name = equals === -1 ? text : text.slice(0, equals);
  try {
    if (equals !== -1) return { flag, name, value: JSON.parse(text.slice(equals + 1)) as unknown };
  } catch {
    // Said below.
  }
  throw new UsageError(`--${flag} is NAME=JSON, not "${text}"`, {
    remedies: [`--${flag}='resource/memory={"limit":"64Mi"}'`],
  });
}

const limit = (text: string) => ({ limit: text });

/** What each flag with one value means. */
const MEANINGS: Readonly<Record<string, (text: string, flag: string) => Wanted>> = {
  memory: (text, flag) => ({ flag, name: 'resource/memory', value: limit(text) }),
  cpu: (text, flag) => ({ flag, name: 'resource/cpu', value: limit(text) }),
  'cpu-shares': (text, flag) => ({
    flag,
    name: 'os/linux/cpu-shares',
    value: numberOf(flag, text),
  }),
  'caps-retain': (text, flag) => ({
    flag,
    name: 'os/linux/capabilities-retain-set',
    value: capabilitiesOf(flag, text),
  }),
  'caps-remove': (text, flag) => ({
    flag,
    name: 'os/linux/capabilities-remove-set',
    value: capabilitiesOf(flag, text),
  }),
  seccomp: (text) => seccompOf(text),
  'oom-score-adj': (text, flag) => ({
    flag,
    name: 'os/linux/oom-score-adj',
    value: numberOf(flag, text),
  }),
  'no-new-privileges': (text, flag) => ({
    flag,
    name: 'os/linux/no-new-privileges',
    value: text === 'true',
  }),
  pids: (text, flag) => ({
    flag,
    name: 'jetpack/pids-max',
    value: { limit: numberOf(flag, text) },
  }),
  'disk-quota': (text, flag) => ({ flag, name: 'jetpack/disk-quota', value: limit(text) }),
  'pod-memory': (text, flag) => ({ flag, name: 'resource/memory', value: limit(text) }),
  'pod-cpu': (text, flag) => ({ flag, name: 'resource/cpu', value: limit(text) }),
  'pod-pids': (text, flag) => ({
    flag,
    name: 'jetpack/pids-max',
    value: { limit: numberOf(flag, text) },
  }),
};

/** All `--sysctl KEY=VALUE` are one isolator. */
function sysctlsOf(texts: readonly string[]): Wanted {
  const flag = 'sysctl';
  const value: Record<string, string> = {};
  for (const text of texts) {
    const equals = text.indexOf('=');
    if (equals < 1) throw new UsageError(`--sysctl is KEY=VALUE, not "${text}"`);
    value[text.slice(0, equals)] = text.slice(equals + 1);
  }
  return { flag, name: 'os/unix/sysctl', value };
}

function wantedBy(flags: Flags, { one, many, sysctl }: IsolatorFlags): readonly Wanted[] {
  const sysctls = sysctl === undefined ? [] : (flags.many.get(sysctl) ?? []);
  return [
    ...one.flatMap((flag) => {
      const text = flags.one.get(flag);
      const meaning = MEANINGS[flag];
      return text === undefined || meaning === undefined ? [] : [meaning(text, flag)];
    }),
    ...(flags.many.get(many) ?? []).map((text) => isolatorOf(many, text)),
    ...(sysctls.length === 0 ? [] : [sysctlsOf(sysctls)]),
  ];
}

/** `[1].value.limit` → the flag of the second, and `limit`. */
function explain(error: ManifestError, wanted: readonly Wanted[]): UsageError {
  const [problem] = error.problems;
  const index = Number(/^\[(\d+)\]/.exec(problem?.path ?? '')?.[1] ?? '0');
  const flag = wanted[index]?.flag ?? '';
  return new UsageError(`--${flag}: ${problem?.message ?? 'it is not valid'}`, {
    remedies: ['see the flags with: jetpack run --help'],
    cause: error,
  });
}

/** The isolators that flags ask for, in the order of the table. Throws UsageError, which names the flag. */
export function isolatorsOf(flags: Flags, scope: IsolatorScope): readonly Isolator[] {
  const wanted = wantedBy(flags, ISOLATOR_FLAGS[scope]);
  const schema = z.array(Isolator).check(checkIsolators(scope));
  try {
    return parseBySchema(
      schema,
      'the flags',
      wanted.map(({ name, value }) => ({ name, value })),
    );
  } catch (error) {
    throw error instanceof ManifestError ? explain(error, wanted) : error;
  }
}
