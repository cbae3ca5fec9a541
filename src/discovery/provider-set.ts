// The providers that run. Each follows the sources that name it as their registry; what they say
// goes to one receiver. Knows no provider by name.
import type { Clock, Timer } from '../base/clock.ts';
import { type ServiceSource, sourceKey } from '../model/source.ts';
import type { Provider, ProviderStatus, Update } from './provider.ts';

const SYNC_LOOK_MS = 10;
/** How often it is looked whether a provider has answered in its predecessor's place. */
const HANDOVER_LOOK_MS = 100;

interface Running {
  readonly provider: Provider;
  /** What it has provided and not taken back. */
  readonly provided: Map<string, ServiceSource>;
  /** What its predecessor had provided and it has not spoken of yet. */
  readonly inherited: Map<string, ServiceSource>;
  handover: Timer | null;
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
    this.begin(provider, new Map(), null);
  }

  private begin(
    provider: Provider,
    inherited: Map<string, ServiceSource>,
    before: Provider | null,
  ): void {
    const running: Running = { provider, provided: new Map(), inherited, handover: null };
    this.running.set(provider.name, running);
    provider.follow(this.sourcesOf(provider.name));
    provider.inherit?.([...inherited.values()], before);
    provider.start((update) => this.take(running, update));
    this.awaitHandover(running);
  }

  /**
   * Puts another provider in the place of the one of the same name, or none. What the old one had
   * provided stays until the new one has answered for it, or for everything without speaking of
   * it; it is removed at once when there is no new one.
   */
  replace(name: string, provider: Provider | null): void {
    const old = this.running.get(name);
    this.running.delete(name);
    old?.handover?.cancel();
    const left = new Map([...(old?.inherited ?? []), ...(old?.provided ?? [])]);
    if (provider !== null) this.begin(provider, left, old?.provider ?? null);
    void old?.provider.stop();
    if (provider !== null) return;
    for (const source of left.values()) {
      this.remove(name, source, `registry ${name} is not configured any more`);
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

  /** The registry of this source does not answer for it now. */
  isFailing(source: ServiceSource): boolean {
    return this.running.get(source.registry)?.provider.isFailing?.(source) ?? false;
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
    for (const { handover } of this.running.values()) handover?.cancel();
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
    const key = sourceKey(source);
    running.inherited.delete(key);
    if (update.kind === 'upsert') running.provided.set(key, source);
    else running.provided.delete(key);
    this.onUpdate(update);
  }

  /** Once the provider has named everything, it will not speak of what is left. */
  private awaitHandover(running: Running): void {
    const { provider, inherited } = running;
    if (inherited.size === 0) return;
    running.handover = this.clock.setTimer(HANDOVER_LOOK_MS, () => {
      const hasNamedAll = provider.hasNamedAll?.() ?? provider.status().isSynced;
      if (hasNamedAll) this.endHandover(running);
      else this.awaitHandover(running);
    });
  }

  private endHandover({ provider: { name }, inherited }: Running): void {
    const followed = new Set(this.sourcesOf(name).map(sourceKey));
    for (const [key, source] of inherited) {
      if (followed.has(key)) continue;
      this.remove(name, source, `registry ${name} was replaced, and does not provide it any more`);
    }
    inherited.clear();
  }

  private remove(provider: string, source: ServiceSource, text: string): void {
    const receivedMs = this.clock.nowMs();
    this.onUpdate({
      kind: 'remove',
      provider,
      source,
      cause: { kind: 'reload', text },
      receivedMs,
    });
  }
}
