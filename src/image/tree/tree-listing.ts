/**
 * The listing of an image's tree: one line of text for everything in it, written while it is unpacked and read by verify.
 *
 *     jetpack-tree 1
 *     f 0644 0 0 1700000000.123456 5 sha256:… etc/hostname     file: size, digest of its content, holes as zeros
 *     d 0755 0 0 1700000000 - - etc                            folder; the root is `.`
 *     l 0777 0 0 1700000000 - ../run etc/run                   symlink: its target
 *     h - - - - - bin/a bin/b                                  a further name of bin/a
 *     p|c|b 0666 0 0 1700000000 - 1,3 dev/null                 FIFO or device: major,minor
 *     x NAME BASE64 PATH                                       an extended attribute
 *     - PATH                                                   of a tree below: this, and all that is in it, is gone
 *     end 5                                                    how many lines there were in between
 *
 * Names are bytes; all but the visible ones of ASCII are written `\ooo`.
 *
 * A layer over others has a listing of what it changes: a log, in which each line is about the tree as the lines before it have left it. An
 * item takes the place of what is at its path, and of everything below that unless it is a folder over a folder; it has no
 * extended attributes but those that follow it. tree-fold.ts makes one listing of several.
 */

/** Everything but extended attributes, which are facts of their own about a path. `path` is byte text, empty for the root. */
export type TreeItem =
  | ({ readonly kind: 'f'; readonly sizeBytes: number; readonly sha256: string } & Attributes)
  | ({ readonly kind: 'd' } & Attributes)
  | ({ readonly kind: 'l'; readonly target: string } & Attributes)
  | ({
      readonly kind: 'p' | 'c' | 'b';
      readonly major: number;
      readonly minor: number;
    } & Attributes)
  | { readonly kind: 'h'; readonly path: string; readonly target: string };

export interface Attributes {
  readonly path: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: TreeTime;
}

/** Microseconds, because that is what utimes(2) of Node can set. */
export interface TreeTime {
  readonly seconds: number;
  /** 0 to 999 999, counted up from the seconds. */
  readonly microseconds: number;
}

export interface TreeXattr {
  readonly path: string;
  readonly name: string;
  /** Byte text. */
  readonly value: string;
}

export const TREE_HEADER = 'jetpack-tree 1\n';

export function renderTreeEnd(lines: number): string {
  return `end ${String(lines)}\n`;
}

export function renderTreeItem(item: TreeItem): string {
  if (item.kind === 'h') return `h - - - - - ${escapeName(item.target)} ${escapeName(item.path)}\n`;
  const mode = item.mode.toString(8).padStart(4, '0');
  const head = `${item.kind} ${mode} ${String(item.uid)} ${String(item.gid)} ${renderTime(item.mtime)}`;
  return `${head} ${detail(item)} ${escapeName(item.path)}\n`;
}

function detail(item: Exclude<TreeItem, { readonly kind: 'h' }>): string {
  switch (item.kind) {
    case 'f':
      return `${String(item.sizeBytes)} sha256:${item.sha256}`;
    case 'd':
      return '- -';
    case 'l':
      return `- ${escapeName(item.target)}`;
    case 'p':
    case 'c':
    case 'b':
      return `- ${String(item.major)},${String(item.minor)}`;
  }
}

export function renderTreeXattr(xattr: TreeXattr): string {
  const value = Buffer.from(xattr.value, 'latin1').toString('base64');
  return `x ${escapeName(xattr.name)} ${value === '' ? '-' : value} ${escapeName(xattr.path)}\n`;
}

function renderTime({ seconds, microseconds }: TreeTime): string {
  return microseconds === 0
    ? String(seconds)
    : `${String(seconds)}.${String(microseconds).padStart(6, '0')}`;
}

/** Visible ASCII stays, all else is octal; the empty name is `.`. */
export function escapeName(byteText: string): string {
  if (byteText === '') return '.';
  // A symlink may well point to `.`.
  if (byteText === '.') return '\\056';
  if (/^[!-[\]-~]+$/.test(byteText)) return byteText;
  return byteText.replace(
    /[^!-[\]-~]/g,
    (byte) => `\\${byte.charCodeAt(0).toString(8).padStart(3, '0')}`,
  );
}

export function unescapeName(text: string): string {
  if (text === '.') return '';
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}

export function renderTreeRemoval(path: string): string {
  return `- ${escapeName(path)}\n`;
}

export interface TreeListing {
  readonly items: ReadonlyMap<string, TreeItem>;
  readonly xattrs: readonly TreeXattr[];
}

/** What one line says. */
export type TreeLine =
  { readonly item: TreeItem } | { readonly xattr: TreeXattr } | { readonly removed: string };

/** Of a whole tree, and no layer over others. Undefined when the text is no whole listing of such a one. */
export function parseTreeListing(text: string): TreeListing | undefined {
  const items = new Map<string, TreeItem>();
  const xattrs: TreeXattr[] = [];
  const isWhole = parseTreeLines(text, (line) => {
    if ('removed' in line) return false;
    if ('item' in line) items.set(line.item.path, line.item);
    else xattrs.push(line.xattr);
    return true;
  });
  return isWhole ? { items, xattrs } : undefined;
}

/** Calls `take` for each line, as long as it returns true. False when it did not, or when the text is no whole listing. */
export function parseTreeLines(text: string, take: (line: TreeLine) => boolean): boolean {
  if (!text.startsWith(TREE_HEADER) || !text.endsWith('\n')) return false;
  const lastLine = text.lastIndexOf('\n', text.length - 2) + 1;
  let lines = 0;
  for (let at = TREE_HEADER.length; at < lastLine; lines++) {
    const end = text.indexOf('\n', at);
    const line = parseLine(text.slice(at, end).split(' '));
    if (line === undefined || !take(line)) return false;
    at = end + 1;
  }
  return text.slice(lastLine) === renderTreeEnd(lines);
}

function parseLine(words: readonly string[]): TreeLine | undefined {
  if (words[0] === '-') {
    const [, path] = words;
    return path === undefined || words.length !== 2 ? undefined : { removed: unescapeName(path) };
  }
  if (words[0] === 'x') {
    const [, name = '', value = '', path = ''] = words;
    return {
      xattr: {
        path: unescapeName(path),
        name: unescapeName(name),
        value: value === '-' ? '' : Buffer.from(value, 'base64').toString('latin1'),
      },
    };
  }
  const item = parseItem(words);
  return item === undefined ? undefined : { item };
}

function parseItem(words: readonly string[]): TreeItem | undefined {
  const [kind, mode = '', uid = '', gid = '', time = '', size = '', about = '', name] = words;
  if (name === undefined || words.length !== 8) return undefined;
  const path = unescapeName(name);
  if (kind === 'h') return { kind, path, target: unescapeName(about) };
  const [seconds = '', fraction = ''] = time.split('.');
  const attributes: Attributes = {
    path,
    mode: Number.parseInt(mode, 8),
    uid: Number(uid),
    gid: Number(gid),
    mtime: { seconds: Number(seconds), microseconds: Number(fraction) },
  };
  switch (kind) {
    case 'f':
      return {
        kind,
        ...attributes,
        sizeBytes: Number(size),
        sha256: about.slice('sha256:'.length),
      };
    case 'd':
      return { kind, ...attributes };
    case 'l':
      return { kind, ...attributes, target: unescapeName(about) };
    case 'p':
    case 'c':
    case 'b': {
      const [major = '', minor = ''] = about.split(',');
      return { kind, ...attributes, major: Number(major), minor: Number(minor) };
    }
    case undefined:
    default:
      return undefined;
  }
}
