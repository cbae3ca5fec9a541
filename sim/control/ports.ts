// The ports of the machine: which of them another program has, and whether the process listens where
// somebody else does, or does not where it should.
import type { ListenAddress } from '../../src/model/listener.ts';
import type { Settings } from '../../src/model/settings.ts';
import type { ListenerSnapshot } from '../../src/model/snapshot.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { DESCRIBED_PORTS } from './universe.ts';

/** A port that is taken is looked at every second; who took it just before may be overlooked. */
const LOOKED_MS = 2500;
/** One that hangs is replaced by then. */
const LATE_MS_MAX = 30_000;

interface Taken {
  fromMs: number;
  untilMs: number;
}

export class Ports {
  private readonly kernel: Kernel;
  private readonly taken = new Map<number, Taken>();
  /** Those of services that describe themselves on which the process listens. */
  private readonly open = new Set<number>();
  private lateUntilMs = 0;

  constructor(kernel: Kernel) {
    this.kernel = kernel;
  }

  /**
   * A worker is late from now on: what it is told to listen on was looked at long before. That holds a
   * moment longer than it is late: what comes next is told to all when it has answered for what it had.
   */
  workerIsLate(forMs: number): void {
    const untilMs = this.kernel.nowMs + Math.min(forMs, LATE_MS_MAX) + LOOKED_MS;
    this.lateUntilMs = Math.max(this.lateUntilMs, untilMs);
  }

  /** What they apply may have been decided long before. */
  get areWorkersLate(): boolean {
    return this.kernel.nowMs <= this.lateUntilMs;
  }

  /** Another process: it listens nowhere yet. */
  begin(): void {
    this.open.clear();
  }

  /** Another program takes the port, unless the process has it. */
  take(port: number, forMs: number): void {
    const { nowMs } = this.kernel;
    if (!this.open.has(port)) this.taken.set(port, { fromMs: nowMs, untilMs: nowMs + forMs });
  }

  /** All other programs end. */
  free(): void {
    this.taken.clear();
  }

  /** As the product asks: who has it, '' for nobody. */
  readonly probe = (address: ListenAddress): Promise<string> => {
    return new Promise((resolve) => {
      this.kernel.after(1, () => {
        const port = address.kind === 'tcp' ? address.port : 0;
        resolve(this.isTaken(port) ? 'another program' : '');
      });
    });
  };

  /** Workers are told to listen here; returns what is wrong with it, or ''. */
  listen(listeners: readonly ListenerSnapshot[]): string {
    const { nowMs } = this.kernel;
    const ports = portsOf(listeners);
    let wrong = '';
    for (const port of DESCRIBED_PORTS.values()) {
      const isNew = ports.has(port) && !this.open.has(port);
      if (!ports.has(port)) this.open.delete(port);
      if (!isNew) continue;
      this.open.add(port);
      const { fromMs = nowMs } = this.taken.get(port) ?? {};
      if (this.isTaken(port) && nowMs - fromMs > LOOKED_MS && !this.areWorkersLate) {
        wrong = `port ${port} is listened on, and another program has it`;
      }
    }
    return wrong;
  }

  private isTaken(port: number): boolean {
    return (this.taken.get(port)?.untilMs ?? 0) > this.kernel.nowMs;
  }
}

/** What is wrong with the listeners when these services are there and no other program is; or ''. */
export function wrongListeners(
  listeners: readonly ListenerSnapshot[],
  { services }: Settings,
  names: Iterable<string>,
): string {
  const is = portsOf(listeners.filter(({ service }) => service !== 'rogue'));
  const should = new Set<number>();
  for (const name of names) {
    const service = services.find((one) => one.name === name);
    for (const { address } of service?.listen ?? []) {
      if (address.kind === 'tcp') should.add(address.port);
    }
    const described = DESCRIBED_PORTS.get(name);
    if (service === undefined && described !== undefined) should.add(described);
  }
  const [missing, surplus] = [should.difference(is), is.difference(should)];
  if (missing.size === 0 && surplus.size === 0) return '';
  return `listeners missing: ${[...missing].join()}; surplus: ${[...surplus].join()}`;
}

function portsOf(listeners: readonly ListenerSnapshot[]): Set<number> {
  return new Set(
    listeners.flatMap(({ address }) => (address.kind === 'tcp' ? [address.port] : [])),
  );
}
