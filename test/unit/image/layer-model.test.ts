/** Layers over each other, against a model that is nothing but a map of paths. */
import { lstatSync, mkdirSync, readFileSync, readlinkSync } from 'node:fs';
import path from 'node:path';

import fc from 'fast-check';
import { expect, test } from 'vitest';

import { ArchiveError } from '../../../src/errors.ts';
import { compareTree, compareXattrs } from '../../../src/image/tree/tree-compare.ts';
import { foldTreeListings, renderTreeListing } from '../../../src/image/tree/tree-fold.ts';
import { parseTreeListing, type TreeXattr } from '../../../src/image/tree/tree-listing.ts';
import { addLayer, FakeXattrs, namesBelow } from '../../support/layers.ts';
import { tar, type TarMember } from '../../support/tar.ts';
import { withFolder } from '../../support/unpack.ts';

type Op =
  | { readonly kind: 'file'; readonly path: string; readonly data: string; readonly mode: number }
  | { readonly kind: 'folder'; readonly path: string; readonly mode: number }
  | { readonly kind: 'symlink'; readonly path: string; readonly target: string }
  | { readonly kind: 'link'; readonly path: string; readonly target: string }
  | { readonly kind: 'whiteout'; readonly path: string }
  | { readonly kind: 'opaque'; readonly path: string };

type Layer = readonly (Op & { readonly xattr?: string })[];

/** A file, whatever names it has, or a folder. */
interface Inode {
  readonly kind: 'file' | 'folder' | 'symlink';
  readonly mode: number;
  readonly mtime: number;
  readonly content: string;
  readonly xattr: string;
}

type Model = ReadonlyMap<string, Inode>;

const IMPLIED = { kind: 'folder', mode: 0o755, mtime: 0, content: '', xattr: '' } as const;

const segment = fc.constantFrom('a', 'b', 'c');
const somePath = fc
  .array(segment, { minLength: 1, maxLength: 3 })
  .map((segments) => segments.join('/'));
const mode = fc.constantFrom(0o700, 0o755, 0o4711, 0o1777);
const op: fc.Arbitrary<Op> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant('file'), path: somePath, data: segment, mode }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('folder'), path: somePath, mode }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('symlink'),
      path: somePath,
      target: fc.constantFrom('a', '../b', '/', '..'),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('link'), path: somePath, target: somePath }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('whiteout'), path: somePath }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('opaque'), path: somePath }) },
);
const layer: fc.Arbitrary<Layer> = fc
  .array(
    fc
      .tuple(op, fc.constantFrom('', '', 'x', 'y'))
      .map(([one, xattr]) => (xattr === '' ? one : { ...one, xattr })),
    { maxLength: 10 },
  )
  .map(withoutContradictions);

/** No path twice but folders, and nothing that is both a folder and something else. */
function withoutContradictions(ops: Layer): Layer {
  const others = new Set<string>();
  const folders = new Set<string>();
  return ops.filter((one) => {
    if (one.kind === 'whiteout') return true;
    const parents = [...ancestorsOf(one.path), ...(one.kind === 'opaque' ? [one.path] : [])];
    if (parents.some((parent) => others.has(parent))) return false;
    if (one.kind !== 'opaque') {
      if (others.has(one.path)) return false;
      if (one.kind !== 'folder' && folders.has(one.path)) return false;
      if (one.kind === 'folder') folders.add(one.path);
      else others.add(one.path);
    }
    for (const parent of parents) folders.add(parent);
    return true;
  });
}

/** Without hard links to what never was there. */
function withTargets(lower: Model, ops: Layer): Layer {
  const own = new Set<string>();
  return ops.filter((one) => {
    if (one.kind === 'file' || one.kind === 'symlink') own.add(one.path);
    if (one.kind !== 'link' || own.has(one.target)) return true;
    const target = lower.get(one.target);
    return target !== undefined && target.kind !== 'folder';
  });
}

function ancestorsOf(name: string): string[] {
  const parts = name.split('/');
  return parts.slice(1).map((_, index) => parts.slice(0, index + 1).join('/'));
}

/** What the specification says, in no order but for hard links, whose targets must be there when they come. */
function applied(lower: Model, ops: Layer, mtime: number): Model {
  const own = new Map<string, Inode>();
  const isTold = new Set<string>();
  for (const one of ops) {
    if (one.kind === 'whiteout' || one.kind === 'opaque') continue;
    for (const parent of ancestorsOf(one.path)) {
      if (!own.has(parent)) own.set(parent, IMPLIED);
    }
    own.set(one.path, inodeOf(one, mtime, own, lower));
    isTold.add(one.path);
  }
  const gone = new Set(ops.flatMap((one) => (one.kind === 'whiteout' ? [one.path] : [])));
  const emptied = new Set(ops.flatMap((one) => (one.kind === 'opaque' ? [one.path] : [])));
  const isVisible = (name: string): boolean =>
    !gone.has(name) &&
    ancestorsOf(name).every(
      (parent) =>
        !gone.has(parent) &&
        !emptied.has(parent) &&
        (own.get(parent)?.kind ?? 'folder') === 'folder',
    );
  const all = new Map<string, Inode>();
  for (const [name, inode] of lower) {
    const mine = own.get(name);
    const isWay = mine !== undefined && !isTold.has(name) && inode.kind === 'folder';
    if (isVisible(name) && (mine === undefined || isWay)) all.set(name, inode);
  }
  for (const [name, inode] of own) {
    if (isTold.has(name) || !all.has(name)) all.set(name, inode);
  }
  return all;
}

function inodeOf(
  one: Exclude<Layer[number], { readonly kind: 'whiteout' | 'opaque' }>,
  mtime: number,
  own: ReadonlyMap<string, Inode>,
  lower: Model,
): Inode {
  const xattr = one.xattr ?? '';
  switch (one.kind) {
    case 'file':
      return { kind: 'file', mode: one.mode, mtime, content: one.data, xattr };
    case 'folder':
      return { kind: 'folder', mode: one.mode, mtime, content: '', xattr };
    case 'symlink':
      return { kind: 'symlink', mode: 0o777, mtime, content: one.target, xattr };
    case 'link': {
      const inode = own.get(one.target) ?? lower.get(one.target);
      if (inode === undefined) throw new Error(`no target ${one.target}`);
      // Symlinks are made again, and their attributes are those of a link of the archive: none.
      return inode.kind === 'symlink' ? { ...inode, xattr: '' } : inode;
    }
  }
}

function archiveOf(ops: Layer, mtime: number): Buffer {
  return tar(
    ops.map((one): TarMember => {
      const pax = one.xattr === undefined ? {} : { pax: { 'SCHILY.xattr.user.t': one.xattr } };
      const cut = one.path.lastIndexOf('/') + 1;
      switch (one.kind) {
        case 'file':
          return { name: one.path, data: one.data, mode: one.mode, mtime, ...pax };
        case 'folder':
          return { name: `./${one.path}/`, mode: one.mode, mtime, ...pax };
        case 'symlink':
          return { name: one.path, type: '2', link: one.target, mtime, ...pax };
        case 'link':
          return { name: one.path, type: '1', link: one.target, mtime };
        case 'whiteout':
          return { name: `${one.path.slice(0, cut)}.wh.${one.path.slice(cut)}` };
        case 'opaque':
          return { name: `${one.path}/.wh..wh..opq` };
      }
    }),
  );
}

/** Names of the same inode have the same number, counted in the order of the paths. */
function shown(
  entries: Iterable<readonly [string, Omit<Inode, 'xattr'> & { readonly xattr: string }, unknown]>,
): readonly string[] {
  const numbers = new Map<unknown, number>();
  return [...entries]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, { kind, mode: bits, mtime, content, xattr }, identity]) => {
      if (kind === 'file' && !numbers.has(identity)) numbers.set(identity, numbers.size);
      const number = kind === 'file' ? String(numbers.get(identity)) : '-';
      return `${name} ${kind} ${bits.toString(8)} ${String(mtime)} ${content} ${xattr} ${number}`;
    });
}

function onDisk(root: string, xattrs: FakeXattrs): readonly string[] {
  const names = namesBelow(root);
  return shown(
    names.map((name) => {
      const place = path.join(root, name);
      const stats = lstatSync(place);
      const kind = stats.isFile() ? 'file' : stats.isDirectory() ? 'folder' : 'symlink';
      const content =
        kind === 'file'
          ? readFileSync(place, 'utf8')
          : kind === 'symlink'
            ? readlinkSync(place)
            : '';
      const bits = stats.mode & 0o7777;
      const xattr = xattrs.of(root, name).get('user.t') ?? '';
      const mtime = Math.floor(stats.mtimeMs / 1000);
      return [name, { kind, mode: bits, mtime, content, xattr }, stats.ino] as const;
    }),
  );
}

function inModel(model: Model): readonly string[] {
  return shown([...model].map(([name, inode]) => [name, inode, inode] as const));
}

function actualXattrs(root: string, xattrs: FakeXattrs): readonly TreeXattr[] {
  return ['', ...namesBelow(root)].flatMap((name) =>
    [...xattrs.of(root, name)].map(([key, value]) => ({ path: name, name: key, value })),
  );
}

test('layers make the tree that the specification says, and so do their listings', async () => {
  let done = 0;
  let refused = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(layer, { minLength: 1, maxLength: 4 }), async (layers) => {
      await withFolder(async (outer) => {
        const xattrs = new FakeXattrs();
        const onApply = xattrs.apply.bind(xattrs);
        const root = path.join(outer, '0');
        mkdirSync(root);
        const { listing } = await addLayer(root, tar([{ name: './', mtime: 5 }]), {
          isLowest: true,
        });
        const listings = [listing];
        let model: Model = new Map();
        for (const [index, generated] of layers.entries()) {
          const ops = withTargets(model, generated);
          const mtime = 1000 + index;
          try {
            const added = await addLayer(root, archiveOf(ops, mtime), { onApply });
            listings.push(added.listing);
            model = applied(model, ops, mtime);
            done += 1;
          } catch (error) {
            if (!(error instanceof ArchiveError)) throw error;
            expect(['ARCHIVE_HARD_LINK', 'ARCHIVE_WHITEOUT']).toContain(error.code);
            // What is left of a layer that is refused is thrown away, and so the case ends.
            refused += 1;
            return;
          }
          expect(onDisk(root, xattrs)).toEqual(inModel(model));
          expect(Math.floor(lstatSync(root).mtimeMs / 1000)).toBe(5);
          const folded = foldTreeListings(listings);
          expect(folded).toBeDefined();
          if (folded === undefined) return;
          expect([...compareTree(root, folded)]).toEqual([]);
          expect(compareXattrs(actualXattrs(root, xattrs), folded.xattrs)).toEqual([]);
          expect(parseTreeListing(renderTreeListing(folded))).toEqual(folded);
          expect(foldTreeListings([renderTreeListing(folded)])).toEqual(folded);
        }
      });
    }),
    { numRuns: 100 },
  );
  expect(done).toBeGreaterThan(refused);
}, 60_000);
