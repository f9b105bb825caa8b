/** Isolators of a request and of an image, joined; and what became of them, told. Pure, and without schemas. */
import { PodError } from '../errors.ts';
import type { IsolatorReport } from '../runtime/runtime.ts';
import type { Isolator } from '../schema/appc.ts';

/** Isolators of one kind replace each other: those of one name, and sets to retain and to remove the same thing. */
function kindOf({ name }: Isolator): string {
  return name.replace(/-(?:retain|remove)-set$/, '-set');
}

/** Those of `over` replace what is of their kind in `under`. Undefined where neither has any. */
export function mergeIsolators(
  under: readonly Isolator[] | undefined,
  over: readonly Isolator[] | undefined,
): Isolator[] | undefined {
  if (over === undefined || over.length === 0) return under === undefined ? undefined : [...under];
  const kinds = new Set(over.map(kindOf));
  return [...(under ?? []).filter((isolator) => !kinds.has(kindOf(isolator))), ...over];
}

/** For meta.json: only where there is something to tell. */
export function reportField(report: IsolatorReport | undefined): { isolators?: IsolatorReport } {
  if (report === undefined) return {};
  const { enforced, adjusted, ignored } = report;
  return enforced.length + adjusted.length + ignored.length === 0 ? {} : { isolators: report };
}

/** What `run` and `prepare` tell of an app (`app web`) or of `the pod`: a line for each list that is not empty. */
function renderReport(
  what: string,
  { enforced, adjusted, ignored }: IsolatorReport,
): readonly string[] {
  const changes = adjusted.map(({ isolator, from, to }) => `${isolator}: ${from} became ${to}`);
  return [
    ...(enforced.length === 0 ? [] : [`${what}: enforced: ${enforced.join(', ')}`]),
    ...(changes.length === 0 ? [] : [`${what}: adjusted: ${changes.join('; ')}`]),
    ...(ignored.length === 0 ? [] : [`${what}: ignored: ${ignored.join(', ')}`]),
  ];
}

/** `--strict`: throws POD_LIMIT_UNSUPPORTED where something would be ignored. */
function refuseIgnored(what: string, { ignored }: IsolatorReport): void {
  const [first] = ignored;
  if (first === undefined) return;
  throw new PodError('POD_LIMIT_UNSUPPORTED', `${what} asks for ${first}, which would be ignored`, {
    remedies: ['run it without --strict', 'leave it away, in the manifest or on the command line'],
  });
}

/** The lines to tell about all apps and the pod. Throws POD_LIMIT_UNSUPPORTED where `strict` does not let something pass. */
export function judgeReports(
  apps: ReadonlyMap<string, { readonly report: IsolatorReport }>,
  pod: IsolatorReport,
  strict: boolean,
): readonly string[] {
  const reports: readonly (readonly [string, IsolatorReport])[] = [
    ...[...apps].map(([name, { report }]) => [`app ${name}`, report] as const),
    ['the pod', pod],
  ];
  if (strict) for (const [what, report] of reports) refuseIgnored(what, report);
  return reports.flatMap(([what, report]) => renderReport(what, report));
}
