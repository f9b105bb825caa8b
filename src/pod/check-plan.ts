/**
 * The limits of shim/PLAN.md, checked where they can be told in the words of the user: what passes here, the shim accepts.
 * Pure.
 */
import { PodError } from '../errors.ts';
import { encodePlan, type Plan, type PlanApp } from './plan.ts';

const MAX_FIELDS = 4096;
const MAX_GROUPS = 64;
const MAX_APPS = 64;
const MAX_SOCKETS = 64;
const MAX_PATH_BYTES = 4095;
const MAX_NAME_BYTES = 255;
const MAX_PLAN_BYTES = 1024 * 1024;

function refuse(what: string, why: string): never {
  throw new PodError('POD_INVALID', `${what}: ${why}`, {
    remedies: ['change it in the manifest of the image, or by a flag'],
  });
}

function checkPath(what: string, path: string): void {
  if (!path.startsWith('/')) refuse(what, `"${path}" is not an absolute path`);
  if (Buffer.byteLength(path) > MAX_PATH_BYTES)
    refuse(what, `a path has at most ${String(MAX_PATH_BYTES)} bytes`);
  const long = path.split('/').find((name) => Buffer.byteLength(name) > MAX_NAME_BYTES);
  if (long !== undefined)
    refuse(
      what,
      `the part "${long.slice(0, 20)}…" of a path has more than ${String(MAX_NAME_BYTES)} bytes`,
    );
}

function checkCommand(what: string, argv: readonly string[] | undefined): void {
  if (argv === undefined) return;
  if ((argv[0] ?? '') === '') refuse(what, 'the name of the program is empty');
  if (argv.length > MAX_FIELDS)
    refuse(what, `${String(argv.length)} words, at most ${String(MAX_FIELDS)}`);
}

export function checkPlanApp(app: PlanApp): void {
  const of = (part: string) => `app ${app.name}, ${part}`;
  checkCommand(of('exec'), app.exec);
  checkCommand(of('pre-start'), app.preStart);
  checkCommand(of('post-stop'), app.postStop);
  if (app.env.length > MAX_FIELDS)
    refuse(of('environment'), `${String(app.env.length)} variables, at most ${String(MAX_FIELDS)}`);
  if (app.groups.length > MAX_GROUPS)
    refuse(
      of('supplementaryGIDs'),
      `${String(app.groups.length)} groups, at most ${String(MAX_GROUPS)}`,
    );
  if (app.listen.length > MAX_SOCKETS)
    refuse(
      of('ports'),
      `${String(app.listen.length)} sockets to be passed, at most ${String(MAX_SOCKETS)}`,
    );
  const beyond = app.listen.find(({ port }) => port > 65535);
  if (beyond !== undefined)
    refuse(of('ports'), `"${beyond.name}" goes beyond port 65535 of the host`);
  if (app.user === '') refuse(of('user'), 'it is empty');
  if (app.group === '') refuse(of('group'), 'it is empty');
  checkPath(of('workingDirectory'), app.cwd);
  for (const mount of app.mounts) {
    checkPath(of('mount'), mount.target);
    if (mount.target === '/') refuse(of('mount'), 'a volume cannot be mounted over the whole root');
    if (mount.kind === 'bind') checkPath(of('volume'), mount.source);
  }
}

/** Throws PodError POD_INVALID, naming the app and the part. */
export function checkPlan(plan: Plan): void {
  if (plan.net.kind === 'ns') checkPath('--net', plan.net.path);
  plan.apps.forEach(checkPlanApp);
  checkPlanSize(plan.apps.length, encodePlan(plan).length);
}

/** Throws PodError POD_INVALID. */
export function checkPlanSize(apps: number, bytes: number): void {
  if (apps > MAX_APPS) refuse('the pod', `${String(apps)} apps, at most ${String(MAX_APPS)}`);
  if (bytes > MAX_PLAN_BYTES)
    refuse(
      'the pod',
      `its arguments, variables and paths have ${String(bytes)} bytes, at most ${String(MAX_PLAN_BYTES)}`,
    );
}
