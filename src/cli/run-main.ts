/**
 * `run` and `prepare` without oclif: on the way to a pod's start every millisecond of start-up counts, and their grammar
 * is their own anyway. The oclif commands of the same names carry the help.
 */
import process from 'node:process';

import { EXIT, UsageError } from '../errors.ts';

import { isListening } from '../host/probe.ts';
import { findImage } from '../image/find.ts';
import { composePod } from '../pod/compose.ts';
import { destroyPod } from '../pod/destroy.ts';
import { replaceHostFiles } from '../pod/host-files.ts';
import { executePrepare, planPrepare, type PreparePlan } from '../pod/prepare.ts';
import type { DraftPod } from '../pod/reify.ts';
import { isChangePending } from '../pod/pending-change.ts';
import { findRestartable, shimRunArgv } from '../pod/run.ts';
import { readPod, type Pod } from '../pod/store.ts';
import { createContext, type Context } from './context.ts';
import { checkGiven, handOn, parseGiven, type Given } from './given.ts';
import { isTerminal, printAnswer, printJson, tellNote, tellWarning } from './output.ts';
import { getPodImage } from './pod-image.ts';
import { parseRunWords, type RunWords } from './run-grammar.ts';
import { buildRequest, parseRunOptions, type RunOptions } from './run-request.ts';
import { saveText } from './save-text.ts';
import { showError } from './show-error.ts';

/** What a failure of jetpack itself exits with: an app may use 1 and 2. */
const FAILURE = { run: EXIT.beforeApp, prepare: undefined } as const;

type HotCommand = keyof typeof FAILURE;

/** Runs the command and shows its error; sets process.exitCode. */
export async function runHotCommand(command: HotCommand, argv: readonly string[]): Promise<void> {
  try {
    await (command === 'run' ? run(argv) : prepare(argv));
  } catch (error) {
    const end = argv.indexOf('--');
    const own = end === -1 ? argv : argv.slice(0, end);
    process.exitCode = showError(error instanceof Error ? error : new Error(String(error)), {
      json: own.includes('--json'),
      debug: own.includes('--debug') || Boolean(process.env['DEBUG']),
      failureExit: FAILURE[command],
    });
  }
}

function openContext(options: RunOptions): Context {
  const context = createContext({
    configFile: options.global.config,
    overrides: options.global.option,
    blocking: true,
  });
  context.ensureReady();
  return context;
}

async function run(argv: readonly string[]): Promise<void> {
  const words = parseRunWords(argv);
  const options = parseRunOptions(words);
  checkTerminal(options);
  const context = openContext(options);
  const again = await findPodToRun(context, words);
  if (again !== undefined) return replaceByShim(context, again, options);
  const prepared = await planFromWords(context, words, options);
  if (options.dryRun) {
    printSteps(prepared);
    return;
  }
  checkGiven(prepared.plan, readGiven());
  const pod = await executePrepare(context.preparePorts, prepared, (uuid) => saveId(options, uuid));
  try {
    replaceByShim(context, pod.planFile, options);
  } catch (error) {
    const left = await readPod(context.layout, pod.uuid);
    if (left !== undefined) await destroyPod(context.destroyPorts, left);
    throw error;
  }
}

async function prepare(argv: readonly string[]): Promise<void> {
  const words = parseRunWords(argv);
  for (const flag of ['detach', 'tty', 'interactive', 'rm']) {
    if (words.pod.one.has(flag)) throw new UsageError(`--${flag} belongs to run, not to prepare`);
  }
  const options = parseRunOptions(words);
  const context = openContext(options);
  const metadata = askForMetadataService(context, options);
  const plan = await planFromWords(context, words, options);
  if (options.dryRun) {
    printSteps(plan);
    return;
  }
  const { uuid } = await executePrepare(context.preparePorts, plan, (id) => saveId(options, id));
  await metadata.warn();
  if (options.json) printJson({ uuid });
  else printAnswer(uuid);
}

/** A pod gets its URL in any case. `run` leaves the question to the shim, which asks it in a hundredth of the time. */
function askForMetadataService(
  { config }: Context,
  { dryRun, json }: RunOptions,
): { readonly warn: () => Promise<void> } {
  if (dryRun || !config['mds.warn']) return { warn: () => Promise.resolve() };
  const port = config['mds.port'];
  const answer = isListening(port);
  return {
    async warn() {
      if (await answer) return;
      tellWarning(
        `the metadata service does not answer at 127.0.0.1:${String(port)}; start it with jetpack-mds, or set mds.warn = no`,
        json,
      );
    },
  };
}

function saveId({ saveId: file }: RunOptions, uuid: string): void {
  if (file !== undefined) saveText(file, `${uuid}\n`);
}

async function planFromWords(
  context: Context,
  words: RunWords,
  options: RunOptions,
): Promise<PreparePlan> {
  const { draft, warnings } = await draftPod(context, words, options);
  checkTerminalApps(draft, options);
  const plan = await planPrepare(context.preparePorts, {
    draft,
    name: options.name,
    hostname: options.hostname,
    network: options.network,
    nameService: options.nameService,
    followVolumeLinks: options.followVolumeLinks,
    isolation: options.isolation,
    strict: options.strict,
    term: options.tty ? (process.env['TERM'] ?? 'xterm') : undefined,
  });
  for (const warning of [...warnings, ...plan.warnings]) tellWarning(warning, options.json);
  for (const note of plan.notes) tellNote(note, options.json);
  return plan;
}

/** From the command line or from a manifest: from here on the same. */
async function draftPod(
  context: Context,
  words: RunWords,
  options: RunOptions,
): Promise<{ readonly draft: DraftPod; readonly warnings: readonly string[] }> {
  const { podManifest } = options;
  const fetched = await fetchForPod(context, words, options);
  const find = (reference: string) => getPodImage(context, fetched.get(reference) ?? reference);
  if (podManifest === undefined)
    return { draft: composePod(await buildRequest(words, find)), warnings: [] };
  // Loaded only where it is needed: schemas cost a start some milliseconds.
  const { readPodManifest } = await import('./pod-manifest-file.ts');
  return readPodManifest(podManifest, find);
}

/** By where they come from; all others are in the store, or nowhere. Returns their ids. */
async function fetchForPod(
  context: Context,
  { apps }: RunWords,
  { fetch, dryRun, json }: RunOptions,
): Promise<ReadonlyMap<string, string>> {
  // As src/image/find-fetched.ts has it, which is not loaded for this.
  const remote = apps.map(({ image }) => image).filter((image) => REMOTE.test(image));
  if (remote.length === 0) return new Map();
  const { fetchImages } = await import('./fetch-image.ts');
  const policy = dryRun ? 'never' : (fetch.pullPolicy ?? 'new');
  return fetchImages(context, remote, { policy, insecure: fetch.insecure, json });
}

const REMOTE = /^(?:docker:\/\/|oci:|oci-archive:|docker-archive:)/;

function checkTerminalApps({ manifest }: DraftPod, { tty, interactive }: RunOptions): void {
  if (manifest.apps.length < 2 || (!tty && !interactive)) return;
  throw new UsageError('--tty and --interactive are for pods of one app', {
    remedies: ['run it without, then: jetpack enter POD:APP'],
  });
}

function printSteps(plan: PreparePlan): void {
  printAnswer(plan.steps.map((step) => step.title).join('\n'));
}

/** The flags that a pod takes at every run; all others were decided when it was prepared. */
const OF_A_RUN: ReadonlySet<string> = new Set([
  'config',
  'option',
  'debug',
  'json',
  'detach',
  'tty',
  'interactive',
  'rm',
  'dry-run',
]);

/** One word that names a prepared or exited pod, and no image. */
async function findPodToRun(
  context: Context,
  { apps, pod, defaults }: RunWords,
): Promise<string | undefined> {
  const [only, ...more] = apps;
  if (only === undefined || more.length > 0) return undefined;
  const found = await findRestartable(context.layout, only.image);
  if (found === undefined) return undefined;
  if (found.uuid !== only.image.toLowerCase() && findImage(context, only.image) !== undefined) {
    throw new UsageError(`"${only.image}" is the name of a pod and of an image`, {
      remedies: [`the pod: jetpack run ${found.uuid}`, 'the image: by its id, see jetpack images'],
    });
  }
  const fixed = [...pod.one.keys(), ...pod.many.keys()].find((name) => !OF_A_RUN.has(name));
  const perApp = [
    ...only.flags.one.keys(),
    ...only.flags.many.keys(),
    ...defaults.one.keys(),
    ...defaults.many.keys(),
  ][0];
  const flag = fixed ?? perApp;
  const wrong = flag === undefined ? (only.args === undefined ? undefined : '--') : `--${flag}`;
  if (wrong !== undefined) {
    throw new UsageError(
      `${wrong}: pod ${found.uuid} was prepared already, and keeps what it was prepared with`,
      {
        remedies: [`jetpack run ${only.image}`, 'prepare another pod with these flags'],
      },
    );
  }
  if (isChangePending(found.dir))
    await (await import('../pod/change.ts')).settlePod(context.layout, found.uuid);
  refreshHostCopies(found);
  return found.planFile;
}

/** The host's resolver may be another one since the pod was prepared. */
function refreshHostCopies({ dir, meta }: Pod): void {
  const files = (meta?.hostCopies ?? []).map(({ name, copyOf }) => ({
    name,
    content: { copyOf },
    onlyMissing: false,
  }));
  if (files.length > 0) replaceHostFiles(dir, files);
}

function checkTerminal({ tty, detach }: RunOptions): void {
  if (!tty || detach || isTerminal(0)) return;
  throw new UsageError('--tty needs a terminal, and standard input is none', {
    remedies: ['leave --tty away, or detach with -d'],
  });
}

const readGiven = (): Given => parseGiven(process.env, process.pid);

/** From here on the process is the pod's supervisor. */
function replaceByShim({ exec, runtime }: Context, planFile: string, options: RunOptions): never {
  const given = handOn(readGiven(), process.pid, runtime.shim, exec);
  return exec.replace(shimRunArgv(runtime.shim, planFile, options), given);
}
