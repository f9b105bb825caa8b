/** What gc has done, for people and as JSON. */
import type { CollectReport } from '../image/collect.ts';
import type { Finding } from '../pod/collect.ts';
import { printAnswer, printJson, renderTable } from './output.ts';

export function findingsOf({ removed, mended, kept }: CollectReport): readonly Finding[] {
  return [
    ...removed.map((each) => ({ ...each, action: 'removed' }) as const),
    ...mended.map((each) => ({ ...each, action: 'mended' }) as const),
    ...kept.map((each) => ({ ...each, action: 'kept' }) as const),
  ];
}

const WOULD: Readonly<Partial<Record<Finding['action'], string>>> = {
  removed: 'would remove',
  mended: 'would mend',
};

export function printFindings(
  findings: readonly Finding[],
  options: { readonly json: boolean; readonly dryRun: boolean },
): void {
  if (options.json) {
    printJson(findings);
    return;
  }
  const rows = findings.map(({ what, action, why }) => [
    (options.dryRun ? WOULD[action] : undefined) ?? action,
    what,
    why,
  ]);
  printAnswer(renderTable(undefined, rows));
}
