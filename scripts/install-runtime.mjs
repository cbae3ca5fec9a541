// Runs before the checks and tests, on the Node that npm runs on: where the bundled Node lacks
// libatomic, installs it on a Debian machine as root, as scripts/setup-tests.ts does with the programs
// that the tests need. Elsewhere it says what to install, and fails.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { bundledNode, runtimeHint, whyNotRunning } from './check-runtime.mjs';

let why = existsSync(bundledNode) ? whyNotRunning(bundledNode) : '';
if (why.includes('libatomic') && process.getuid?.() === 0 && existsSync('/usr/bin/apt-get')) {
  console.error('installing libatomic1, which Node 26 needs');
  const options = {
    stdio: 'inherit',
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  };
  // Another apt may hold the lock, on a machine that has just started.
  const patient = ['-o', 'Acquire::Retries=3', '-o', 'DPkg::Lock::Timeout=300'];
  execFileSync('apt-get', ['update', '-qq', ...patient], options);
  const install = ['install', '-y', '-qq', ...patient, '--no-install-recommends'];
  execFileSync('apt-get', [...install, 'libatomic1'], options);
  why = whyNotRunning(bundledNode);
}
if (why !== '') {
  console.error(runtimeHint(why));
  process.exit(1);
}
