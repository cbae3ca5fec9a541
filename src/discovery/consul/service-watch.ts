// Follows one service of Consul: every change of its instances becomes an update, and nothing else
// does (an index may rise without a change that concerns us).
import type { Clock } from '../../base/clock.ts';
import type { Random } from '../../base/prng.ts';
import type { Endpoint } from '../../model/endpoint.ts';
import type { ServiceSource } from '../../model/service.ts';
import type { ProvidedService, Update } from '../provider.ts';
import { BlockingQuery } from './blocking-query.ts';
import type { Answer, ConsulClient, ConsulError } from './client.ts';
import { HostNames, type Resolve } from './resolver.ts';
import { type Instance, instancesOf, settingsOf } from './translate.ts';

export interface ServiceWatchOptions {
  readonly client: ConsulClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly source: ServiceSource;
  readonly waitMs: number;
  readonly tagPrefix: string;
  readonly resolve?: Resolve;
  readonly onUpdate: (update: Update) => void;
  readonly onAnswer: () => void;
  readonly onError: (error: ConsulError) => void;
}

export class ServiceWatch {
  private readonly options: ServiceWatchOptions;
  private readonly query: BlockingQuery;
  private readonly names: HostNames;
  private instances: readonly Instance[] = [];
  private settings: ProvidedService['settings'] = null;
  private sent = '';
  /** Answered at least once. */
  isSynced = false;

  constructor(options: ServiceWatchOptions) {
    this.options = options;
    const { client, clock, random, source, waitMs, onError, resolve } = options;
    this.names = new HostNames({
      clock,
      onChange: () => this.emit('', 'a host name resolves differently'),
      ...(resolve === undefined ? {} : { resolve }),
    });
    this.query = new BlockingQuery({
      client,
      clock,
      random,
      path: `/v1/health/service/${encodeURIComponent(source.service)}`,
      query: queryOf(source),
      waitMs,
      onAnswer: (answer, change) => this.onAnswer(answer, change),
      onError,
    });
  }

  start(): void {
    this.query.start();
  }

  stop(): void {
    this.query.stop();
    this.names.close();
  }

  private onAnswer(answer: Answer, change: string): void {
    this.isSynced = true;
    this.options.onAnswer();
    this.instances = instancesOf(answer.body);
    this.settings = settingsOf(answer.body, this.options.tagPrefix);
    this.names.keepOnly(new Set(this.instances.map((instance) => instance.host)));
    this.emit(answer.doubt, change);
  }

  private emit(doubt: string, change: string): void {
    const endpoints = this.instances.flatMap((instance) => this.endpointsOf(instance));
    const content = JSON.stringify([endpoints, this.settings]);
    if (content === this.sent) return;
    this.sent = content;
    const { source, clock, onUpdate } = this.options;
    onUpdate({
      kind: 'upsert',
      provider: 'consul',
      service: { source, endpoints, settings: this.settings, doubt },
      cause: { kind: 'registry', text: `consul: ${change}` },
      receivedMs: clock.nowMs(),
    });
  }

  /** One endpoint per address: a host name may have several. */
  private endpointsOf({ id, host, ...rest }: Instance): Endpoint[] {
    const addresses = this.names.addressesOf(host);
    const isOne = addresses.length <= 1;
    return addresses.map((address) => ({ id: isOne ? id : `${id}@${address}`, address, ...rest }));
  }
}

/** Parameters of the health query. `tag` is old but understood by every Consul. */
function queryOf(source: ServiceSource): Record<string, string> {
  const query: Record<string, string> = {};
  if (source.tag !== '') query.tag = source.tag;
  if (source.datacenter !== '') query.dc = source.datacenter;
  if (source.filter !== '') query.filter = source.filter;
  if (source.namespace !== '') query.ns = source.namespace;
  if (source.partition !== '') query.partition = source.partition;
  if (source.peer !== '') query.peer = source.peer;
  return query;
}
