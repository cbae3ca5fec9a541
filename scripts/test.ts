// `npm test`: brings up what the tests need, runs every project of vitest.config.ts, and closes
// with one line that counts: 'N passed, N failed', and ', N skipped' where something was. Exits 1
// when a test failed, none ran, or (in CI) one was skipped.
// Arguments are handed to vitest: `npm test -- --project unit`.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setUpTools } from './setup-tests.ts';

interface VitestReport {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
  /** Files that could not even be loaded count as failures of their own. */
  readonly numFailedTestSuites: number;
}

const folder = mkdtempSync(join(tmpdir(), 'upriver-test-'));
const reportFile = join(folder, 'report.json');
try {
  process.exitCode = await main();
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function main(): Promise<number> {
  const environment = await setUpTools();
  const code = await runVitest({ ...process.env, ...environment });
  if (!existsSync(reportFile)) {
    console.log('0 passed, 1 failed');
    return code === 0 ? 1 : code;
  }
  // The shape is vitest's own (its json reporter).
  const report = JSON.parse(readFileSync(reportFile, 'utf8')) as VitestReport;
  const skipped = report.numPendingTests + report.numTodoTests;
  const failed = Math.max(report.numFailedTests, code === 0 ? 0 : 1);
  const tail = skipped > 0 ? `, ${skipped} skipped` : '';
  const isComplete = process.env.CI === undefined || skipped === 0;
  if (!isComplete) console.log('In CI nothing may be skipped.');
  console.log(`${report.numPassedTests} passed, ${failed} failed${tail}`);
  return failed === 0 && report.numPassedTests > 0 && isComplete ? 0 : 1;
}

function runVitest(env: NodeJS.ProcessEnv): Promise<number> {
  const args = ['--reporter=default', '--reporter=json', `--outputFile.json=${reportFile}`];
  const vitest = spawn('vitest', ['run', ...args, ...process.argv.slice(2)], {
    stdio: 'inherit',
    env,
  });
  return new Promise((resolve, reject) => {
    vitest.once('error', reject);
    vitest.once('exit', (code) => resolve(code ?? 1));
  });
}
