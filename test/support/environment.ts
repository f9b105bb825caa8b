/** What the tests learn from outside, and what they do where a part is missing. */
import process from 'node:process';

/** In CI nothing that matters may be skipped: a lack is a failure there. */
export const mustWork = process.env['JETPACK_MUST_WORK'] === '1';

/** The pool for integration tests; undefined (the tests are skipped) only where JETPACK_MUST_WORK is not set. */
export function testPool(): string | undefined {
  const pool = process.env['JETPACK_TEST_POOL'];
  if (pool !== undefined && pool !== '') return pool;
  if (mustWork) throw new Error('JETPACK_MUST_WORK=1, but JETPACK_TEST_POOL names no pool');
  return undefined;
}
