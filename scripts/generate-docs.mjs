// Writes what is generated in the documentation, from the command classes and the configuration's keys themselves:
//
//   README.md                     the command reference, between <!-- commands --> and <!-- /commands -->
//   docs/isolators.md             the groups of system calls, between <!-- groups --> and <!-- /groups -->
//   docs/man/jetpack.1            from scripts/man/jetpack.1.in
//   docs/man/jetpack.conf.5       from scripts/man/jetpack.conf.5.in
//   docs/man/jetpack-mds.8        from scripts/man/jetpack-mds.8.in
//
// With --check it writes nothing and fails when one of them is not fresh. The templates have the prose; a line `@commands@` or
// `@keys@` in them is replaced by what is generated, `@version@` by the version.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const read = (file) => readFileSync(path.join(root, file), 'utf8');

// The program is built as CommonJS; its sources find the package by __dirname.
globalThis.__dirname = path.join(root, 'dist');
const { createFullConfig } = await import('../src/cli/help.ts');
const { globalFlags } = await import('../src/cli/base-command.ts');
const { commandTable } = await import('../src/cli/command-table.ts');
const { SYSTEMD_GROUPS } = await import('../src/runtime/syscall-groups.ts');
const { CONFIG_KEYS, defaultSettings } = await import('../src/host/config.ts');

const packageJson = JSON.parse(read('package.json'));
const { bin } = packageJson.oclif;
const globalNames = Object.keys(globalFlags);

// --- What there is to tell ----------------------------------------------------------------------------------------------

function fill(text) {
  return text.replaceAll('<%= config.bin %>', bin);
}

function describeFlag(flag) {
  const value =
    flag.type === 'boolean'
      ? ''
      : `=${flag.helpValue ?? flag.options?.join('|') ?? flag.name.split('-').at(-1).toUpperCase()}`;
  const name = flag.allowNo ? `--[no-]${flag.name}` : `--${flag.name}`;
  const notes = [
    ...(flag.multiple ? ['may be repeated'] : []),
    ...(typeof flag.default === 'string' && flag.default !== '' ? [`default ${flag.default}`] : []),
  ];
  const summary = [flag.summary ?? '', notes.length === 0 ? '' : `(${notes.join('; ')})`];
  return {
    char: flag.char,
    long: `${name}${value}`,
    summary: summary.filter((part) => part !== '').join(' '),
    group: flag.helpGroup ?? '',
  };
}

function byName(a, b) {
  return a.long < b.long ? -1 : 1;
}

function describeCommand({ id, aliases }, config) {
  const command = config.commands.find((candidate) => candidate.id === id);
  const name = id.replaceAll(':', ' ');
  const flags = Object.entries(command.flags)
    .filter(([flag, { hidden }]) => !globalNames.includes(flag) && !hidden)
    .map(([flag, spec]) => describeFlag({ ...spec, name: flag }))
    .sort(byName);
  const args = Object.values(command.args).map((arg) => ({
    word: arg.required ? arg.name.toUpperCase() : `[${arg.name.toUpperCase()}]`,
    summary: arg.description ?? '',
  }));
  const usage = command.usage ?? [
    [name, ...(flags.length === 0 ? [] : ['[FLAGS]']), ...args.map(({ word }) => word)].join(' '),
  ];
  return {
    name,
    aliases: aliases.map((alias) => alias.replaceAll(':', ' ')),
    summary: fill(command.summary),
    description: fill(command.description ?? ''),
    usage: [usage].flat().map((line) => `${bin} ${fill(line)}`),
    args: command.usage === undefined ? args : [],
    flags,
    examples: (command.examples ?? []).map(fill),
  };
}

async function describeCommands() {
  const config = await createFullConfig({ packageJson, root, argv: [] });
  return commandTable
    .filter(({ hidden }) => !hidden)
    .map((entry) => describeCommand(entry, config));
}

/** What each key means; a key without a line here, or a line without a key, stops the generation. */
const KEY_PROSE = {
  'root.zfs': [
    'dataset',
    'The root dataset: everything of jetpack is in it. `jetpack init` chooses *POOL*/jetpack of the first pool and writes it into the file.',
  ],
  'root.mountpoint': [
    'folder',
    'Where the plain files are: images, pods, indexes, locks. Its length is limited, since sockets are made below it.',
  ],
  'path.libexec': ['folder', 'Where jetpack-shim and the compiled system call filter are.'],
  'path.share': ['folder', 'Data files of the package.'],
  'logs.max-bytes': ['bytes', 'The size at which the log of an app is rotated. At least 4096.'],
  'logs.keep': ['number', 'How many rotated logs of an app stay beside the present one.'],
  'stop.grace-ms': ['milliseconds', 'The time that apps have between TERM and KILL.'],
  'mds.port': ['number', 'The TCP port of the metadata service, and of the relays to it in pods.'],
  'mds.listen': [
    'list',
    'What the metadata service listens on, separated by commas: addresses, and names of interfaces such as a bridge of pods, whose addresses are taken as they appear. `127.0.0.1` must be among them; `0.0.0.0` and `::` are refused.',
  ],
  'mds.user': ['user', 'The account that the metadata service and the relays to it run as.'],
  'mds.warn': [
    '`yes` or `no`',
    'Whether `run` and `prepare` tell when the metadata service does not answer.',
  ],
  'zfs.program': ['file', 'The zfs program, where it is in none of the usual places.'],
  'zpool.program': ['file', 'The zpool program, where it is in none of the usual places.'],
};

function describeKeys() {
  const stray = Object.keys(KEY_PROSE).find((key) => !CONFIG_KEYS.includes(key));
  if (stray !== undefined)
    throw new Error(`generate-docs.mjs describes the key ${stray}, which does not exist`);
  const defaultsOf = (platform) =>
    new Map(
      defaultSettings({ platform, packageDir: '*PACKAGE*' }).map(({ key, value }) => [key, value]),
    );
  const linux = defaultsOf('linux');
  const freebsd = defaultsOf('freebsd');
  return CONFIG_KEYS.map((key) => {
    const prose = KEY_PROSE[key];
    if (prose === undefined) throw new Error(`generate-docs.mjs does not describe the key ${key}`);
    const [kind, text] = prose;
    const ours = linux.get(key);
    const theirs = freebsd.get(key);
    const value =
      ours === theirs ? (ours ?? 'none') : `${ours ?? 'none'} (FreeBSD: ${theirs ?? 'none'})`;
    return { key, kind, text, value };
  });
}

// --- README.md ----------------------------------------------------------------------------------------------------------

/** Left column padded to one width; what does not fit into it puts its text on the next line. */
function columns(rows) {
  const lengths = rows.map(([left]) => left.length).filter((length) => length <= 34);
  const width = Math.max(0, ...lengths);
  return rows.map(([left, right]) => {
    if (right === '') return `  ${left}`;
    if (left.length > width) return `  ${left}\n  ${' '.repeat(width)}  ${right}`;
    return `  ${left.padEnd(width)}  ${right}`;
  });
}

function flagRow({ char, long, summary }) {
  return [`${char === undefined ? '   ' : `-${char},`} ${long}`, summary];
}

function renderReferenceOf({ name, aliases, summary, description, usage, args, flags, examples }) {
  const groups = [...new Set(flags.map(({ group }) => group))].sort();
  const blocks = [
    usage,
    columns(args.map(({ word, summary: text }) => [word, text])),
    ...groups.map((group) => [
      ...(group === '' ? [] : [`  of an ${group.toLowerCase()}:`]),
      ...columns(flags.filter((flag) => flag.group === group).map(flagRow)),
    ]),
    examples.map((line) => `  ${line}`),
  ].filter((lines) => lines.length > 0);
  const also =
    aliases.length === 0
      ? ''
      : ` Also: ${aliases.map((alias) => `\`${bin} ${alias}\``).join(', ')}.`;
  const prose = [`${summary}.${also}`, description].filter((text) => text !== '').join('\n\n');
  return `### ${bin} ${name}\n\n${prose}\n\n\`\`\`text\n${blocks.map((lines) => lines.join('\n')).join('\n\n')}\n\`\`\`\n`;
}

function anchor(name) {
  return `#${bin}-${name.replaceAll(' ', '-')}`;
}

function renderReference(commands) {
  const index = commands.map(({ name }) => `[${name}](${anchor(name)})`).join(' · ');
  const globals = columns(
    Object.entries(globalFlags)
      .map(([name, flag]) => describeFlag({ ...flag, name }))
      .sort(byName)
      .map(flagRow),
  ).join('\n');
  const head = `${index}\n\nEvery command knows these flags too, and \`--help\`:\n\n\`\`\`text\n${globals}\n\`\`\`\n`;
  return [head, ...commands.map(renderReferenceOf)].join('\n');
}

function replaceBetween(text, name, content) {
  const [start, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
  const from = text.indexOf(start);
  const to = text.indexOf(end);
  if (from === -1 || to < from) throw new Error(`README.md has no ${start} … ${end}`);
  return `${text.slice(0, from + start.length)}\n\n${content}\n${text.slice(to)}`;
}

// --- man pages ----------------------------------------------------------------------------------------------------------

const ROFF = {
  '\\': '\\e',
  '-': '\\-',
  '…': '...',
  "'": '\\(aq',
  '`': '\\(ga',
  '^': '\\(ha',
  '~': '\\(ti',
};

function roff(text) {
  const escaped = text.replaceAll(/[\\\-…'`^~]/g, (character) => ROFF[character]);
  const odd = /[^\x20-\x7e\n]/.exec(escaped);
  if (odd !== null)
    throw new Error(`generate-docs.mjs cannot write "${odd[0]}" in a man page: ${text}`);
  return escaped.replaceAll(/^(?=\.)/gm, '\\&');
}

/** Ordinary words: `code` bold, *word* italic; no hyphen of prose becomes a minus. */
function roffProse(text) {
  return text
    .split(/(`[^`]+`|\*[^*]+\*)/)
    .map((part) => {
      if (part.startsWith('`')) return `\\fB${roff(part.slice(1, -1))}\\fR`;
      if (part.startsWith('*')) return `\\fI${roff(part.slice(1, -1))}\\fR`;
      return roff(part)
        .replaceAll(/(?<=[a-z])\\-(?=[a-z])/g, '-')
        .replaceAll('\\(aq', "'");
    })
    .join('')
    .replaceAll(/^(?=')/gm, '\\&');
}

/** Flags bold, what stands for a value italic. */
function roffUsage(line) {
  return roff(line).replaceAll(/\b[A-Z]{2,}\b/g, '\\fI$&\\fR');
}

function roffFlag({ char, long }) {
  const [name, value] = [long.split('=')[0], long.slice(long.indexOf('=') + 1)];
  const short = char === undefined ? '' : `\\fB${roff(`-${char}`)}\\fR, `;
  const text = value === name ? '' : `=\\fI${roff(value)}\\fR`;
  return `${short}\\fB${roff(name)}\\fR${text}`;
}

function tagged(tag, text) {
  return text === '' ? ['.TP', tag, '\\&'] : ['.TP', tag, text];
}

function renderManOf({ name, aliases, summary, description, usage, args, flags, examples }) {
  const also = aliases.map((alias) => `\\fB${roff(alias)}\\fR`).join(', ');
  const groups = [...new Set(flags.map(({ group }) => group))].sort();
  return [
    `.SS ${roff(name)}`,
    '.nf',
    ...usage.map(roffUsage),
    '.fi',
    '.PP',
    `${roffProse(summary)}.`,
    ...(description === '' ? [] : description.split('\n').map(roffProse)),
    ...(also === '' ? [] : [`Also: ${also}.`]),
    ...args.flatMap(({ word, summary: text }) => tagged(`\\fI${roff(word)}\\fR`, roffProse(text))),
    ...groups.flatMap((group) => [
      ...(group === '' ? [] : ['.PP', `Flags of an ${group.toLowerCase()}:`]),
      ...flags
        .filter((flag) => flag.group === group)
        .flatMap((flag) => tagged(roffFlag(flag), roffProse(flag.summary))),
    ]),
    '.PP',
    '.nf',
    '.RS',
    ...examples.map(roff),
    '.RE',
    '.fi',
  ].join('\n');
}

function renderManKey({ key, kind, text, value }) {
  return [
    '.TP',
    `\\fB${roff(key)}\\fR = \\fI${kind}\\fR`,
    roffProse(text),
    `Default: ${roffProse(value.replace(/^\*PACKAGE\*\/(.*)$/, '*$1* in the package'))}.`,
  ].join('\n');
}

function renderGlobalFlags() {
  return Object.entries(globalFlags)
    .map(([name, flag]) => describeFlag({ ...flag, name }))
    .sort(byName)
    .flatMap((flag) => tagged(roffFlag(flag), roffProse(flag.summary)))
    .join('\n');
}

/** A member with `@` is another group. */
function renderGroups() {
  const wordOf = (member) => (member.startsWith('@') ? `@systemd/${member.slice(1)}` : member);
  const rows = Object.entries(SYSTEMD_GROUPS).map(
    ([name, members]) => `| \`@systemd/${name}\` | \`${members.map(wordOf).join(' ')}\` |`,
  );
  return ['| Group | System calls |', '|---|---|', ...rows].join('\n');
}

/** A function as replacement: `$&` in a text is no pattern then. */
function fillTemplate(file, pieces) {
  let text = read(file);
  for (const [name, content] of Object.entries(pieces)) {
    if (!text.includes(`@${name}@`)) throw new Error(`${file} has no @${name}@`);
    text = text.replaceAll(`@${name}@`, () => content);
  }
  return text;
}

// --- All of it ----------------------------------------------------------------------------------------------------------

const commands = await describeCommands();
const { version } = packageJson;
const files = {
  'README.md': replaceBetween(read('README.md'), 'commands', renderReference(commands)),
  'docs/isolators.md': replaceBetween(read('docs/isolators.md'), 'groups', renderGroups()),
  'docs/man/jetpack.1': fillTemplate('scripts/man/jetpack.1.in', {
    version,
    globals: renderGlobalFlags(),
    commands: commands.map(renderManOf).join('\n'),
  }),
  'docs/man/jetpack-mds.8': fillTemplate('scripts/man/jetpack-mds.8.in', { version }),
  'docs/man/jetpack.conf.5': fillTemplate('scripts/man/jetpack.conf.5.in', {
    version,
    keys: describeKeys().map(renderManKey).join('\n'),
  }),
};

function readIfThere(file) {
  try {
    return read(file);
  } catch {
    return '';
  }
}

const check = process.argv.includes('--check');
for (const [file, text] of Object.entries(files)) {
  if (readIfThere(file) === text) continue;
  if (check) {
    process.stderr.write(`${file} is not fresh; run: node scripts/generate-docs.mjs\n`);
    process.exitCode = 1;
  } else {
    mkdirSync(path.dirname(path.join(root, file)), { recursive: true });
    writeFileSync(path.join(root, file), text);
    process.stdout.write(`${file}\n`);
  }
}
