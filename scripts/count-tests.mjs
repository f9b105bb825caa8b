// count-tests.mjs FILE: `PASSED FAILED` of vitest's JSON report. A file that could not be loaded and a skipped test count
// as failures: where this is used, nothing may be skipped.
import { readFileSync } from 'node:fs';
import process from 'node:process';

const report = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const unloaded = report.testResults.filter(
  (file) =>
    file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
);
const failed =
  report.numFailedTests + report.numPendingTests + report.numTodoTests + unloaded.length;
process.stdout.write(`${report.numPassedTests} ${failed}\n`);
