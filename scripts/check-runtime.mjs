// Runs after `npm ci`, on the Node that npm runs on: makes sure that the Node 26 which came with
// it starts. On a bare Debian its one missing library is libatomic, which is installed here when
// we may, and named where we may not.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const require = createRequire(import.meta.url);
const node = bundledNode();
if (node !== null) {
  check();
  // Headers for building add-ons, which nothing here does: a third of what it takes on disk.
  rmSync(join(dirname(dirname(node)), 'include'), { recursive: true, force: true });
}

/** The Node that came as a platform package, or null. */
function bundledNode() {
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
  return null;
}

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
