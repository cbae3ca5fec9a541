// What is listened on, over time: the plan of now, what workers could not open, and whether others
// have the addresses that services want for themselves. Who gets what is decided in listener-plan.ts.
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { ListenError } from '../model/listener.ts';
import { trustOf } from '../model/registries/table.ts';
import type { Service } from '../model/service.ts';
import type { Settings } from '../model/settings.ts';
import type { ListenerSnapshot } from '../model/snapshot.ts';
import { type ListenerPlan, planListeners } from './listener-plan.ts';
import { PortClaims, type Probe } from './port-claims.ts';
import { firstProblems } from './problems.ts';

export interface ListeningOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** Who has an address that a service wants for itself; without, nobody has. */
  readonly probe: Probe | undefined;
  /** A plan may come to something else now. */
  readonly onChange: () => void;
}

/** The services that want listeners, each kind in the order in which they get them. */
export interface Wanting {
  readonly configured: readonly Service[];
  readonly described: readonly Service[];
}

export class Listening {
  private readonly log: Logger;
  private readonly ports: PortClaims | null;
  private current: ListenerPlan = { listeners: [], conflicts: new Map() };
  /** Keys of the listeners of the current plan. */
  private planned = new Set<string>();
  private errors: readonly ListenError[] = [];
  /** Addresses of the host names that the configuration listens on. */
  names: ReadonlyMap<string, readonly string[]> = new Map();

  constructor({ clock, log, probe, onChange }: ListeningOptions) {
    this.log = log;
    this.ports = probe === undefined ? null : new PortClaims({ clock, probe, onChange });
  }

  /** Who has an address that a service wants is not known yet. */
  get isLooking(): boolean {
    return this.ports?.isPending === true;
  }

  /** The listeners as they should be now. What somebody does not get is logged once. */
  plan(settings: Settings, wanting: Wanting): readonly ListenerSnapshot[] {
    const { ports, names, current: before } = this;
    const asked = new Set<string>();
    const refused = new Set(this.errors.map(({ listener }) => listener));
    this.current = planListeners({
      ...wanting,
      routers: settings.routers,
      overlaid: new Set(settings.overlayListeners),
      stats: settings.stats.listen,
      allowed: (registry) => trustOf(settings.registries, registry).listenAllow ?? [],
      names,
      holderOf: (wish) => {
        const { key } = wish;
        asked.add(key);
        // What is open already is ours, for whichever service it was opened.
        const isOpen = this.planned.has(key) && !refused.has(key);
        return ports === null || isOpen ? '' : ports.holderOf(wish);
      },
    });
    this.planned = new Set(this.current.listeners.map(({ key }) => key));
    ports?.keepOnly(asked);
    for (const [service, conflicts] of this.current.conflicts) {
      for (const conflict of conflicts) {
        if (before.conflicts.get(service)?.includes(conflict)) continue;
        this.log.error({ service }, conflict);
      }
    }
    return this.current.listeners;
  }

  /** Which listeners can't be opened, as the workers see it now. */
  onErrors(errors: readonly ListenError[]): void {
    const known = new Set(this.errors.map((error) => error.message));
    for (const error of errors) {
      if (!known.has(error.message)) this.log.error({ ...error }, error.message);
      // It was free when it was looked at, and is not any more.
      if (error.code === 'EADDRINUSE') this.ports?.doubt(error.listener);
    }
    this.errors = errors;
  }

  /** What the service wanted and did not get. */
  problemsOf(service: string): string[] {
    const refused = this.errors.filter((error) => error.service === service);
    return [
      ...firstProblems(this.current.conflicts.get(service) ?? []),
      ...firstProblems(refused.map((error) => error.message)),
    ];
  }

  /** What routers did not get, and everything that can't be opened. */
  problems(): string[] {
    return [
      ...firstProblems(this.current.conflicts.get('') ?? []),
      ...firstProblems(this.errors.map((error) => error.message)),
    ];
  }

  close(): void {
    this.ports?.close();
  }
}
