import { describe, expect, it } from 'vitest';

import { runSteps, type Step } from '../../../src/pod/steps.ts';

function recorder() {
  const log: string[] = [];
  const step = (title: string, more: Partial<Step> & { fails?: boolean } = {}): Step => ({
    title,
    run: async () => {
      log.push(`${title}…`);
      await new Promise((resolve) => setTimeout(resolve, 5));
      if (more.fails === true) throw new Error(`${title} failed`);
      log.push(title);
    },
    undo: () => void log.push(`undo ${title}`),
    ...(more.atOnce === undefined ? {} : { atOnce: more.atOnce }),
  });
  return { log, step };
}

describe('steps', () => {
  it('run one after the other, and neighbours that may at the same time', async () => {
    const { log, step } = recorder();
    await runSteps([
      step('a'),
      step('b', { atOnce: true }),
      step('c', { atOnce: true }),
      step('d'),
    ]);
    expect(log).toEqual(['a…', 'a', 'b…', 'c…', 'b', 'c', 'd…', 'd']);
  });

  it('are undone in reverse with the one that failed, when all that ran beside it have ended', async () => {
    const { log, step } = recorder();
    const steps = [
      step('a'),
      step('b', { atOnce: true, fails: true }),
      step('c', { atOnce: true }),
      step('d'),
    ];
    await expect(runSteps(steps)).rejects.toThrow('b failed');
    expect(log).toEqual(['a…', 'a', 'b…', 'c…', 'c', 'undo c', 'undo b', 'undo a']);
  });

  it('are undone further when an undo fails', async () => {
    const { log, step } = recorder();
    const broken: Step = {
      ...step('b', { fails: true }),
      undo: () => {
        throw new Error('cannot');
      },
    };
    await expect(runSteps([step('a'), broken])).rejects.toThrow('b failed');
    expect(log.at(-1)).toBe('undo a');
  });
});
