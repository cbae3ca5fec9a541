// The providers that run. Each follows the sources that name it as their registry; what they say
// goes to one receiver. Knows no provider by name.
import type { Clock } from '../base/clock.ts';
import { type ServiceSource, sourceKey } from '../model/service.ts';
import type { Provider, ProviderStatus, Update } from './provider.ts';

const SYNC_LOOK_MS = 10;

interface Running {
  readonly provider: Provider;
  /** What it has provided and not taken back. */
  readonly provided: Map<string, ServiceSource>;
}

export class ProviderSet {
  private readonly clock: Clock;
  private readonly onUpdate: (update: Update) => void;
  private readonly running = new Map<string, Running>();
  private sources: readonly ServiceSource[] = [];

  constructor(options: { clock: Clock; onUpdate: (update: Update) => void }) {
    this.clock = options.clock;
    this.onUpdate = options.onUpdate;
  }

  /** Starts a provider; it follows what is followed now. Another of its name must be stopped. */
  add(provider: Provider): void {
    const running: Running = { provider, provided: new Map() };
    this.running.set(provider.name, running);
    provider.follow(this.sourcesOf(provider.name));
    provider.start((update) => this.take(running, update));
  }

  /**
   * Puts another provider in the place of the one of the same name, or none. What the old one had
   * provided stays until the new one has answered, or goes at once when there is no new one.
   */
  replace(name: string, provider: Provider | null): void {
    const old = this.running.get(name);
    this.running.delete(name);
    if (provider !== null) this.add(provider);
    if (old === undefined) return;
    void old.provider.stop();
    if (provider !== null) return;
    for (const source of old.provided.values()) {
      this.onUpdate({
        kind: 'remove',
        provider: name,
        source,
        cause: { kind: 'reload', text: `registry ${name} is not configured any more` },
        receivedMs: this.clock.nowMs(),
      });
    }
  }

  /** The sources that configuration wants, from now on. */
  follow(sources: readonly ServiceSource[]): void {
    this.sources = sources;
    for (const [name, { provider }] of this.running) provider.follow(this.sourcesOf(name));
  }

  statuses(): ProviderStatus[] {
    return [...this.running.values()].map(({ provider }) => provider.status());
  }

  /** The registry that has not yet answered for everything that is followed; '' when all have. */
  get unsynced(): string {
    const status = this.statuses().find((one) => !one.isSynced);
    if (status === undefined) return '';
    return status.lastError === '' ? status.name : `${status.name} (${status.lastError})`;
  }

  /** Resolves when every registry has answered, or `withinMs` have passed; true when they have. */
  async synced(withinMs: number): Promise<boolean> {
    const untilMs = this.clock.nowMs() + withinMs;
    while (this.unsynced !== '') {
      if (this.clock.nowMs() >= untilMs) return false;
      await new Promise<void>((resolve) => this.clock.setTimer(SYNC_LOOK_MS, resolve));
    }
    return true;
  }

  async stop(): Promise<void> {
    await Promise.all([...this.running.values()].map(({ provider }) => provider.stop()));
    this.running.clear();
  }

  private sourcesOf(name: string): ServiceSource[] {
    const own = this.sources.filter((source) => source.registry === name);
    return [...new Map(own.map((source) => [sourceKey(source), source])).values()];
  }

  private take(running: Running, update: Update): void {
    if (this.running.get(running.provider.name) !== running) return;
    const source = update.kind === 'upsert' ? update.service.source : update.source;
    if (update.kind === 'upsert') running.provided.set(sourceKey(source), source);
    else running.provided.delete(sourceKey(source));
    this.onUpdate(update);
  }
}
