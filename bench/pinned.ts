// Starts a program on given cores, waits until it answers, and ends it by its process id.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';

export const PROXY_CORE = '0';
/** Load and origin share the other core. */
export const LOAD_CORE = '1';
export const BOTH_CORES = '0,1';

const READY_MS_MAX = 10_000;
const POLL_MS = 50;
/** About four times the share of others. */
const NICENESS = -6;

export interface Launch {
  readonly cores: string;
  readonly file: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Opened when it is ready. */
  readonly port: number;
  /** It is a port of UDP. */
  readonly isUdp?: boolean;
}

export interface Running {
  readonly pid: number;
  /** SIGKILL to it and its children, and waits until it is gone. */
  stop(): Promise<void>;
}

const children = new Set<ChildProcess>();
// Whatever goes wrong, nothing is left running.
process.on('exit', () => {
  for (const child of children) kill(child);
});

/** Throws with what it said when it does not open its port. */
export async function startPinned(launch: Launch): Promise<Running> {
  const { cores, file, args, env = {}, port } = launch;
  const isOpen = launch.isUdp === true ? isBound : isListening;
  if (await isOpen(port)) throw new Error(`port ${port} is in use`);
  // A group of its own, so that a master ends with its workers.
  const child = spawn('taskset', ['-c', cores, file, ...args], {
    ...{ stdio: ['ignore', 'ignore', 'pipe'], detached: true, env: { ...process.env, ...env } },
  });
  children.add(child);
  raisePriority(child.pid!);
  let errors = '';
  child.stderr!.on('data', (chunk: Buffer) => {
    errors = (errors + String(chunk)).slice(-4000);
  });
  const deadline = performance.now() + READY_MS_MAX;
  while (!(await isOpen(port))) {
    if (child.exitCode !== null || performance.now() > deadline) {
      kill(child);
      throw new Error(`${file} ${args.join(' ')} did not open port ${port}:\n${errors}`);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  return {
    pid: child.pid!,
    stop: async () => {
      children.delete(child);
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, 'exit');
      kill(child);
      await gone;
    },
  };
}

/**
 * Puts the program before other work of the machine, which would empty the processor's caches under it.
 * Sessions share the processor as groups (sched(7)), whatever their processes' niceness; only root may
 * prefer one, and not every kernel groups them.
 */
function raisePriority(pid: number): void {
  try {
    writeFileSync(`/proc/${pid}/autogroup`, String(NICENESS));
  } catch {
    // It is measured as it is.
  }
}

function kill(child: ChildProcess): void {
  try {
    process.kill(-child.pid!, 'SIGKILL');
  } catch {
    // It is gone already.
  }
}

/** Whether the kernel's table has a socket of UDP on the port. */
function isBound(port: number): boolean {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')} `;
  return readFileSync('/proc/net/udp', 'utf8').includes(suffix);
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}
