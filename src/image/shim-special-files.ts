/** Special files and extended attributes by way of `jetpack-shim xattr-apply` (end of shim/PLAN.md). */
import { HostError } from '../errors.ts';
import type { Exec } from '../exec/exec.ts';
import type { ApplySpecialFiles, LostXattr, SpecialFiles } from './special-files.ts';

interface Ports {
  readonly exec: Exec;
  readonly tools: { readonly shim: string };
}

export function createShimSpecialFiles({ exec, tools }: Ports): ApplySpecialFiles {
  return async (root, files) => {
    const result = await exec.run([tools.shim, 'xattr-apply', root], {
      input: renderSpecialFiles(files),
    });
    if (result.status === 0) return parseLost(result.stdout);
    throw new HostError(
      'TOOL_FAILED',
      `device nodes, FIFOs or extended attributes could not be made: ${result.stderr.trim()}`,
    );
  };
}

/** Records in the plan's encoding; values of attributes are hex, since they may have NUL bytes. */
export function renderSpecialFiles({ nodes, xattrs }: SpecialFiles): Buffer {
  const records = [
    ...nodes.map(({ path, kind, major, minor }) =>
      record('node', [path, kind, String(major), String(minor)]),
    ),
    ...xattrs.map(({ path, name, value }) =>
      record('x', [path === '' ? '.' : path, name, Buffer.from(value, 'latin1').toString('hex')]),
    ),
    record('end', []),
  ];
  return Buffer.from(records.join(''), 'latin1');
}

function record(key: string, fields: readonly string[]): string {
  return `${key}\0${String(fields.length)}\0${fields.map((field) => `${field}\0`).join('')}\n`;
}

/** `lost NUL 3 NUL PATH NUL NAME NUL REASON NUL LF`, for each attribute that the file system does not take. */
export function parseLost(stdout: string): readonly LostXattr[] {
  const fields = stdout.split('\0');
  const lost: LostXattr[] = [];
  for (let at = 0; at + 4 < fields.length; at += 5) {
    const [path = '', name = '', reason = ''] = fields.slice(at + 2, at + 5);
    lost.push({ path: path === '.' ? '' : path, name, reason });
  }
  return lost;
}
