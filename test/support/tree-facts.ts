/** Everything about a tree that an image has to keep, as text: to be compared with another one. */
import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import path from 'node:path';

import { peer } from './oci-images.ts';

/** `name → type mode owner size content time link`, of every name below the root, and of the root as `.`. */
export function treeFacts(root: string): Readonly<Record<string, string>> {
  const facts: Record<string, string> = {};
  const firstNames = new Map<string, string>();
  const waiting = ['.'];
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    const place = path.join(root, name);
    const stats = lstatSync(place);
    const key = String(stats.ino);
    const isLinked = stats.nlink > 1 && !stats.isDirectory();
    const others = isLinked ? (firstNames.get(key) ?? name) : '';
    if (isLinked && !firstNames.has(key)) firstNames.set(key, name);
    facts[name] = [
      (stats.mode & 0o170000).toString(8),
      stats.isSymbolicLink() ? '' : (stats.mode & 0o7777).toString(8),
      `${String(stats.uid)}:${String(stats.gid)}`,
      stats.isFile() ? hashOf(place) : '',
      stats.isSymbolicLink() ? readlinkSync(place) : '',
      // When a folder was changed is for each to say who puts the layers together.
      stats.isDirectory() ? '' : String(Math.floor(stats.mtimeMs / 1000)),
      others,
    ].join(' ');
    if (!stats.isDirectory()) continue;
    const below = readdirSync(place).sort().reverse();
    for (const each of below) waiting.push(name === '.' ? each : `${name}/${each}`);
  }
  for (const [name, xattrs] of xattrsBelow(root)) facts[name] = `${facts[name] ?? ''} ${xattrs}`;
  return facts;
}

function hashOf(file: string): string {
  return createHash('sha256').update(readFileSync(file)).digest('hex').slice(0, 16);
}

function xattrsBelow(root: string): ReadonlyMap<string, string> {
  const words = ['-R', '-P', '-h', '-d', '-m', '-', '-e', 'hex', '--absolute-names'];
  const found = new Map<string, string>();
  for (const group of peer('/usr/bin/getfattr', [...words, root]).split('\n\n')) {
    const [head = '', ...lines] = group.split('\n');
    const file = /^# file: (.*)$/.exec(head)?.[1];
    if (file === undefined) continue;
    const own = lines.filter((line) => line !== '' && !line.startsWith('security.selinux'));
    const name = unescape(file);
    if (own.length > 0) found.set(path.relative(root, name) || '.', own.sort().join(' '));
  }
  return found;
}

/** getfattr writes odd bytes as `\ooo`. */
function unescape(text: string): string {
  const bytes = text.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
  return Buffer.from(bytes, 'latin1').toString('utf8');
}
