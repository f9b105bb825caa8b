/** Readers of the machine-readable output of zfs(8) and zpool(8): pure, one row per line, fields between tabs. */
import { LIST_COLUMNS } from './argv.ts';
import type { DatasetName, DatasetRow, DatasetType, Properties } from './zfs.ts';

/** Output that is not what the implementations were seen to print; the adapter turns it into ZFS_FAILED. */
export class UnexpectedOutput extends Error {}

export function parseLines(stdout: string): readonly string[] {
  return stdout.split('\n').filter((line) => line !== '');
}

function fields(line: string, count: number): readonly string[] {
  const parts = line.split('\t');
  if (parts.length !== count) throw new UnexpectedOutput(`not ${String(count)} fields: ${line}`);
  return parts;
}

function parseBytes(text: string | undefined): number {
  if (text === undefined || !/^\d+$/.test(text)) {
    throw new UnexpectedOutput(`not a size: ${text ?? 'nothing'}`);
  }
  return Number(text);
}

function parseType(text: string | undefined): DatasetType {
  if (text === 'filesystem' || text === 'snapshot' || text === 'volume') return text;
  throw new UnexpectedOutput(`not a type of dataset: ${text ?? 'nothing'}`);
}

function rowOf(name: string, value: (column: string) => string | undefined): DatasetRow {
  const present = (column: string) => {
    const text = value(column);
    return text === '-' ? undefined : text;
  };
  const creation = value('creation');
  return {
    name: name as DatasetName,
    type: parseType(value('type')),
    // The empty value is what zfs-fuse's daemon says of a clone whose origin is being destroyed.
    origin: (present('origin') || undefined) as DatasetName | undefined,
    usedBytes: parseBytes(value('used')),
    referencedBytes: parseBytes(value('referenced')),
    createdAtS: creation !== undefined && /^\d+$/.test(creation) ? Number(creation) : undefined,
    mountpoint: present('mountpoint'),
    mounted: value('mounted') === 'yes',
  };
}

/** Output of `listArgv`. */
export function parseList(stdout: string): readonly DatasetRow[] {
  return parseLines(stdout).map((line) => {
    const parts = fields(line, LIST_COLUMNS.length);
    return rowOf(parts[0] ?? '', (column) => parts[LIST_COLUMNS.findIndex((c) => c === column)]);
  });
}

/** Output of `listByGetArgv`: the rows of one dataset are together. */
export function parseListByGet(stdout: string): readonly DatasetRow[] {
  const datasets = new Map<string, Map<string, string>>();
  for (const line of parseLines(stdout)) {
    const [name = '', property = '', value = ''] = fields(line, 3);
    const values = datasets.get(name) ?? new Map<string, string>();
    datasets.set(name, values.set(property, value));
  }
  return [...datasets].map(([name, values]) => rowOf(name, (column) => values.get(column)));
}

/** Output of `getArgv`; what is not set (value and source are both a dash) is left out. */
export function parseGet(stdout: string): Properties {
  const properties: Record<string, string> = {};
  for (const line of parseLines(stdout)) {
    const [property = '', value = '', source = ''] = fields(line, 3);
    if (value !== '-' || source !== '-') properties[property] = value;
  }
  return properties;
}

/** Output of `holdsArgv`: the tags. */
export function parseHolds(stdout: string): readonly string[] {
  return parseLines(stdout).map((line) => fields(line, 3)[1] ?? '');
}

/** What `zfs` alone prints: which subcommands there are and which letters they take. */
export interface Usage {
  has(command: string): boolean;
  takes(command: string, option: string): boolean;
}

export function parseUsage(text: string): Usage {
  const forms = text.split('\n').flatMap((line) => {
    const match = /^\t([a-z]+)\b(.*)$/.exec(line);
    return match?.[1] === undefined ? [] : [{ command: match[1], options: match[2] ?? '' }];
  });
  return {
    has: (command) => forms.some((form) => form.command === command),
    takes: (command, option) =>
      forms.some(
        (form) =>
          form.command === command &&
          [...form.options.matchAll(/(?:^|[\s[|])-([A-Za-z]+)/g)].some(([, letters]) =>
            letters?.includes(option),
          ),
      ),
  };
}
