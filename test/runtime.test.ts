// A machine without the library that the bundled Node needs, such as a bare Debian: installing only
// warns, the launcher says what is missing, and the checks and tests install it where they may.
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';

// Each test starts processes, which takes seconds on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

const root = join(import.meta.dirname, '..');
const MISSING =
  'node: error while loading shared libraries: libatomic.so.1: cannot open shared object file';
/** The launcher looks at the version of the Node that it runs on, which has no execve yet. */
const AS_NODE_20 =
  "data:text/javascript,Object.defineProperty(process,'versions',{value:{...process.versions,node:'20.1.0'}});process.execve=undefined";

const PACKAGE = `node_modules/node-${process.platform}-${process.arch}`;
const NODE = `${PACKAGE}/bin/node`;

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'upriver-runtime-'));
  for (const file of [
    'bin/upriver.mjs',
    'bin/sources.mjs',
    'scripts/check-runtime.mjs',
    'scripts/install-runtime.mjs',
  ])
    cpSync(join(root, file), join(folder, file));
  write('package.json', '{ "type": "module" }');
  fakeNode(MISSING);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function write(file: string, text: string): void {
  mkdirSync(dirname(join(folder, file)), { recursive: true });
  writeFileSync(join(folder, file), text, { mode: 0o755 });
}

/** A bundled Node that says this, and ends as the loader of the system does. */
function fakeNode(text: string): void {
  write(`${PACKAGE}/package.json`, '{}');
  write(NODE, `#!/bin/sh\necho '${text}' >&2\nexit 127\n`);
}

function run(args: readonly string[], env: Record<string, string> = {}) {
  return spawnSync(process.execPath, args, {
    cwd: folder,
    encoding: 'utf8',
    env: { ...process.env, npm_lifecycle_event: '', ...env },
  });
}

it('is installed all the same, with a warning that names the package', () => {
  const { status, stderr } = run(['scripts/check-runtime.mjs'], {
    npm_lifecycle_event: 'postinstall',
  });
  expect(stderr).toContain(MISSING);
  expect(stderr).toContain('apt-get install libatomic1');
  expect(status).toBe(0);
});

it('is told by the launcher what is missing', () => {
  const { status, stderr } = run(['--import', AS_NODE_20, 'bin/upriver.mjs', 'run']);
  expect(stderr).toContain(MISSING);
  expect(stderr).toContain('apt-get install libatomic1');
  expect(status).toBe(127);
});

it('gets the library before the checks and tests, as root on Debian', () => {
  // In place of the real one: writes down what it is asked for, and makes the bundled Node run.
  write('path/apt-get', `#!/bin/sh\necho "$@" >> asked\nprintf '#!/bin/sh\\n' > ${NODE}\n`);
  const PATH = `${join(folder, 'path')}:${process.env.PATH}`;
  const { status, stderr } = run(['scripts/install-runtime.mjs'], { PATH });
  const mayInstall = process.getuid?.() === 0 && existsSync('/usr/bin/apt-get');
  if (mayInstall) {
    const asked = readFileSync(join(folder, 'asked'), 'utf8');
    expect(asked).toMatch(/^update .*\ninstall .*libatomic1\n$/);
    expect(status).toBe(0);
  } else {
    expect(stderr).toContain('apt-get install libatomic1');
    expect(status).toBe(1);
  }
});

it('gets nothing installed for another fault', () => {
  fakeNode('exec format error');
  const { status, stderr } = run(['scripts/install-runtime.mjs']);
  expect(stderr).toContain('exec format error');
  expect(status).toBe(1);
});
