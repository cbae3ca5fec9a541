// The DNS provider: SRV records (RFC 2782), or the addresses of a name, asked for again and again.
// Nothing describes itself there: what is followed is what the configuration names.
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { Random } from '../../base/prng.ts';
import { type DnsSettings, dnsQuestionOf } from '../../model/registries/dns.ts';
import type { ServiceSource } from '../../model/source.ts';
import { Contact } from '../contact.ts';
import { arrange, removal } from '../following.ts';
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
  private readonly contact: Contact;
  private readonly client: DnsClient;
  private readonly following = new Map<string, FollowedName>();
  private sources: readonly ServiceSource[] = [];
  private onUpdate: ((update: Update) => void) | null = null;

  constructor(options: DnsProviderOptions) {
    this.options = options;
    const { clock, log } = options;
    this.contact = new Contact({ registry: this.name, clock, log });
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
    const { lastSyncMs, errors, lastError } = this.contact;
    return {
      name: this.name,
      isSynced: [...this.following.values()].every(({ isSynced }) => isSynced),
      lastSyncMs,
      errors,
      lastError,
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
    arrange({
      following: this.following,
      wanted: this.sources,
      begin: (source) => this.followName(source, onUpdate),
      begun: (name) => name.start(),
      end: (name) => {
        name.stop();
        const receivedMs = this.options.clock.nowMs();
        onUpdate(removal(this.name, name.source, { change: 'no longer followed', receivedMs }));
      },
    });
  }

  private followName(
    source: ServiceSource,
    onUpdate: (update: Update) => void,
  ): FollowedName | null {
    const question = dnsQuestionOf(source.service);
    // The configuration was checked for that.
    if (question === null) return null;
    const { clock, random, log } = this.options;
    const { client, contact } = this;
    const parts = { client, contact, clock, random, log, onUpdate };
    return new FollowedName({ source, question, ...parts });
  }
}
