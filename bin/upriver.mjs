#!/usr/bin/env node
// Starts Upriver on a Node that can run it. The sources run as they are (type stripping), which
// takes Node >= 24.12; where the caller's Node is older, the Node that `npm ci` brought is used.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

// SIGUSR1 would open Node's inspector, which runs whatever code is sent to it, to every local user.
// Taken before anything else: with a handler Node leaves the signal to us.
process.on('SIGUSR1', () => {});

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);

if (major > 24 || (major === 24 && minor >= 12)) {
  const built = join(root, 'dist', 'cli', 'upriver.js');
  const source = join(root, 'src', 'cli', 'upriver.ts');
  await import(existsSync(source) ? source : built);
} else {
  runOn(bundledNode());
}

/** The path of the Node that came as a platform package, or null where there is none. */
function bundledNode() {
  const require = createRequire(join(root, 'package.json'));
  const names = [
    `node-${process.platform}-${process.arch}`,
    `node-bin-${process.platform}-${process.arch}`,
  ];
  for (const name of names) {
    try {
      return join(dirname(require.resolve(`${name}/package.json`)), 'bin', 'node');
    } catch {
      // not this name; the next may be there
    }
  }
  return null;
}

/** Runs this launcher again on `node`, hands signals on, and ends with its exit code. */
function runOn(node) {
  if (node === null) {
    console.error(
      `upriver: needs Node 24.12 or newer (this is ${process.versions.node}), and the Node that ` +
        "'npm ci' brings is not installed for this platform",
    );
    process.exit(2);
  }
  const launcher = fileURLToPath(import.meta.url);
  const child = spawn(node, ['--disable-sigusr1', launcher, ...process.argv.slice(2)], {
    stdio: 'inherit',
  });
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR2', 'SIGQUIT']) {
    process.on(signal, () => child.kill(signal));
  }
  child.on('exit', (code, signal) => {
    if (signal !== null) {
      process.removeAllListeners(signal);
      process.kill(process.pid, signal);
    } else {
      process.exit(code ?? 1);
    }
  });
}
