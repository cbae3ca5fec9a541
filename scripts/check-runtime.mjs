// Runs after `npm ci`, on the Node that npm runs on: makes sure that the Node 26 which came with
// it starts. On a bare Debian its one missing library is libatomic, which is named. It only looks: a
// package that is being installed changes nothing of the system.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const node = join(import.meta.dirname, '..', 'node_modules', '.bin', 'node');
if (existsSync(node)) check();

function check() {
  const first = tryToRun();
  if (first === '') return;
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
