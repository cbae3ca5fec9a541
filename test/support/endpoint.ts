import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

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
}

/** Starts an endpoint on `port` (0: any) and resolves when it listens. */
export async function startEndpoint(id: string, port = 0): Promise<EndpointProcess> {
  const main = join(import.meta.dirname, 'endpoint-main.ts');
  const child = spawn(process.execPath, [main, id, String(port)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
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
