// What the state file said, source by source, until the registry itself has spoken of it: then the
// registry's word counts, and only that. Knows no file and no traffic.
import type { Clock } from '../base/clock.ts';
import type { ProvidedService, Update } from '../discovery/provider.ts';
import type { KeptSource } from '../model/kept.ts';
import { type ServiceSource, sourceKey } from '../model/source.ts';
import type { State } from './state-format.ts';

export class WarmTable {
  private readonly clock: Clock;
  private readonly waiting = new Map<string, KeptSource>();
  /** Keys of those that are served from. */
  private readonly served = new Set<string>();
  /** ms since the epoch; 0 without a file. */
  readonly writtenMs: number;

  constructor(state: State | null, clock: Clock) {
    this.clock = clock;
    this.writtenMs = state?.writtenMs ?? 0;
    for (const kept of state?.sources ?? []) this.waiting.set(sourceKey(kept.source), kept);
  }

  /** Some source is served from it now. */
  get isInUse(): boolean {
    return this.served.size > 0;
  }

  /** Names of the services of the registry that are served from it. */
  get inUse(): string[] {
    return [...this.served].map((key) => this.waiting.get(key)!.source.service);
  }

  /** What the registry has not spoken of yet: it is kept for the next start as well. */
  get unspoken(): readonly KeptSource[] {
    return [...this.waiting.values()];
  }

  /** Services that described themselves: to be asked for, since no configuration names them. */
  get described(): ServiceSource[] {
    return [...this.served].flatMap((key) => {
      const { settings, source } = this.waiting.get(key)!;
      return settings === null ? [] : [source];
    });
  }

  get reason(): string {
    const time = new Date(this.writtenMs).toISOString();
    return `from the state file of ${time}: the registry has not answered yet`;
  }

  /**
   * Serves from the file what is wanted by configuration, or described itself, and was not spoken
   * of yet. Returns it as a registry would have said it.
   */
  serve(wanted: readonly ServiceSource[]): Update[] {
    const keys = new Set(wanted.map(sourceKey));
    const updates: Update[] = [];
    for (const [key, kept] of this.waiting) {
      if (!keys.has(key) && kept.settings === null) continue;
      this.served.add(key);
      const reasons = new Map(kept.endpoints.map(({ id }) => [id, this.reason]));
      updates.push({
        kind: 'upsert',
        provider: kept.source.registry,
        service: { ...kept, doubt: '', kept: reasons },
        cause: { kind: 'start', text: 'state file' },
        receivedMs: this.clock.nowMs(),
      });
    }
    return updates;
  }

  /** A registry speaks; returns what is to be made of it. */
  pass(update: Update): Update {
    const source = update.kind === 'upsert' ? update.service.source : update.source;
    const key = sourceKey(source);
    const kept = this.waiting.get(key);
    this.served.delete(key);
    this.waiting.delete(key);
    if (update.kind === 'remove' || kept === undefined) return update;
    return { ...update, service: withOrder(update.service, kept) };
  }

  /** Nobody asks for other sources than these any more: what is served of others is no one's. */
  release(wanted: readonly ServiceSource[]): void {
    const keys = new Set(wanted.map(sourceKey));
    for (const key of this.served) {
      if (keys.has(key)) continue;
      this.served.delete(key);
      this.waiting.delete(key);
    }
  }

  /** What is left will not be spoken of: nobody asks for it any more. */
  forgetRest(): void {
    if (!this.isInUse) this.waiting.clear();
  }
}

/** Who had a listener first keeps it over a restart, although all instances were replaced since. */
function withOrder(service: ProvidedService, { order, settings }: KeptSource): ProvidedService {
  if (order === undefined || settings?.listen !== service.settings?.listen) return service;
  return { ...service, order: Math.min(order, service.order || order) };
}
