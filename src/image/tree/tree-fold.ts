/** One listing of a whole tree, from the listings of the layers that it is made of (tree-listing.ts). */
import {
  parseTreeLines,
  renderTreeEnd,
  renderTreeItem,
  renderTreeXattr,
  TREE_HEADER,
  type TreeItem,
  type TreeLine,
  type TreeListing,
  type TreeXattr,
} from './tree-listing.ts';

/** What several names may be of, as an inode is: a name that is replaced leaves the others what they were. */
interface Node {
  readonly item: Exclude<TreeItem, { readonly kind: 'h' }>;
  readonly xattrs: Map<string, string>;
}

interface Name {
  /** Undefined as long as only something below it has come: folders' lines come last. */
  node: Node | undefined;
  below: Map<string, Name> | undefined;
}

/**
 * From the lowest layer to the topmost; they are asked for one after the other, so they may be read as they are needed. Every name of a
 * file with extended attributes has them in the result. Undefined when one of them is no whole listing, or is none of
 * a layer over those before it. Takes as long as all of them have lines.
 */
export function foldTreeListings(listings: Iterable<string>): TreeListing | undefined {
  const root: Name = { node: undefined, below: undefined };
  for (const listing of listings) {
    if (!parseTreeLines(listing, (line) => applyLine(root, line))) return undefined;
  }
  const items = new Map<string, TreeItem>();
  const xattrs: TreeXattr[] = [];
  const firstNames = new Map<Node, string>();
  const waiting: [string, Name][] = [['', root]];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const [path, { node, below }] = next;
    if (node === undefined || (below !== undefined && node.item.kind !== 'd')) return undefined;
    const target = firstNames.get(node);
    if (target === undefined) {
      firstNames.set(node, path);
      items.set(path, { ...node.item, path });
    } else items.set(path, { kind: 'h', path, target });
    for (const [name, value] of node.xattrs) xattrs.push({ path, name, value });
    const names = [...(below ?? [])].sort(([a], [b]) => (a < b ? 1 : -1));
    for (const [name, child] of names)
      waiting.push([path === '' ? name : `${path}/${name}`, child]);
  }
  return { items, xattrs };
}

/** The text that it is parsed from. */
export function renderTreeListing({ items, xattrs }: TreeListing): string {
  const lines = [...[...items.values()].map(renderTreeItem), ...xattrs.map(renderTreeXattr)];
  return `${TREE_HEADER}${lines.join('')}${renderTreeEnd(lines.length)}`;
}

/** False when there is not what the line is about. */
function applyLine(root: Name, line: TreeLine): boolean {
  if ('removed' in line) return remove(root, line.removed);
  if ('xattr' in line) {
    const { path, name, value } = line.xattr;
    const node = find(root, path)?.node;
    node?.xattrs.set(name, value);
    return node !== undefined;
  }
  const { item } = line;
  if (item.kind === 'h') {
    const node = find(root, item.target)?.node;
    if (node === undefined || node.item.kind === 'd') return false;
    const name = ensure(root, item.path);
    name.node = node;
    name.below = undefined;
    return true;
  }
  const name = ensure(root, item.path);
  name.node = { item, xattrs: new Map() };
  if (item.kind !== 'd') name.below = undefined;
  return true;
}

function find(root: Name, path: string): Name | undefined {
  let name: Name | undefined = root;
  for (const part of partsOf(path)) name = name?.below?.get(part);
  return name;
}

function ensure(root: Name, path: string): Name {
  let name = root;
  for (const part of partsOf(path)) {
    name.below ??= new Map();
    let next = name.below.get(part);
    if (next === undefined) {
      next = { node: undefined, below: undefined };
      name.below.set(part, next);
    }
    name = next;
  }
  return name;
}

function remove(root: Name, path: string): boolean {
  const parts = partsOf(path);
  const last = parts.pop();
  return last !== undefined && find(root, parts.join('/'))?.below?.delete(last) === true;
}

function partsOf(path: string): string[] {
  return path === '' ? [] : path.split('/');
}
