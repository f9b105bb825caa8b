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
  // undici is large, and only what fetches needs it.
  external: ['typescript', 'undici'],
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
// The classes of errors are told apart by identity: the bundle beside has them from the first one.
const oneSetOfErrors = {
  name: 'one-set-of-errors',
  setup(bundler) {
    bundler.onResolve({ filter: /\/errors\.ts$/ }, () => ({
      path: './hot.cjs',
      external: true,
    }));
  },
};
// What `run` loads only now and then (`import()`) goes into a bundle beside its own, which stays small by that. Packages
// are found where npm put them.
// Registries and formats of images are much more than all the rest, and have a bundle of their own.
const aside = { later: new Set(), fetch: new Set() };
const putAside = {
  name: 'put-aside',
  setup(bundler) {
    bundler.onResolve({ filter: /^\.{1,2}\// }, ({ kind, path: file, resolveDir }) => {
      if (kind !== 'dynamic-import') return undefined;
      const name = file.endsWith('/fetch-image.ts') ? 'fetch' : 'later';
      aside[name].add(path.resolve(resolveDir, file));
      return { path: `./${name}.cjs`, external: true };
    });
  },
};
const hot = {
  ...common,
  external: [...common.external, 'execa', 'proper-lockfile'],
  supported: { 'dynamic-import': false },
  keepNames: false,
  outdir: dist,
  outExtension: { '.js': '.cjs' },
};
await build({
  ...hot,
  entryPoints: { hot: 'src/cli/hot.ts' },
  plugins: [putAside],
});
for (const [name, files] of Object.entries(aside)) {
  await build({
    ...hot,
    stdin: {
      contents: [...files].map((file) => `export * from ${JSON.stringify(file)};`).join('\n'),
      resolveDir: root,
      sourcefile: `${name}.ts`,
    },
    outdir: undefined,
    outfile: path.join(dist, `${name}.cjs`),
    plugins: [oneSetOfErrors],
  });
}
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
