/**
 * Entry of the program: answers `--version` by itself, and else loads the bundle with V8's code cache (docs/adr/0002).
 * The cache is accepted only if it belongs to this very bundle and Node, is owned by the bundle's owner and nobody else can write it:
 * V8 itself checks no more than the source's length.
 */
import { chmodSync, readFileSync, renameSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import process from 'node:process';
import { Script } from 'node:vm';

import type { main, warmUp } from './bundle.ts';
import type { runHotCommand, warmUp as warmUpHot } from './hot.ts';
import type { PackageJson } from './package-json.ts';

declare const PACKAGE_JSON: PackageJson;
declare const VERSION: string;

interface Bundle {
  readonly main: typeof main;
  readonly warmUp: typeof warmUp;
}

/** `run` and `prepare` have a bundle of their own: they start faster without the rest. */
interface HotBundle {
  readonly runHotCommand: typeof runHotCommand;
  readonly warmUp: typeof warmUpHot;
}

const FILES = {
  all: path.join(__dirname, 'jetpack.cjs'),
  hot: path.join(__dirname, 'hot.cjs'),
} as const;

function cacheFileOf(bundleFile: string): string {
  return `${bundleFile}.${process.version}-${process.arch}.cache`;
}

function readCache(bundleFile: string): Buffer | undefined {
  try {
    const cacheFile = cacheFileOf(bundleFile);
    const bundle = statSync(bundleFile);
    const cache = statSync(cacheFile);
    const trusted =
      cache.uid === bundle.uid && (cache.mode & 0o022) === 0 && cache.mtimeMs >= bundle.mtimeMs;
    return trusted ? readFileSync(cacheFile) : undefined;
  } catch {
    return undefined;
  }
}

function loadBundle(
  bundleFile: string,
  cachedData: Buffer | undefined,
): { readonly bundle: unknown; readonly script: Script } {
  // The build writes ASCII only, so latin1 is right, and faster than UTF-8.
  const source = readFileSync(bundleFile, 'latin1');
  const script = new Script(
    `(function (exports, require, module, __filename, __dirname) {${source}\n})`,
    {
      filename: bundleFile,
      ...(cachedData === undefined ? {} : { cachedData }),
    },
  );
  const module = { exports: {}, loaded: true };
  const require = createRequire(bundleFile);
  // The bundle beside it takes what both need from this one, and no second copy of it.
  require.cache[bundleFile] = module as unknown as NodeJS.Module;
  const wrapper = script.runInThisContext() as (...parameters: unknown[]) => void;
  wrapper(module.exports, require, module, bundleFile, __dirname);
  return { bundle: module.exports, script };
}

/** Runs a bundle's own dry run first, so that what it compiled lazily is in the cache. */
async function makeCaches(): Promise<void> {
  for (const bundleFile of Object.values(FILES)) {
    const { bundle, script } = loadBundle(bundleFile, undefined);
    await (bundle as Pick<Bundle, 'warmUp'>).warmUp();
    const file = cacheFileOf(bundleFile);
    const scratch = `${file}.${String(process.pid)}`;
    writeFileSync(scratch, script.createCachedData());
    chmodSync(scratch, 0o644);
    renameSync(scratch, file);
  }
}

function wantsHelp(argv: readonly string[]): boolean {
  const end = argv.indexOf('--');
  return argv
    .slice(0, end === -1 ? argv.length : end)
    .some((word) => word === '--help' || word === '-h');
}

/** Work that waits for what never comes lets Node end as if all were well. */
function expectEnd(work: Promise<unknown>): void {
  let isOver = false;
  void work.finally(() => (isOver = true));
  process.once('beforeExit', () => {
    if (isOver) return;
    writeSync(2, 'jetpack: unexpected: the work was not done to its end\n');
    process.exitCode = 1;
  });
}

function start(argv: readonly string[]): void {
  const [command] = argv;
  if (command === '--version' || command === 'version') {
    writeSync(1, `jetpack ${VERSION}\n`);
  } else if (command === '--make-code-cache') {
    void makeCaches();
  } else if ((command === 'run' || command === 'prepare') && !wantsHelp(argv)) {
    const hot = loadBundle(FILES.hot, readCache(FILES.hot)).bundle as HotBundle;
    expectEnd(hot.runHotCommand(command, argv.slice(1)));
  } else {
    const all = loadBundle(FILES.all, readCache(FILES.all)).bundle as Bundle;
    expectEnd(all.main({ argv, packageJson: PACKAGE_JSON, root: path.dirname(__dirname) }));
  }
}

start(process.argv.slice(2));
