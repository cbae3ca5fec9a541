#!/usr/bin/env node
// Starts Upriver on a Node that can run it. The sources run as they are (type stripping), which
// takes Node >= 24.12; where the caller's Node is older, the Node that `npm ci` brought is used.
// That Node takes this process over where the caller's can do that (process.execve); otherwise it is
// a child that shares its life: what ends this process ends the child.
import { spawn } from 'node:child_process';
import { realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import { Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { entryOf } from './sources.mjs';

// SIGUSR1 would open Node's inspector, which runs whatever code is sent to it, to every local user.
// Taken before anything else: with a handler Node leaves the signal to us.
process.on('SIGUSR1', () => {});

/** As workers have it: V8 takes three times as much, and keeps it, where registries change all the time. */
const YOUNG = '--max-semi-space-size=8';
/**
 * Garbage that outlived the young generation is collected when there is as much of it as of what is in use: V8 lets
 * it grow to three times as much, and keeps that memory. Read at each collection, by workers as well.
 */
const OLD = '--heap-growing-percent=100';
/** Exit code of the loader where a library is missing. */
const LOADER_FAILED = 127;
/** In the environment of a child: the descriptor that reads its end when this process has ended. */
const LIFELINE = 'UPRIVER_LIFELINE';

const launcher = realpathSync(fileURLToPath(import.meta.url));
const root = dirname(dirname(launcher));
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);

if (major > 24 || (major === 24 && minor >= 12)) {
  if (process.env[LIFELINE] !== undefined) holdLifeline();
  await start();
} else {
  runOn(bundledNode());
}

async function start() {
  setFlagsFromString(OLD);
  const entry = entryOf(root);
  try {
    await import(pathToFileURL(entry).href);
  } catch (error) {
    const isMissing = error?.code === 'ERR_MODULE_NOT_FOUND';
    if (!isMissing || !/^Cannot find package /.test(error.message)) throw error;
    console.error(
      `upriver: ${error.message.split(' imported from ')[0]}: the sources need their libraries ` +
        "('npm ci'), or a build that holds them ('npm run build')",
    );
    process.exitCode = 2;
  }
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

/** Runs this launcher again on `node`. */
function runOn(node) {
  if (node === null) {
    console.error(
      `upriver: needs Node 24.12 or newer (this is ${process.versions.node}), and the Node that ` +
        "'npm ci' brings is not installed for this platform",
    );
    process.exit(2);
  }
  // The inspector is off from the first moment on: a handler is taken only once this file runs.
  const args = ['--disable-sigusr1', YOUNG, launcher, ...process.argv.slice(2)];
  if (typeof process.execve === 'function' && process.platform !== 'win32') {
    // It is experimental there, which is no news for whoever runs Upriver.
    process.removeAllListeners('warning');
    process.execve(node, [node, ...args], process.env);
  }
  spawnOn(node, args);
}

/** Hands signals on to the child, and ends with its exit code. */
function spawnOn(node, args) {
  const child = spawn(node, args, {
    // The last one is the lifeline: it ends when this process does, however that happens.
    stdio: ['inherit', 'inherit', 'inherit', 'pipe'],
    env: { ...process.env, [LIFELINE]: '3' },
  });
  child.stdio[3].on('error', () => {});
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR2', 'SIGQUIT']) {
    process.on(signal, () => child.kill(signal));
  }
  child.on('error', (error) => void explain(error.message));
  child.on('exit', (code, signal) => {
    // The loader's own code for a library that is missing, said on stderr; none of ours.
    if (code === LOADER_FAILED) void explain('see above');
    else if (signal !== null) {
      process.removeAllListeners(signal);
      process.kill(process.pid, signal);
    } else {
      process.exit(code ?? 1);
    }
  });
}

/** Says what the bundled Node needs to start, and ends. */
async function explain(why) {
  const { runtimeHint } = await import('../scripts/check-runtime.mjs');
  console.error(runtimeHint(why));
  process.exit(LOADER_FAILED);
}

/**
 * In the child: when the launcher is gone nobody can end this process any more, and it would go on
 * sharing its ports unseen. So it asks itself to end, as the launcher would have: it drains.
 */
function holdLifeline() {
  const fd = Number(process.env[LIFELINE]);
  // Not for what this process starts.
  delete process.env[LIFELINE];
  const lifeline = new Socket({ fd, readable: true, writable: false });
  const onLost = () => process.kill(process.pid, 'SIGTERM');
  lifeline.on('error', () => {});
  lifeline.once('close', onLost);
  // It must not keep a command that is done.
  lifeline.resume().unref();
}
