// What is compared: a proxy together with whatever carries the registry's changes to it, as one
// group of processes that is started, watched and ended together.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';

/** How long an endpoint may take to begin its answer; all are set to it. */
export const RESPONSE_TIMEOUT_MS = 1000;
const READY_MS_MAX = 15_000;
const POLL_MS = 20;
/** One tick of /proc/PID/stat, ms: USER_HZ is 100 on Linux. */
const TICK_MS = 10;

export interface Place {
  readonly consulUrl: string;
  readonly dnsPort: number;
  /** Where it serves the service `web`. */
  readonly port: number;
  /** Another port, for metrics and the like. */
  readonly statsPort: number;
  /** A folder of its own, which exists. */
  readonly folder: string;
}

export interface Subject {
  readonly name: string;
  /** What it is and its version. Throws when it can't be had. */
  find(): string;
  /** Writes its files and says how it is started. */
  prepare(place: Place): { readonly file: string; readonly args: readonly string[] };
}

export interface RunningSubject {
  /** CPU time so far of the whole group, and of its first process alone, ms. */
  cpuMs(): { readonly all: number; readonly first: number };
  /** Processes of the group now. */
  processes(): number;
  stop(): Promise<void>;
}

const children = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of children) killGroup(child);
});

/** Starts it and waits until its port opens. Throws with what it said when it doesn't. */
export async function startSubject(subject: Subject, place: Place): Promise<RunningSubject> {
  const { file, args } = subject.prepare(place);
  const child = spawn(file, args, {
    ...{ stdio: ['ignore', 'pipe', 'pipe'], detached: true },
    env: { ...process.env, HOME: place.folder, GOMAXPROCS: '1' },
  });
  children.add(child);
  let output = '';
  const take = (text: Buffer): void => {
    output = (output + String(text)).slice(-3000);
  };
  child.stdout!.on('data', take);
  child.stderr!.on('data', take);
  const deadline = performance.now() + READY_MS_MAX;
  while (!(await isOpen(place.port))) {
    if (child.exitCode !== null || performance.now() > deadline) {
      killGroup(child);
      throw new Error(`${subject.name} did not open its port:\n${output}`);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  const pid = child.pid!;
  return {
    cpuMs: () => ({
      all: groupOf(pid).reduce((sum, one) => sum + one.allMs, 0),
      first: ownMs(pid),
    }),
    processes: () => groupOf(pid).length,
    stop: async () => {
      children.delete(child);
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, 'exit');
      killGroup(child);
      await gone;
    },
  };
}

export interface Stat {
  readonly group: number;
  readonly ownMs: number;
  /** With the children that ended and were waited for: old workers count too. */
  readonly allMs: number;
}

/** Reads a line of /proc/PID/stat (proc_pid_stat(5)); the name in it may hold anything. */
export function parseStat(line: string): Stat {
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
  const ticks = [11, 12, 13, 14].map((i) => Number(fields[i]));
  const [user = 0, system = 0, childUser = 0, childSystem = 0] = ticks;
  const ownMs = (user + system) * TICK_MS;
  const allMs = ownMs + (childUser + childSystem) * TICK_MS;
  return { group: Number(fields[2]), ownMs, allMs };
}

function groupOf(group: number): Stat[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => readStat(name))
    .filter((stat) => stat.group === group);
}

function ownMs(pid: number): number {
  return readStat(String(pid))[0]?.ownMs ?? 0;
}

function readStat(pid: string): Stat[] {
  try {
    return [parseStat(readFileSync(`/proc/${pid}/stat`, 'utf8'))];
  } catch {
    return []; // It ended meanwhile.
  }
}

function killGroup(child: ChildProcess): void {
  try {
    process.kill(-child.pid!, 'SIGKILL');
  } catch {
    // It is gone already.
  }
}

function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}
