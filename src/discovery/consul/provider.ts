// The Consul provider: a watch per service that configuration wants, a watch of the catalog for
// services that describe themselves, and what is known of how well that goes.
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { Random } from '../../base/prng.ts';
import { type ServiceSource, sourceKey } from '../../model/service.ts';
import type { ConsulSettings } from '../../model/settings.ts';
import type { Provider, ProviderStatus, Update } from '../provider.ts';
import { BlockingQuery } from './blocking-query.ts';
import { ConsulClient, type ConsulError } from './client.ts';
import type { Resolve } from './resolver.ts';
import { ServiceWatch } from './service-watch.ts';
import { describedServices } from './translate.ts';

/** An agent's default for http_max_conns_per_client is 200; other programs of the host count too. */
const PLAIN_WATCHES_MAX = 150;

export interface ConsulProviderOptions {
  readonly settings: ConsulSettings;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly resolve?: Resolve;
}

export class ConsulProvider implements Provider {
  readonly name = 'consul';
  private readonly options: ConsulProviderOptions;
  private readonly client: ConsulClient;
  private readonly watches = new Map<string, ServiceWatch>();
  private readonly sources = new Map<string, ServiceSource>();
  private configured: readonly ServiceSource[] = [];
  private described: readonly ServiceSource[] = [];
  private catalog: BlockingQuery | null = null;
  private isCatalogSynced = false;
  private onUpdate: ((update: Update) => void) | null = null;
  private lastSyncMs = 0;
  private errors = 0;
  private lastError = '';
  private hasWarned = false;

  constructor(options: ConsulProviderOptions) {
    this.options = options;
    this.client = new ConsulClient(options.settings, options.clock);
  }

  follow(sources: readonly ServiceSource[]): void {
    this.configured = sources;
    if (this.onUpdate !== null) this.arrange();
  }

  start(onUpdate: (update: Update) => void): void {
    this.onUpdate = onUpdate;
    this.arrange();
    if (this.options.settings.selfDescribed) this.watchCatalog();
  }

  status(): ProviderStatus {
    const { selfDescribed } = this.options.settings;
    const areSynced = [...this.watches.values()].every((watch) => watch.isSynced);
    return {
      name: this.name,
      isSynced: areSynced && (this.isCatalogSynced || !selfDescribed),
      lastSyncMs: this.lastSyncMs,
      errors: this.errors,
      lastError: this.lastError,
      address: this.client.address,
      watches: this.watches.size + (selfDescribed ? 1 : 0),
    };
  }

  async stop(): Promise<void> {
    this.onUpdate = null;
    this.catalog?.stop();
    for (const watch of this.watches.values()) watch.stop();
    await this.client.close();
  }

  /** Starts the watches that are wanted and missing, ends those that are not wanted any more. */
  private arrange(): void {
    const wanted = new Map<string, ServiceSource>();
    for (const source of [...this.configured, ...this.described])
      wanted.set(sourceKey(source), source);
    for (const [key, watch] of this.watches) {
      if (wanted.has(key)) continue;
      watch.stop();
      this.watches.delete(key);
      this.emitRemove(this.sources.get(key)!);
      this.sources.delete(key);
    }
    for (const [key, source] of wanted) {
      if (!this.watches.has(key)) this.watch(key, source);
    }
    this.warnOfConnections();
  }

  private watch(key: string, source: ServiceSource): void {
    const { settings, clock, random, resolve } = this.options;
    const watch = new ServiceWatch({
      client: this.client,
      clock,
      random,
      source,
      waitMs: settings.waitMs,
      tagPrefix: settings.tagPrefix,
      ...(resolve === undefined ? {} : { resolve }),
      onUpdate: (update) => this.onUpdate?.(update),
      onAnswer: () => this.answered(),
      onError: (error) => this.failed(error, source.service),
    });
    this.watches.set(key, watch);
    this.sources.set(key, source);
    watch.start();
  }

  private emitRemove(source: ServiceSource): void {
    this.onUpdate?.({
      kind: 'remove',
      provider: this.name,
      source,
      cause: { kind: 'registry', text: `consul: ${source.service} is not followed any more` },
      receivedMs: this.options.clock.nowMs(),
    });
  }

  /** Services that carry our tags are followed like configured ones. */
  private watchCatalog(): void {
    const { settings, clock, random } = this.options;
    this.catalog = new BlockingQuery({
      client: this.client,
      clock,
      random,
      path: '/v1/catalog/services',
      query: {},
      waitMs: settings.waitMs,
      onAnswer: ({ body, doubt }) => {
        this.answered();
        this.isCatalogSynced = true;
        const found = describedServices(body, settings.tagPrefix);
        // A doubtful catalog takes nothing away.
        const names =
          doubt === '' ? found : [...found, ...this.described.map((one) => one.service)];
        this.described = [...new Set(names)].map((service) => this.sourceOf(service));
        this.arrange();
      },
      onError: (error) => this.failed(error, 'the catalog'),
    });
    this.catalog.start();
  }

  /** Where configuration follows the service by its plain name already, that watch serves both. */
  private sourceOf(service: string): ServiceSource {
    const plain: ServiceSource = {
      registry: this.name,
      service,
      tag: '',
      datacenter: '',
      filter: '',
      namespace: '',
      partition: '',
      peer: '',
      accept: ['passing', 'warning'],
    };
    return plain;
  }

  private answered(): void {
    this.lastSyncMs = this.options.clock.nowMs();
    if (this.lastError !== '') {
      this.options.log.info(
        { registry: this.name, address: this.client.address },
        'registry answers',
      );
    }
    this.lastError = '';
  }

  private failed(error: ConsulError, what: string): void {
    this.errors += 1;
    const isNew = this.lastError === '';
    this.lastError = `${what}: ${error.message}`;
    const fields = { registry: this.name, what, code: error.code };
    // A registry that is away says so once, not once per watch and attempt.
    if (isNew)
      this.options.log.warn(fields, `registry: ${error.message}; the last known table stays`);
    else this.options.log.debug(fields, error.message);
  }

  private warnOfConnections(): void {
    if (this.hasWarned || this.client.isMultiplexed || this.watches.size <= PLAIN_WATCHES_MAX)
      return;
    this.hasWarned = true;
    this.options.log.warn(
      { registry: this.name, watches: this.watches.size },
      `more than ${PLAIN_WATCHES_MAX} services are followed over plain HTTP, each on a connection: ` +
        'use https (one connection for all) or raise limits.http_max_conns_per_client of the agent',
    );
  }
}
