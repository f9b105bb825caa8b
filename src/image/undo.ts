/** Steps to take back, last first, when what they belong to fails. */
export interface Undo {
  /** To be called before the step, so that half a step is taken back too; `back` must bear that nothing was done. */
  push(what: string, back: () => Promise<void> | void): void;
  /** The work is done: nothing is taken back any more. */
  forget(): void;
  /** Takes everything back; one failure does not keep the rest from it. Returns the failures, as sentences. */
  run(): Promise<readonly string[]>;
}

export function createUndo(): Undo {
  let steps: { readonly what: string; readonly back: () => Promise<void> | void }[] = [];
  return {
    push(what, back) {
      steps.push({ what, back });
    },
    forget() {
      steps = [];
    },
    async run() {
      const failures: string[] = [];
      for (const { what, back } of steps.reverse()) {
        try {
          await back();
        } catch (error) {
          failures.push(
            `cannot ${what}: ${error instanceof Error ? error.message : String(error)}`,
          );
        }
      }
      steps = [];
      return failures;
    },
  };
}
