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
  execFileSync('apt-get', ['update', '-qq'], options);
  execFileSync(
    'apt-get',
    ['install', '-y', '-qq', '--no-install-recommends', 'libatomic1'],
    options,
  );
  why = whyNotRunning(bundledNode);
}
if (why !== '') {
  console.error(runtimeHint(why));
  process.exit(1);
}
