// Exit status 0 when node_modules holds what package-lock.json says and the node of npm scripts runs; 1 when not.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

/** Name by folder, without the project itself; undefined when the file is missing or not JSON. */
function packagesOf(file) {
  try {
    const entries = Object.entries(
      JSON.parse(readFileSync(path.join(root, file), 'utf8')).packages,
    );
    return new Map(entries.filter(([folder]) => folder !== ''));
  } catch {
    return undefined;
  }
}

function isInstalled(wanted, installed) {
  for (const [folder, { version, optional }] of wanted) {
    const found = installed.get(folder);
    // Optional ones are those of other platforms.
    if (found === undefined ? optional !== true : found.version !== version) return false;
  }
  return [...installed.keys()].every((folder) => wanted.has(folder));
}

const wanted = packagesOf('package-lock.json');
const installed = packagesOf('node_modules/.package-lock.json');
const node = path.join(root, 'node_modules', 'node', 'bin', 'node');
const matches =
  wanted !== undefined &&
  installed !== undefined &&
  isInstalled(wanted, installed) &&
  spawnSync(node, ['--version'], { stdio: 'ignore' }).status === 0;
process.exitCode = matches ? 0 : 1;
