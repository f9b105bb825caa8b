/**
 * The seccomp isolators of appc: which list of calls they ask for (pure), and its compilation by jetpack-seccomp.
 * A set to retain allows its calls and nothing else; a set to remove forbids its calls and nothing else.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';

import { HostError } from '../errors.ts';
import type { Exec } from '../exec/exec.ts';
import { findNearest } from '../schema/nearest.ts';
import type { Asked } from './asked.ts';
import { systemdGroup, SYSTEMD_GROUPS } from './syscall-groups.ts';

/**
 * Kept whatever is retained: the shim's last call, which starts the app; the end of a process; and what returns from a signal
 * handler, which no program calls by itself.
 */
const ALWAYS_RETAINED = [
  'execve',
  'exit',
  'exit_group',
  'restart_syscall',
  'rt_sigreturn',
  'sigreturn',
];

/** Without it no app could be started. */
const NEVER_REMOVED = 'execve';

/** Names for our default list that images made for other executors use. */
const DEFAULT_RETAIN = [
  '@jetpack/default-retain',
  '@rkt/default-whitelist',
  '@docker/default-whitelist',
];
const DEFAULT_REMOVE = [
  '@jetpack/default-remove',
  '@rkt/default-blacklist',
  '@docker/default-blacklist',
];
const ALL = '@appc.io/all';
const EMPTY = '@appc.io/empty';

export type SeccompIsolator = 'os/linux/seccomp-retain-set' | 'os/linux/seccomp-remove-set';

/** A line of seccomp/default.list. */
interface DefaultRule {
  /** `allow`, `errno EPERM`. */
  readonly action: string;
  readonly names: readonly string[];
  /** `where …`, for one name. */
  readonly condition: string | undefined;
}

/** What to compile: the text, and for each of its lines the index in the set that it comes from. */
export interface FilterList {
  readonly lines: readonly string[];
  readonly origins: readonly (number | undefined)[];
}

/** A name in a set that means nothing; `index` is its place. */
export class SetFault extends Error {
  readonly index: number;
  constructor(index: number, message: string) {
    super(message);
    this.index = index;
  }
}

export function parseDefaultList(text: string): readonly DefaultRule[] {
  const rules: DefaultRule[] = [];
  for (const line of text.split('\n')) {
    const words = line
      .replace(/#.*/, '')
      .split(/\s+/)
      .filter((word) => word !== '');
    const width = words[0] === 'allow' ? 1 : words[0] === 'errno' ? 2 : 0;
    if (width === 0) continue;
    const where = words.indexOf('where');
    rules.push({
      action: words.slice(0, width).join(' '),
      names: words.slice(width, where === -1 ? undefined : where),
      condition: where === -1 ? undefined : words.slice(where).join(' '),
    });
  }
  return rules;
}

/**
 * Calls that the default list answers in a way that run-times rely on (ENOSYS makes them fall back), or refuses for some
 * arguments only: an app asks for them innocently, so a group never turns them into its end.
 */
function keepsItsAnswer({ action, condition }: DefaultRule): boolean {
  return action !== 'allow' && (condition !== undefined || action === 'errno ENOSYS');
}

class ListBuilder {
  readonly lines: string[] = [];
  readonly origins: (number | undefined)[] = [];
  readonly #said = new Set<string>();

  add(line: string, origin?: number): void {
    this.lines.push(line);
    this.origins.push(origin);
  }

  /** Whole calls; the first word about one stands. */
  addNames(action: string, names: readonly string[], origin?: number): void {
    const news = names.filter((name) => !this.#said.has(name));
    for (const name of news) this.#said.add(name);
    if (news.length > 0) this.add(`${action} ${news.join(' ')}`, origin);
  }

  /** Of the default list, what nobody has said anything about. */
  addRules(rules: readonly DefaultRule[], actionOf: (rule: DefaultRule) => string): void {
    const said = new Set(this.#said);
    for (const rule of rules) {
      const names = rule.names.filter((name) => !said.has(name));
      if (names.length === 0) continue;
      this.add(
        [actionOf(rule), ...names, ...(rule.condition === undefined ? [] : [rule.condition])].join(
          ' ',
        ),
      );
      for (const name of names) this.#said.add(name);
    }
  }
}

function unknownGroup(name: string, index: number): SetFault {
  const known = [
    ALL,
    EMPTY,
    ...DEFAULT_RETAIN,
    ...DEFAULT_REMOVE,
    ...Object.keys(SYSTEMD_GROUPS).map((group) => `@systemd/${group}`),
  ];
  const near = findNearest(name, known);
  return new SetFault(
    index,
    `there is no group "${name}"${near === undefined ? '' : `: is it "${near}"?`}`,
  );
}

const SYSTEM_CALL = /^[a-z_][a-z0-9_]*$/;

/** The groups and single names of a set, in the order in which they have a say: what is named by itself comes first. */
function addSet(
  list: ListBuilder,
  set: readonly string[],
  action: string,
  special: ReadonlySet<string>,
): void {
  list.add('strict');
  set.forEach((name, index) => {
    if (name.startsWith('@')) return;
    if (!SYSTEM_CALL.test(name))
      throw new SetFault(index, `"${name}" is not the name of a system call`);
    list.addNames(action, [name], index);
  });
  list.add('lenient');
  set.forEach((name, index) => {
    if (!name.startsWith('@') || special.has(name)) return;
    const members = name.startsWith('@systemd/') ? systemdGroup(name.slice(9)) : undefined;
    if (members === undefined) throw unknownGroup(name, index);
    list.addNames(action, members, index);
  });
}

/** Pure. Undefined: no filter at all. Throws SetFault. */
export function retainList(
  set: readonly string[],
  errno: string | undefined,
  defaults: readonly DefaultRule[],
): FilterList | undefined {
  const misplaced = set.findIndex((name) => name === EMPTY || DEFAULT_REMOVE.includes(name));
  if (misplaced !== -1)
    throw new SetFault(misplaced, `"${set[misplaced] ?? ''}" belongs to sets that are removed`);
  const special = new Set([ALL, ...DEFAULT_RETAIN]);
  const list = new ListBuilder();
  list.add(`default ${errno === undefined ? 'kill' : `errno ${errno}`}`);
  addSet(list, set, 'allow', special);
  list.addNames('allow', ALWAYS_RETAINED);
  if (set.includes(ALL)) return undefined;
  if (set.some((name) => DEFAULT_RETAIN.includes(name))) {
    list.addRules(
      defaults.filter((rule) => rule.action === 'allow' || keepsItsAnswer(rule)),
      (rule) => rule.action,
    );
  }
  return list;
}

/** Pure. Undefined: no filter at all. Throws SetFault. */
export function removeList(
  set: readonly string[],
  errno: string | undefined,
  defaults: readonly DefaultRule[],
): FilterList | undefined {
  const misplaced = set.findIndex((name) => name === ALL || DEFAULT_RETAIN.includes(name));
  if (misplaced !== -1)
    throw new SetFault(misplaced, `"${set[misplaced] ?? ''}" belongs to sets that are retained`);
  const needed = set.indexOf(NEVER_REMOVED);
  if (needed !== -1)
    throw new SetFault(needed, `without ${NEVER_REMOVED} the app could not be started`);
  const action = errno === undefined ? 'kill' : `errno ${errno}`;
  const special = new Set([EMPTY, ...DEFAULT_REMOVE]);
  const list = new ListBuilder();
  list.add('default allow');
  list.addNames('allow', [NEVER_REMOVED]);
  addSet(list, set, action, special);
  const byDefault = set.some((name) => DEFAULT_REMOVE.includes(name));
  if (byDefault) {
    list.addRules(
      defaults.filter((rule) => rule.action !== 'allow'),
      (rule) => (keepsItsAnswer(rule) ? rule.action : action),
    );
  }
  const removesNothing = !byDefault && set.every((name) => name === EMPTY);
  return removesNothing ? undefined : list;
}

export interface FilterTools {
  readonly exec: Pick<Exec, 'runSync'>;
  /** Folder of jetpack-seccomp and seccomp-default.list. */
  readonly libexec: string;
}

function readDefaults(libexec: string): readonly DefaultRule[] {
  const file = path.join(libexec, 'seccomp-default.list');
  try {
    return parseDefaultList(readFileSync(file, 'utf8'));
  } catch (cause) {
    throw new HostError('IO_FAILED', `cannot read ${file}`, {
      remedies: ['is path.libexec right? See: jetpack config path.libexec'],
      cause,
    });
  }
}

/** `jetpack-seccomp: line 3: no system call: opn` → its line and words. */
function parseComplaint(
  stderr: string,
): { readonly line: number; readonly text: string } | undefined {
  const match = /^jetpack-seccomp: line (\d+): (.*)$/m.exec(stderr);
  return match === null ? undefined : { line: Number(match[1]), text: match[2] ?? '' };
}

/**
 * The filter that the isolator asks for, compiled; undefined when it asks for none. Throws ManifestError, with the place,
 * for names that mean nothing.
 */
export function compileFilter(
  asked: Asked,
  isolator: SeccompIsolator,
  { exec, libexec }: FilterTools,
): Uint8Array | undefined {
  const value = asked.value(isolator);
  if (value === undefined) return undefined;
  const defaults = readDefaults(libexec);
  const { set, errno } = value;
  let list: FilterList | undefined;
  try {
    list =
      isolator === 'os/linux/seccomp-retain-set'
        ? retainList(set, errno, defaults)
        : removeList(set, errno, defaults);
  } catch (error) {
    if (error instanceof SetFault)
      asked.impossible(isolator, `.set[${String(error.index)}]`, error.message);
    throw error;
  }
  if (list === undefined) return undefined;
  const program = path.join(libexec, 'jetpack-seccomp');
  const { status, stdout, stderr } = exec.runSync([program, 'compile', '-', '-'], {
    input: `${list.lines.join('\n')}\n`,
  });
  if (status === 0) return Buffer.from(stdout, 'hex');
  const complaint = parseComplaint(stderr);
  if (complaint?.text.startsWith('no errno') === true)
    asked.impossible(isolator, '.errno', `there is no error "${errno ?? ''}" (errno(3))`);
  const origin = complaint === undefined ? undefined : list.origins[complaint.line - 1];
  if (origin !== undefined && complaint?.text.startsWith('no system call') === true) {
    asked.impossible(
      isolator,
      `.set[${String(origin)}]`,
      `there is no system call "${set[origin] ?? ''}"`,
    );
  }
  throw new HostError(
    'TOOL_FAILED',
    `${program} failed: ${stderr.trim() || `status ${String(status)}`}`,
  );
}
