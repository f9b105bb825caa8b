/** Steps that change the host: in order, or undone in reverse. */

export interface Step {
  readonly title: string;
  readonly run: () => void | Promise<void>;
  readonly undo?: () => void | Promise<void>;
  /** May run at the same time as its neighbours that may, too. */
  readonly atOnce?: boolean;
}

/** More would only wait for each other in the pool. */
const MOST_AT_ONCE = 8;

function* batches(steps: readonly Step[]): Generator<readonly Step[]> {
  let batch: Step[] = [];
  for (const step of steps) {
    const joins = step.atOnce === true && batch.at(-1)?.atOnce === true;
    if (batch.length > 0 && (!joins || batch.length === MOST_AT_ONCE)) {
      yield batch;
      batch = [];
    }
    batch.push(step);
  }
  if (batch.length > 0) yield batch;
}

/** All have ended when this returns or throws: nothing is undone under a step that still runs. */
async function runBatch([only, ...more]: readonly Step[]): Promise<void> {
  if (only === undefined) return;
  if (more.length === 0) {
    await only.run();
    return;
  }
  const ends = await Promise.allSettled([only, ...more].map(async (step) => step.run()));
  const failed = ends.find((end) => end.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}

/** Throws the first error, after everything that was begun has been undone as far as that goes. */
export async function runSteps(steps: readonly Step[]): Promise<void> {
  const undo: NonNullable<Step['undo']>[] = [];
  try {
    for (const batch of batches(steps)) {
      // Noted before they run: a step that fails half-way is undone too.
      for (const step of batch) if (step.undo !== undefined) undo.unshift(step.undo);
      await runBatch(batch);
    }
  } catch (error) {
    for (const action of undo) {
      try {
        await action();
      } catch {
        // What cannot be undone now carries no marker: gc removes it.
      }
    }
    throw error;
  }
}
