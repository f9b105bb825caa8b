/** Special files and extended attributes by way of `jetpack-shim xattr-apply` and `xattr-dump` (shim/PLAN.md, "Helpers"). */
import { HostError } from '../../errors.ts';
import type { Exec } from '../../exec/exec.ts';
import type { ApplySpecialFiles, LostXattr, SpecialFiles, SpecialXattr } from './special-files.ts';

interface Ports {
  readonly exec: Exec;
  readonly tools: { readonly shim: string };
}

/** The shim's status when the file system did not take some attributes, and all else was done. */
const SOME_LOST = 3;

export function createShimSpecialFiles(ports: Ports): ApplySpecialFiles {
  return async (root, files) => {
    const argv = [ports.tools.shim, 'xattr-apply', root] as const;
    const result = await ports.exec.run(argv, { input: renderSpecialFiles(files) });
    if (result.status === 0) return [];
    if (result.status !== SOME_LOST) {
      throw failure('FIFOs, device nodes or extended attributes cannot be made', result.stderr);
    }
    return findLost(files.xattrs, await dumpXattrs(ports, root));
  };
}

/** Every extended attribute in a tree; those of its root have the empty path. */
export async function dumpXattrs(ports: Ports, root: string): Promise<readonly SpecialXattr[]> {
  // By a pipe, because paths are bytes that a text would lose.
  const program = await ports.exec.pipe([ports.tools.shim, 'xattr-dump', root]);
  program.stdin.end();
  const chunks: Buffer[] = [];
  for await (const chunk of program.stdout) {
    chunks.push(Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk));
  }
  const result = await program.ended;
  if (result.status !== 0) throw failure('extended attributes cannot be read', result.stderr);
  return parseXattrs(Buffer.concat(chunks).toString('latin1'));
}

/** Records in the plan's encoding; values of attributes are hex, since they may have NUL bytes. */
export function renderSpecialFiles({ stripped, nodes, xattrs }: SpecialFiles): Buffer {
  const records = [
    ...stripped.map((path) => record('strip', [path === '' ? '.' : path])),
    ...nodes.map(({ path, kind, mode, major, minor }) =>
      record('node', [path, kind, String(mode), String(major), String(minor)]),
    ),
    ...xattrs.map(({ path, name, value }) =>
      record('x', [path === '' ? '.' : path, name, Buffer.from(value, 'latin1').toString('hex')]),
    ),
  ];
  return Buffer.from(records.join(''), 'latin1');
}

function record(key: string, fields: readonly string[]): string {
  return `${key}\0${String(fields.length)}\0${fields.map((field) => `${field}\0`).join('')}\n`;
}

/** `x NUL 3 NUL PATH NUL NAME NUL HEX NUL LF`, any number of times. Throws TOOL_FAILED for anything else. */
export function parseXattrs(byteText: string): readonly SpecialXattr[] {
  const words = byteText.split('\0');
  const xattrs: SpecialXattr[] = [];
  let at = 0;
  for (; at + 5 < words.length; at += 5) {
    const [key, count, path = '', name = '', hex = ''] = words.slice(at, at + 5);
    // The line feed that ends a record stands before the key of the next.
    if (key !== (at === 0 ? 'x' : '\nx') || count !== '3') break;
    const value = Buffer.from(hex, 'hex').toString('latin1');
    xattrs.push({ path: path === '.' ? '' : path, name, value });
  }
  const rest = words.slice(at).join('\0');
  if (rest !== '' && rest !== '\n') {
    throw failure('extended attributes cannot be read', 'the answer of the shim is not understood');
  }
  return xattrs;
}

export function keyOfXattr({ path, name }: SpecialXattr): string {
  return `${name}\0${path}`;
}

function findLost(
  wanted: readonly SpecialXattr[],
  there: readonly SpecialXattr[],
): readonly LostXattr[] {
  const kept = new Set(there.map(keyOfXattr));
  return wanted
    .filter((xattr) => !kept.has(keyOfXattr(xattr)))
    .map(({ path, name }) => ({ path, name, reason: 'the file system does not take it' }));
}

function failure(what: string, stderr: string): HostError {
  return new HostError('TOOL_FAILED', `${what}: ${stderr.trim()}`);
}
