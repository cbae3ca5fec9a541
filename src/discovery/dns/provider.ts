// The DNS provider: SRV records (RFC 2782), or the addresses of a name, asked for again and again.
// Nothing describes itself there: what is followed is what the configuration names.
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { Random } from '../../base/prng.ts';
import { type DnsSettings, dnsQuestionOf } from '../../model/registries/dns.ts';
import { type ServiceSource, sourceKey } from '../../model/source.ts';
import { Exchanges } from '../exchanges.ts';
import type { Provider, ProviderStatus, Update } from '../provider.ts';
import { DnsClient } from './client.ts';
import { FollowedName } from './followed-name.ts';
import type { Wire } from './wire.ts';

export interface DnsProviderOptions {
  readonly settings: DnsSettings;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly wire: Wire;
}

export class DnsProvider implements Provider {
  readonly name = 'dns';
  private readonly options: DnsProviderOptions;
  private readonly exchanges: Exchanges;
  private readonly client: DnsClient;
  private readonly following = new Map<string, FollowedName>();
  private sources: readonly ServiceSource[] = [];
  private onUpdate: ((update: Update) => void) | null = null;

  constructor(options: DnsProviderOptions) {
    this.options = options;
    const { clock, log } = options;
    this.exchanges = new Exchanges({ registry: this.name, clock, log });
    this.client = new DnsClient(options);
  }

  follow(sources: readonly ServiceSource[]): void {
    this.sources = sources;
    if (this.onUpdate !== null) this.arrange(this.onUpdate);
  }

  start(onUpdate: (update: Update) => void): void {
    this.onUpdate = onUpdate;
    this.arrange(onUpdate);
  }

  status(): ProviderStatus {
    const { lastSyncMs, errors, lastError } = this.exchanges;
    return {
      name: this.name,
      isSynced: [...this.following.values()].every(({ isSynced }) => isSynced),
      ...{ lastSyncMs, errors, lastError },
      address: this.client.address,
      watches: this.following.size,
    };
  }

  stop(): Promise<void> {
    this.onUpdate = null;
    for (const name of this.following.values()) name.stop();
    this.following.clear();
    this.client.close();
    return Promise.resolve();
  }

  /** Starts to ask for what is wanted and isn't asked for, ends what is not wanted any more. */
  private arrange(onUpdate: (update: Update) => void): void {
    const wanted = new Map(this.sources.map((source) => [sourceKey(source), source]));
    for (const [key, name] of [...this.following]) {
      if (wanted.has(key)) continue;
      this.following.delete(key);
      name.stop();
      const { source } = name;
      const cause = { kind: 'registry', text: 'dns: no longer followed' } as const;
      const receivedMs = this.options.clock.nowMs();
      onUpdate({ kind: 'remove', provider: this.name, source, cause, receivedMs });
    }
    for (const [key, source] of wanted) {
      if (this.following.has(key)) continue;
      const question = dnsQuestionOf(source.service);
      // The configuration was checked for that.
      if (question === null) continue;
      const { clock, random, log } = this.options;
      const { client, exchanges } = this;
      const parts = { client, exchanges, clock, random, log, onUpdate };
      const name = new FollowedName({ source, question, ...parts });
      this.following.set(key, name);
      name.start();
    }
  }
}
