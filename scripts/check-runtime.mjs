// Whether the Node 26 that `npm ci` brought starts here, and what to do where it does not. On a bare
// Debian its one missing library is libatomic. As the postinstall script, on the Node that npm runs
// on, it warns: a package that is being installed changes nothing of the system and does not fail
// for what can be installed later.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

// import.meta.dirname is not there before Node 20.11.
const root = join(dirname(fileURLToPath(import.meta.url)), '..');
export const bundledNode = join(root, 'node_modules', '.bin', 'node');

/** '' when this Node runs, otherwise what it said. */
export function whyNotRunning(node) {
  const result = spawnSync(node, ['--version'], { encoding: 'utf8' });
  if (result.status === 0) return '';
  return (result.error?.message ?? result.stderr).trim();
}

/** What to print where the Node that came with the package says `why` instead of running. */
export function runtimeHint(why) {
  return (
    `upriver: the Node that came with this package does not start:\n  ${why}\n` +
    "Where libatomic.so.1 is missing, install the system's package of it " +
    '(Debian and Ubuntu: apt-get install libatomic1; Fedora: dnf install libatomic).'
  );
}

if (process.env.npm_lifecycle_event === 'postinstall' && existsSync(bundledNode)) {
  const why = whyNotRunning(bundledNode);
  if (why !== '') console.warn(runtimeHint(why));
}
