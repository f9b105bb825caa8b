import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

/** The walls between the rooms of src/ (ARCHITECTURE.md). A broken one is named by the sentence of its rule. */

interface Import {
  /** Path below src/. */
  readonly from: string;
  /** Path below src/, or the name of a package. */
  readonly to: string;
  readonly isLocal: boolean;
  readonly isTypeOnly: boolean;
}

interface Rule {
  readonly sentence: string;
  readonly isBroken: (edge: Import) => boolean;
}

const src = path.join(import.meta.dirname, '..', '..', 'src');

/** Who stands on whose shoulders: a room may import from its own floor and from those below. */
const FLOORS: readonly (readonly string[])[] = [
  ['errors.ts', 'schema'],
  ['formats'],
  ['exec'],
  ['zfs', 'runtime', 'network', 'host'],
  ['trust'],
  ['fetch'],
  ['image'],
  ['pod'],
  ['build'],
  ['mds'],
  ['cli'],
  ['commands'],
];

/** Interfaces that others see instead of what is behind them; whoever imports only their types builds nothing. */
const CONTRACTS: readonly string[] = [
  'exec/exec.ts',
  'zfs/zfs.ts',
  'runtime/runtime.ts',
  'network/network.ts',
  'pod/plan.ts',
];

/** The one place that names every command, and loads each when it is asked for. */
const COMMAND_TABLE = 'cli/command-table.ts';

const ADAPTERS = /^(?:exec\/child|zfs\/cli|(?:runtime|network)\/(?:linux|freebsd))\.ts$/;

function roomOf(file: string): string {
  return file.split('/')[0] ?? file;
}

function floorOf(file: string): number {
  return FLOORS.findIndex((rooms) => rooms.includes(roomOf(file)));
}

const RULES: readonly Rule[] = [
  {
    sentence: 'A room imports only from its own floor and from the floors below it.',
    isBroken: (edge) =>
      edge.isLocal &&
      !(edge.isTypeOnly && CONTRACTS.includes(edge.to)) &&
      edge.from !== COMMAND_TABLE &&
      floorOf(edge.to) > floorOf(edge.from),
  },
  {
    sentence:
      'Only the composition roots (src/cli, src/mds/main.ts) know adapters; all others get ports.',
    isBroken: (edge) =>
      ADAPTERS.test(edge.to) &&
      roomOf(edge.from) !== roomOf(edge.to) &&
      roomOf(edge.from) !== 'cli' &&
      edge.from !== 'mds/main.ts',
  },
  {
    sentence:
      'The metadata service sees pods read-only: schemas, errors, and what src/pod and src/host tell it; only its entry starts a program, to become it.',
    isBroken: (edge) =>
      edge.isLocal &&
      roomOf(edge.from) === 'mds' &&
      !(edge.from === 'mds/main.ts' && roomOf(edge.to) === 'exec') &&
      !['mds', 'pod', 'schema', 'errors.ts', 'host'].includes(roomOf(edge.to)),
  },
  {
    sentence: 'Only src/exec starts programs.',
    isBroken: (edge) =>
      /^(?:node:)?child_process$|^execa$/.test(edge.to) && roomOf(edge.from) !== 'exec',
  },
  {
    sentence: 'Only src/cli and src/commands know oclif.',
    isBroken: (edge) =>
      edge.to.startsWith('@oclif/') && !['cli', 'commands'].includes(roomOf(edge.from)),
  },
  {
    sentence: 'Schemas are written with zod/mini, which costs a tenth of zod at start.',
    isBroken: (edge) => edge.to === 'zod',
  },
];

const IMPORT =
  /(?:^|\n)\s*(?:import|export)\s+(type\s+)?([^'"`;]*?\sfrom\s+)?['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)/g;

function importsOf(file: string, text: string): readonly Import[] {
  return [...text.matchAll(IMPORT)].map(([, type, names = '', target = '', dynamic]) => {
    const specifier = dynamic ?? target;
    const isLocal = specifier.startsWith('.');
    const inner =
      /\{([^}]*)\}/
        .exec(names)?.[1]
        ?.split(',')
        .map((name) => name.trim()) ?? [];
    const named = inner.filter((name) => name !== '');
    return {
      from: file,
      to: isLocal ? path.posix.join(path.posix.dirname(file), specifier) : specifier,
      isLocal,
      isTypeOnly:
        dynamic === undefined &&
        (type !== undefined ||
          (named.length > 0 && named.every((name) => name.startsWith('type ')))),
    };
  });
}

const edges = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .flatMap((file) => importsOf(file, readFileSync(path.join(src, file), 'utf8')));

describe('the walls of src/', () => {
  it.each(RULES)('$sentence', ({ isBroken }) => {
    expect(edges.filter(isBroken).map(({ from, to }) => `${from} imports ${to}`)).toEqual([]);
  });

  it('know every room', () => {
    const rooms = readdirSync(src).filter((name) => !FLOORS.flat().includes(name));
    expect(rooms).toEqual([]);
  });

  it('see every kind of import', () => {
    const text = `import a from './a.ts';\nimport type { B } from '../b/b.ts';\nimport {\n  type C,\n  type D,\n} from '../c/c.ts';
import { type E, f } from 'e';\nexport { g } from '../g.ts';\nimport 'h';\nconst i = await import('./i.ts');\n`;
    expect(importsOf('room/x.ts', text)).toEqual([
      { from: 'room/x.ts', to: 'room/a.ts', isLocal: true, isTypeOnly: false },
      { from: 'room/x.ts', to: 'b/b.ts', isLocal: true, isTypeOnly: true },
      { from: 'room/x.ts', to: 'c/c.ts', isLocal: true, isTypeOnly: true },
      { from: 'room/x.ts', to: 'e', isLocal: false, isTypeOnly: false },
      { from: 'room/x.ts', to: 'g.ts', isLocal: true, isTypeOnly: false },
      { from: 'room/x.ts', to: 'h', isLocal: false, isTypeOnly: false },
      { from: 'room/x.ts', to: 'room/i.ts', isLocal: true, isTypeOnly: false },
    ]);
  });
});
