// Fixed endpoints from the configuration: always passing, changed only by a reload.
import type { Clock } from '../base/clock.ts';
import { type ServiceSource, sourceKey } from '../model/service.ts';
import type { StaticEndpoint } from '../model/settings.ts';
import type { Provider, ProviderStatus, Update } from './provider.ts';

export class StaticProvider implements Provider {
  readonly name = 'static';
  private readonly clock: Clock;
  private endpoints: Readonly<Record<string, readonly StaticEndpoint[]>>;
  private sources = new Map<string, ServiceSource>();
  private onUpdate: ((update: Update) => void) | null = null;

  constructor(options: {
    clock: Clock;
    endpoints: Readonly<Record<string, readonly StaticEndpoint[]>>;
  }) {
    this.clock = options.clock;
    this.endpoints = options.endpoints;
  }

  /** Other endpoints from now on; to be followed by `follow`. */
  setEndpoints(endpoints: Readonly<Record<string, readonly StaticEndpoint[]>>): void {
    this.endpoints = endpoints;
  }

  follow(sources: readonly ServiceSource[]): void {
    const before = this.sources;
    this.sources = new Map(sources.map((source) => [sourceKey(source), source]));
    if (this.onUpdate === null) return;
    for (const [key, source] of before) if (!this.sources.has(key)) this.remove(source);
    for (const source of this.sources.values()) this.upsert(source);
  }

  start(onUpdate: (update: Update) => void): void {
    this.onUpdate = onUpdate;
    for (const source of this.sources.values()) this.upsert(source);
  }

  status(): ProviderStatus {
    return {
      name: this.name,
      isSynced: true,
      lastSyncMs: this.clock.nowMs(),
      errors: 0,
      lastError: '',
      address: 'configuration',
      watches: this.sources.size,
    };
  }

  stop(): Promise<void> {
    this.onUpdate = null;
    return Promise.resolve();
  }

  private upsert(source: ServiceSource): void {
    const endpoints = (this.endpoints[source.service] ?? []).map(({ address, port }) => ({
      id: `${address.includes(':') ? `[${address}]` : address}:${port}`,
      address,
      port,
      weight: 1,
      status: 'passing' as const,
      statusText: '',
    }));
    this.onUpdate?.({
      kind: 'upsert',
      provider: this.name,
      service: { source, endpoints, settings: null, doubt: '' },
      cause: { kind: 'reload', text: 'configuration' },
      receivedMs: this.clock.nowMs(),
    });
  }

  private remove(source: ServiceSource): void {
    this.onUpdate?.({
      kind: 'remove',
      provider: this.name,
      source,
      cause: { kind: 'reload', text: 'configuration' },
      receivedMs: this.clock.nowMs(),
    });
  }
}
