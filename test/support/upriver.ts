// The real program as a process of its own, started the way a user starts it.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { freePorts } from './ports.ts';

const launcher = join(import.meta.dirname, '..', '..', 'bin', 'upriver.mjs');

export interface LogLine {
  readonly level: number | string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

export interface UpriverProcess {
  readonly pid: number;
  /** Base URL of the stats port. */
  readonly statsUrl: string;
  /** Every line of stdout that was JSON, in order. */
  readonly log: readonly LogLine[];
  /** Everything on stdout and stderr, for error messages of tests. */
  readonly output: () => string;
  /** The first line, past or to come, that `matches`. */
  waitForLog(matches: (line: LogLine) => boolean, what: string): Promise<LogLine>;
  signal(signal: NodeJS.Signals): void;
  /** Resolves with the exit code when the process has ended by itself, and `output` and `log` are whole. */
  readonly exited: Promise<number | null>;
  /** Ends it at once, by pid, if it still runs. */
  stop(): Promise<void>;
}

export interface StartOptions {
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Wait until /readyz answers 200 (default), or only until the process runs. */
  readonly isReady?: boolean;
  readonly statsPort?: number;
  /** File descriptors that it may have open; default: as many as this process. */
  readonly descriptors?: number;
  /** A file that its stdout goes to, instead of `log` and `output`. */
  readonly stdout?: string;
  /** What runs it, and becomes it: see withHosts. */
  readonly within?: readonly string[];
}

/** Two busy cores make a start of 1 s one of 50 s; the time of a test ends what never comes. */
const READY_MS_MAX = 120_000;

/** Starts `upriver run` with these flags and waits until it is ready. */
export async function startUpriver(options: StartOptions = {}): Promise<UpriverProcess> {
  const statsPort = options.statsPort ?? (await freePorts(1))[0]!;
  const args = ['run', '--stats', `127.0.0.1:${statsPort}`, ...(options.args ?? [])];
  const statsUrl = `http://127.0.0.1:${statsPort}`;
  const upriver = spawnUpriver(args, options.env ?? {}, { ...options, statsUrl });
  if (options.isReady ?? true) {
    try {
      await untilReady(upriver);
    } catch (error) {
      await upriver.stop();
      throw error;
    }
  }
  return upriver;
}

type SpawnOptions = Pick<StartOptions, 'descriptors' | 'stdout' | 'within'> & {
  readonly statsUrl?: string;
};

/** Starts the program with exactly these arguments. */
export function spawnUpriver(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  { statsUrl = '', descriptors = 0, stdout = '', within = [] }: SpawnOptions = {},
): UpriverProcess {
  const limit = descriptors === 0 ? '' : `ulimit -n ${descriptors};`;
  const redirection = stdout === '' ? '' : `>'${stdout}'`;
  const shell = ['sh', '-c', `${limit} exec "$0" "$@" ${redirection}`];
  // As the launcher starts it on the Node that npm brings, and the image does.
  const command = [process.execPath, '--max-semi-space-size=8', launcher, ...args];
  const whole = limit + redirection === '' ? command : [...shell, ...command];
  const [file = '', ...rest] = [...within, ...whole];
  const child = spawn(file, rest, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...cleanEnvironment(), ...env },
  });
  const log: LogLine[] = [];
  const waiting = new Set<() => void>();
  let output = '';
  const take = (line: string): void => {
    output += `${line}\n`;
    const record = parseLine(line);
    if (record === null) return;
    log.push(record);
    for (const look of [...waiting]) look();
  };
  createInterface({ input: child.stdout! }).on('line', take);
  createInterface({ input: child.stderr! }).on('line', take);
  // Its end may be known before its last lines are read: 'close' comes after both.
  const exited = once(child, 'close').then(([code]) => code as number | null);

  return {
    pid: child.pid!,
    statsUrl,
    log,
    output: () => output,
    exited,
    waitForLog: (matches, what) =>
      Promise.race([
        new Promise<LogLine>((resolve) => {
          const look = (): void => {
            const line = log.find(matches);
            if (line === undefined) return;
            waiting.delete(look);
            resolve(line);
          };
          waiting.add(look);
          look();
        }),
        exited.then((code) => {
          throw new Error(`ended with ${code} before it said ${what}:\n${output}`);
        }),
      ]),
    signal: (signal) => void child.kill(signal),
    stop: async () => {
      if (!isRunning(child)) return;
      child.kill('SIGKILL');
      await exited;
    },
  };
}

async function untilReady(upriver: UpriverProcess): Promise<void> {
  const deadline = performance.now() + READY_MS_MAX;
  let hasExited = false;
  void upriver.exited.then(() => {
    hasExited = true;
  });
  let last = 'no answer yet';
  while (performance.now() < deadline && !hasExited) {
    try {
      const response = await fetch(`${upriver.statsUrl}/readyz`);
      last = await response.text();
      if (response.status === 200) return;
    } catch (error) {
      last = String(error);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`not ready: ${last}\n${upriver.output()}`);
}

/** The environment without anything that would configure the program. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  const own = /^(UPRIVER|CONSUL|ETCD|SERVICE$|DOCKER_HOST|NODE_ENV|VITEST|LOG_LEVEL)/;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !own.test(name)));
}

function parseLine(line: string): LogLine | null {
  if (!line.startsWith('{')) return null;
  try {
    // pino's own shape.
    return JSON.parse(line) as LogLine;
  } catch {
    return null;
  }
}

function isRunning(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null;
}

/** All that a command writes, stdout first, whether it succeeds or fails. */
export function outputOf(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<string> {
  const said = ({ stdout, stderr }: { stdout: string; stderr: string }) => stdout + stderr;
  const options = { env: { PATH: process.env.PATH, ...env }, maxBuffer: 64 * 2 ** 20 };
  return promisify(execFile)(process.execPath, [launcher, ...args], options).then(said, said);
}
