// Runs after `npm ci`, on the Node that npm runs on: makes sure that the Node 26 which came with
// it starts. On a bare Debian its one missing library is libatomic, which is installed here when
// we may, and named where we may not.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const node = join(import.meta.dirname, '..', 'node_modules', '.bin', 'node');
if (existsSync(node)) check();

function check() {
  const first = tryToRun();
  if (first === '') return;
  if (first.includes('libatomic') && process.getuid?.() === 0 && existsSync('/usr/bin/apt-get')) {
    console.error('installing libatomic1, which Node 26 needs');
    const options = {
      stdio: 'inherit',
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    };
    execFileSync('apt-get', ['update', '-qq'], options);
    execFileSync('apt-get', ['install', '-y', '-qq', 'libatomic1'], options);
    if (tryToRun() === '') return;
  }
  console.error(
    `upriver: the Node that came with this package does not start:\n  ${first}\n` +
      "Where libatomic.so.1 is missing, install the system's package of it " +
      '(Debian and Ubuntu: apt-get install libatomic1; Fedora: dnf install libatomic).',
  );
  process.exit(1);
}

/** '' when the bundled Node runs, otherwise what it said. */
function tryToRun() {
  const result = spawnSync(node, ['--version'], { encoding: 'utf8' });
  if (result.status === 0) return '';
  return (result.error?.message ?? result.stderr).trim();
}
