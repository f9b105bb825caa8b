// Builds dist/: one CommonJS bundle for the program, the entry that loads it with V8's code cache, and that cache.
// Start-up time decides the shape (docs/adr): one file, no module search, compiled once.
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

import { build } from 'esbuild';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const dist = path.join(root, 'dist');
const packageJson = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
const baked = {
  name: packageJson.name,
  version: packageJson.version,
  oclif: packageJson.oclif,
};

const common = {
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  target: 'node22.15',
  format: 'cjs',
  minify: true,
  keepNames: true,
  legalComments: 'linked',
  logLevel: 'warning',
  external: ['typescript'],
  define: { PACKAGE_JSON: JSON.stringify(baked), VERSION: JSON.stringify(baked.version) },
};

rmSync(dist, { recursive: true, force: true });
mkdirSync(dist, { recursive: true });

await build({
  ...common,
  entryPoints: { jetpack: 'src/cli/bundle.ts' },
  outdir: dist,
  outExtension: { '.js': '.cjs' },
});
// What `run` needs once in a thousand times is not in its bundle: it stays small, and finds these where npm put them.
await build({
  ...common,
  entryPoints: { hot: 'src/cli/hot.ts' },
  external: [...common.external, 'execa', 'proper-lockfile'],
  supported: { 'dynamic-import': false },
  keepNames: false,
  outdir: dist,
  outExtension: { '.js': '.cjs' },
});
await build({
  ...common,
  entryPoints: { main: 'src/cli/entry.ts' },
  banner: { js: '#!/usr/bin/env node' },
  outdir: dist,
  outExtension: { '.js': '.cjs' },
});

// A small graph of its own: what it never does is not in it.
await build({
  ...common,
  entryPoints: { mds: 'src/mds/main.ts' },
  external: [...common.external, 'execa', 'proper-lockfile'],
  supported: { 'dynamic-import': false },
  banner: { js: '#!/usr/bin/env node' },
  outdir: dist,
  outExtension: { '.js': '.cjs' },
});

for (const name of ['main.cjs', 'mds.cjs']) chmodSync(path.join(dist, name), 0o755);

// The code cache is made by runs of the program itself, so that the functions it compiled lazily are in it.
const made = spawnSync(process.execPath, [path.join(dist, 'main.cjs'), '--make-code-cache'], {
  stdio: 'inherit',
});
if (made.status !== 0) {
  process.stderr.write('build: the code cache could not be made\n');
  process.exitCode = 1;
}
