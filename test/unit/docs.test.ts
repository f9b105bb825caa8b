/** What the documentation says must be there: commands, scripts, files. Its generated parts: scripts/generate-docs.mjs --check. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, it } from 'vitest';

import { findCommand } from '../../src/cli/command-table.ts';

const PROJECT = path.resolve(import.meta.dirname, '../..');

function read(file: string): string {
  return readFileSync(path.join(PROJECT, file), 'utf8');
}

/** The content of the fenced blocks, all or those of one language. */
function blocksOf(text: string, language?: string): readonly string[] {
  return [...text.matchAll(/^```(\w*)\n(.*?)^```$/gms)]
    .filter(([, name]) => language === undefined || name === language)
    .map(([, , content = '']) => content);
}

/** The words after each `jetpack` that begins a command, without global flags. */
function commandLinesOf(block: string): readonly (readonly string[])[] {
  return [...block.matchAll(/(?:^|[|;&(]|\$ )[ \t]*jetpack +([^\n]*)/gm)].map(([, rest = '']) =>
    rest.split(/[\s)]+/).filter((word) => word !== ''),
  );
}

/** Where the links of a page lead, without those to the web and to the page itself. */
function linksOf(text: string): readonly string[] {
  const prose = text.replaceAll(/^```.*?^```$/gms, '').replaceAll(/`[^`]*`/g, '');
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target = '']) => target.replace(/#.*$/, ''))
    .filter((target) => target !== '' && !/^[a-z]+:/.test(target));
}

/** Written by a run of npm run test:vm, and linked to before there was one. */
const WRITTEN_LATER: ReadonlySet<string> = new Set(['docs/tested.md']);

const pages = ['.', 'docs', 'docs/adr'].flatMap((folder) =>
  readdirSync(path.join(PROJECT, folder))
    .filter((name) => name.endsWith('.md'))
    .map((name) => path.posix.join(folder, name)),
);

describe('every page', () => {
  it.each(pages)('%s links only to files that exist', (page) => {
    const missing = linksOf(read(page))
      .map((target) => path.posix.join(path.posix.dirname(page), target))
      .filter((file) => !WRITTEN_LATER.has(file) && !existsSync(path.join(PROJECT, file)));
    expect(missing).toEqual([]);
  });

  it.each(pages)('%s names only scripts of npm that exist', (page) => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    const named = [...read(page).matchAll(/npm run ([a-z][a-z:-]*)/g)].map(([, name = '']) => name);
    expect(named.filter((name) => !(name in scripts))).toEqual([]);
  });

  it.each(pages)('%s names only files of scripts/ that exist', (page) => {
    const named = [...read(page).matchAll(/\bscripts\/[\w-]+\.(?:sh|mjs)\b/g)].map(
      ([file]) => file,
    );
    expect(named.filter((file) => !existsSync(path.join(PROJECT, file)))).toEqual([]);
  });
});

describe('the commands in the code blocks', () => {
  it.each(['README.md', 'IMAGES.md'])('of %s are commands or their aliases', (page) => {
    const lines = blocksOf(read(page)).flatMap(commandLinesOf);
    expect(lines.length).toBeGreaterThan(1);
    const unknown = lines.filter(
      (words) => !words[0]?.startsWith('-') && findCommand(words) === undefined,
    );
    expect(unknown).toEqual([]);
  });

  it('are found wherever a shell would start them', () => {
    const block = `$ jetpack list -q\njetpack: no\n  jetpack image show x\na | jetpack import -\njetpack rm $(jetpack list -q)\njetpack-init\n`;
    expect(commandLinesOf(block).map(([first]) => first)).toEqual([
      'list',
      'image',
      'import',
      'rm',
    ]);
    expect(blocksOf(`\`\`\`sh\na\n\`\`\`\n\n\`\`\`text\nb\n\`\`\`\n`, 'sh')).toEqual(['a\n']);
    expect(linksOf('[a](b.md#c) [d](#e) [f](https://g) `[h](i)`')).toEqual(['b.md']);
  });
});

describe('README.md', () => {
  it('has a place for the numbers of the bench', () => {
    expect(read('README.md')).toMatch(/<!-- bench -->[^]*<!-- \/bench -->/);
  });
});

describe('docs/appc.md', () => {
  const references = [
    ...read('docs/appc.md').matchAll(/`((?:unit|operation|integration)\/[\w./-]+): ([^`]+)`/g),
  ];

  it('has a test for most of its lines', () => {
    expect(references.length).toBeGreaterThan(60);
  });

  it.each(references.map(([, file = '', title = '']) => [file, title]))(
    'names a test of test/%s.ts that is there: %s',
    (file, title) => {
      expect(read(`test/${file}.ts`).replaceAll('\\', '')).toContain(title);
    },
  );
});
