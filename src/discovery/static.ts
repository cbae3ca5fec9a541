// Fixed endpoints from the configuration: always passing, changed by a reload, or when a host name
// among them resolves differently.
import type { Clock } from '../base/clock.ts';
import { formatHostPort } from '../base/host-text.ts';
import { type Logger, silentLogger } from '../base/log.ts';
import type { Cause } from '../model/cause.ts';
import type { Endpoint } from '../model/endpoint.ts';
import type { StaticEndpoint } from '../model/settings.ts';
import { type ServiceSource, sourceKey } from '../model/source.ts';
import { HostNames, type Resolve } from './host-names.ts';
import type { Provider, ProviderStatus, Update } from './provider.ts';

type StaticEndpoints = Readonly<Record<string, readonly StaticEndpoint[]>>;

export interface StaticProviderOptions {
  readonly clock: Clock;
  readonly endpoints: StaticEndpoints;
  readonly log?: Logger;
  readonly resolve: Resolve;
}

const RELOAD: Cause = { kind: 'reload', text: 'configuration' };

export class StaticProvider implements Provider {
  readonly name = 'static';
  private readonly clock: Clock;
  private readonly names: HostNames;
  private endpoints: StaticEndpoints;
  private sources = new Map<string, ServiceSource>();
  private onUpdate: ((update: Update) => void) | null = null;
  /** Services with a host name that had no address when they were sent last. */
  private readonly unresolved = new Set<string>();
  private hasBegun = false;

  constructor({ clock, endpoints, log = silentLogger, resolve }: StaticProviderOptions) {
    this.clock = clock;
    this.endpoints = endpoints;
    const cause: Cause = { kind: 'registry', text: 'static: a host name resolves differently' };
    this.names = new HostNames({
      clock,
      onChange: () => this.upsertAll(cause),
      onError: (name, why) => log.warn({ name }, `host name can't be resolved: ${why}`),
      onRecovery: (name) => log.info({ name }, 'host name resolves again'),
      resolve,
    });
  }

  /** Other endpoints from now on; to be followed by `follow`. */
  setEndpoints(endpoints: StaticEndpoints): void {
    this.endpoints = endpoints;
    const hosts = Object.values(endpoints).flatMap((list) => list.map(({ address }) => address));
    this.names.keepOnly(new Set(hosts));
  }

  follow(sources: readonly ServiceSource[]): void {
    const before = this.sources;
    this.sources = new Map(sources.map((source) => [sourceKey(source), source]));
    if (this.onUpdate === null) return;
    for (const [key, source] of before) if (!this.sources.has(key)) this.remove(source);
    this.upsertAll(RELOAD);
  }

  start(onUpdate: (update: Update) => void): void {
    this.onUpdate = onUpdate;
    void Promise.resolve().then(() => {
      this.hasBegun = true;
      this.upsertAll(RELOAD);
    });
  }

  status(): ProviderStatus {
    return {
      name: this.name,
      isSynced: this.hasBegun && this.names.isSettled,
      lastSyncMs: this.clock.nowMs(),
      errors: this.names.errors,
      lastError: this.names.error,
      address: 'configuration',
      watches: this.sources.size,
    };
  }

  stop(): Promise<void> {
    this.onUpdate = null;
    this.names.close();
    return Promise.resolve();
  }

  private upsertAll(cause: Cause): void {
    for (const source of this.sources.values()) this.upsert(source, cause);
  }

  private upsert(source: ServiceSource, cause: Cause): void {
    const configured = this.endpoints[source.service] ?? [];
    const endpoints = configured.flatMap((one) => this.resolved(one));
    // What a name that is not resolved leaves out must not be taken for gone.
    const doubt = this.names.doubtAbout(configured.map(({ address }) => address));
    const wasUnresolved = this.unresolved.delete(source.service);
    if (doubt !== '') this.unresolved.add(source.service);
    const isConfirmed = wasUnresolved && doubt === '';
    this.onUpdate?.({
      kind: 'upsert',
      provider: this.name,
      service: {
        source,
        endpoints,
        settings: null,
        doubt,
        ...(isConfirmed ? { isConfirmed } : {}),
      },
      cause,
      receivedMs: this.clock.nowMs(),
    });
  }

  /** One endpoint per address of the host; none while its name has not been resolved. */
  private resolved({ address: host, port, weight }: StaticEndpoint): Endpoint[] {
    const id = formatHostPort(host, port);
    const fixed = { port, weight, status: 'passing' as const, statusText: '' };
    return (this.names.addressesOf(host) ?? []).map((address) => ({
      id: address === host ? id : `${id}@${address}`,
      address,
      ...(address === host ? {} : { hostName: host }),
      ...fixed,
    }));
  }

  private remove(source: ServiceSource): void {
    this.onUpdate?.({
      kind: 'remove',
      provider: this.name,
      source,
      cause: RELOAD,
      receivedMs: this.clock.nowMs(),
    });
  }
}
