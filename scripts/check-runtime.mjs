// Whether the Node 26 that `npm ci` brought starts here, and what to do where it does not. On a bare
// Debian its one missing library is libatomic. As the postinstall script, on the Node that npm runs
// on, it warns: a package that is being installed changes nothing of the system and does not fail
// for what can be installed later.
import { spawnSync } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

export const bundledNode = findBundledNode();

/** The Node that came as a platform package; '' where there is none. */
function findBundledNode() {
  const require = createRequire(import.meta.url);
  for (const name of ['node', 'node-bin']) {
    try {
      const folder = dirname(
        require.resolve(`${name}-${process.platform}-${process.arch}/package.json`),
      );
      return join(folder, 'bin', 'node');
    } catch {
      // Not this name; the next may be there.
    }
  }
  return '';
}

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
  // Headers for building add-ons, which nothing here does: a third of what it takes on disk.
  rmSync(join(dirname(dirname(bundledNode)), 'include'), { recursive: true, force: true });
}
