import { expect, it } from 'vitest';

import { childExec } from '../../../src/exec/child.ts';

it('a program whose own child keeps the output open is waited for no longer than its time', async () => {
  const startMs = performance.now();
  const words = ['/bin/sh', '-c', 'sleep 5 & echo done'] as const;
  const result = await childExec.run(words, { timeoutMs: 200 });
  expect(result).toMatchObject({ status: 0, stdout: 'done\n' });
  expect(performance.now() - startMs).toBeLessThan(3000);
});
