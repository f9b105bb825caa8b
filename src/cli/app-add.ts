/** `app add POD IMAGE [app flags] [-- ARGS…]`: the grammar of `run`, with the pod in the place of its first image. */
import { UsageError } from '../errors.ts';
import { addApp, planAddition, type AddAppOptions } from '../pod/add-app.ts';
import { withPodLock } from '../pod/change.ts';
import { openForChange } from '../pod/changeable.ts';
import { getPod } from '../pod/store.ts';
import { createContext } from './context.ts';
import { printAnswer, printJson, tellNote, tellWarning } from './output.ts';
import { getPodImage } from './pod-image.ts';
import { parseRunWords, type RunWords } from './run-grammar.ts';
import { buildRequest, parseRunOptions } from './run-request.ts';

/** What of a pod an app can bring with it. All else was decided when the pod was made. */
const ALLOWED: ReadonlySet<string> = new Set([
  'config',
  'option',
  'debug',
  'json',
  'volume',
  'set-env',
  'set-env-file',
  'inherit-env',
  'follow-volume-links',
  'insecure-options',
  'strict',
  'dry-run',
]);

export function parseAppAddWords(argv: readonly string[]): {
  readonly pod: string;
  readonly words: RunWords;
} {
  const { pod, defaults, apps } = parseRunWords(argv);
  const [first, image, ...more] = apps;
  if (first === undefined || image === undefined) {
    throw new UsageError(first === undefined ? 'no pod was named' : 'no image was named', {
      remedies: ['jetpack app add POD IMAGE', 'see the pods with: jetpack list'],
    });
  }
  if (more.length > 0 || first.args !== undefined) {
    throw new UsageError('app add takes one pod and one image', {
      remedies: ['jetpack app add POD IMAGE [FLAGS] [-- ARGS]', 'add several one by one'],
    });
  }
  const early = [...first.flags.one.keys(), ...first.flags.many.keys()][0];
  if (early !== undefined || pod.one.has('name')) {
    throw new UsageError(`--${early ?? 'name'} stands before the image that it is for`, {
      remedies: ['put the flags of the app after its image'],
    });
  }
  const flag = [...pod.one.keys(), ...pod.many.keys()].find((name) => !ALLOWED.has(name));
  if (flag !== undefined) throw new UsageError(`--${flag} is of the pod, which is there already`);
  return { pod: first.image, words: { pod, defaults, apps: [image] } };
}

export async function runAppAdd(argv: readonly string[]): Promise<void> {
  const { pod: reference, words } = parseAppAddWords(argv);
  const options = parseRunOptions(words);
  const context = createContext({
    configFile: options.global.config,
    overrides: options.global.option,
  });
  context.ensureReady();
  const { layout, preparePorts } = context;
  const { uuid } = await getPod(layout, reference);
  const request = await buildRequest(words, (image) => getPodImage(context, image));
  const addition: AddAppOptions = {
    request,
    isolation: options.isolation,
    followVolumeLinks: options.followVolumeLinks,
    strict: options.strict,
  };
  if (options.dryRun) {
    const { steps } = await withPodLock(layout, uuid, async () =>
      planAddition(preparePorts, await openForChange(layout, uuid), addition),
    );
    printAnswer(steps.map((step) => step.title).join('\n'));
    return;
  }
  const added = await addApp(preparePorts, uuid, addition);
  for (const warning of added.warnings) tellWarning(warning, options.json);
  for (const note of added.notes) tellNote(note, options.json);
  if (options.json) printJson({ uuid, app: added.name });
  else printAnswer(added.name);
}
