// What is known of one service of Consul, however it was asked for: turns health answers into
// updates. Every change of the endpoints or settings becomes an update, and nothing else does (an
// index may rise without a change that concerns us).
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { Endpoint } from '../../model/endpoint.ts';
import type { ServiceSource } from '../../model/service.ts';
import { HostNames, type Resolve } from '../host-names.ts';
import type { ServiceSettings, Update } from '../provider.ts';
import { type Entry, type Instance, instancesOf, settingsOf } from './translate.ts';

export interface FollowedServiceOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly source: ServiceSource;
  readonly tagPrefix: string;
  readonly onUpdate: (update: Update) => void;
  readonly resolve?: Resolve;
}

/** A health answer about the service. */
export interface Health {
  readonly entries: readonly Entry[];
  readonly doubt: string;
  /** For people: "index 41 -> 42". */
  readonly change: string;
  readonly receivedMs: number;
}

export class FollowedService {
  private readonly options: FollowedServiceOptions;
  private readonly names: HostNames;
  private instances: readonly Instance[] = [];
  private settings: ServiceSettings | null = null;
  private conflicts = '';
  private doubt = '';
  /** What was sent last, whole, and by instance. */
  private sent = '';
  private sentById = new Map<string, readonly Endpoint[]>();
  private isAnswered = false;

  constructor(options: FollowedServiceOptions) {
    this.options = options;
    const { clock, resolve, source, log } = options;
    this.names = new HostNames({
      clock,
      onChange: () => this.emit('a host name resolves differently', clock.nowMs()),
      onError: (name, why) =>
        log.warn({ service: source.service, name }, `host name can't be resolved: ${why}`),
      ...(resolve === undefined ? {} : { resolve }),
    });
  }

  get source(): ServiceSource {
    return this.options.source;
  }

  /** For log and status; another source of the same service has another. */
  get label(): string {
    const { service, tag, datacenter, filter } = this.options.source;
    const more = [tag, datacenter, filter].filter((part) => part !== '');
    return `service ${service}${more.length === 0 ? '' : ` (${more.join(', ')})`}`;
  }

  /** Answered at least once, host names too. */
  get isSynced(): boolean {
    return this.isAnswered && this.names.isSettled;
  }

  /** Takes an answer; true where it made an update. */
  take({ entries, doubt, change, receivedMs }: Health): boolean {
    this.isAnswered = true;
    this.instances = instancesOf(entries, this.options.tagPrefix);
    this.doubt = doubt;
    // The last instance takes no settings along: where it listened, it is missed with a 503.
    if (this.instances.length > 0 || this.settings === null) this.describe(entries);
    this.names.keepOnly(new Set(this.instances.map((instance) => instance.host)));
    return this.emit(change, receivedMs);
  }

  close(): void {
    this.names.close();
  }

  private describe(entries: readonly Entry[]): void {
    const { source, log, tagPrefix } = this.options;
    const { settings, conflicts } = settingsOf(entries, tagPrefix);
    this.settings = settings;
    const told = conflicts.join('; ');
    if (told !== '' && told !== this.conflicts) {
      const fields = { service: source.service, conflicts };
      log.warn(fields, `instances disagree about their settings; in use is the first: ${told}`);
    }
    this.conflicts = told;
  }

  private emit(change: string, receivedMs: number): boolean {
    const byId = new Map(this.instances.map((one) => [one.id, this.endpointsOf(one)]));
    const endpoints = [...byId.values()].flat();
    const { settings, doubt } = this;
    const content = JSON.stringify([endpoints, settings]);
    if (content === this.sent) return false;
    this.sent = content;
    this.sentById = byId;
    const { source, onUpdate } = this.options;
    onUpdate({
      kind: 'upsert',
      provider: 'consul',
      service: { source, endpoints, settings, doubt },
      cause: { kind: 'registry', text: `consul: ${change}` },
      receivedMs,
    });
    return true;
  }

  /** One endpoint per address: a host name may have several. While it has none yet, the old ones. */
  private endpointsOf({ id, host, ...rest }: Instance): readonly Endpoint[] {
    const addresses = this.names.addressesOf(host);
    if (addresses === null) return this.sentById.get(id) ?? [];
    if (addresses.length === 1 && addresses[0] === host) return [{ id, address: host, ...rest }];
    return addresses.map((address) => ({ id: `${id}@${address}`, address, ...rest }));
  }
}
