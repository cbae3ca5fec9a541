import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Behaviour } from './behaviour.ts';
import { freePorts } from './ports.ts';

/** A real endpoint process. Ended by pid; a frozen one is ended too. */
export interface EndpointProcess {
  readonly id: string;
  readonly port: number;
  readonly isAlive: boolean;
  /** kill -9. */
  kill(): Promise<void>;
  /** SIGTERM: answers what is in flight, then exits. */
  terminate(): Promise<void>;
  /** SIGSTOP: the kernel goes on accepting connections, nobody answers. */
  freeze(): void;
  thaw(): void;
  /** From the moment this resolves it behaves like this; what is left out stays as it was. */
  behave(behaviour: Behaviour): Promise<void>;
}

export interface Whereabouts {
  readonly address: string;
  /** What runs a program there: `ip netns exec NAME`. */
  readonly within: readonly string[];
}

/** On loopback. */
export const HERE: Whereabouts = { address: '127.0.0.1', within: [] };

/** Starts an endpoint on `port` (0: any that is free, and stays so) and resolves when it listens. */
export async function startEndpoint(
  id: string,
  port = 0,
  { address, within }: Whereabouts = HERE,
): Promise<EndpointProcess> {
  const main = join(import.meta.dirname, 'endpoint-main.ts');
  const own = port === 0 ? (await freePorts(1))[0] : port;
  const [file = '', ...args] = [...within, process.execPath, main, id, String(own), address];
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] });
  const [line] = (await Promise.race([
    once(createInterface({ input: child.stdout! }), 'line'),
    once(child, 'exit').then(() => {
      throw new Error(`endpoint ${id} did not start on port ${port}`);
    }),
  ])) as [string];
  // The line is endpoint-main's own.
  const started = JSON.parse(line) as { port: number };
  return {
    id,
    port: started.port,
    get isAlive() {
      return isRunning(child);
    },
    kill: () => stop(child, 'SIGKILL'),
    terminate: () => stop(child, 'SIGTERM'),
    freeze: () => void child.kill('SIGSTOP'),
    thaw: () => void child.kill('SIGCONT'),
    behave: async (behaviour) => {
      const done = once(child, 'message');
      child.send(behaviour);
      await done;
    },
  };
}

function isRunning(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null;
}

async function stop(child: ChildProcess, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
  if (!isRunning(child)) return;
  const gone = once(child, 'exit');
  child.kill('SIGCONT');
  child.kill(signal);
  await gone;
}
