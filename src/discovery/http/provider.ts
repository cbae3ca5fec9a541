// The HTTP provider: target groups from URLs, asked for again and again (Prometheus' http_sd).
// https://prometheus.io/docs/prometheus/latest/http_sd/
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { Random } from '../../base/prng.ts';
import { hideCredentials } from '../../base/safe-text.ts';
import type { HttpSettings } from '../../model/registries/http.ts';
import type { TlsSettings } from '../../model/registries/tls.ts';
import type { ServiceSource } from '../../model/source.ts';
import type { PoolChannel } from '../../reach/http-pools.ts';
import { Secret } from '../../reach/secret.ts';
import { Contact } from '../contact.ts';
import type { Resolve } from '../host-names.ts';
import { ListedServices } from '../listed-services.ts';
import { Origins } from '../origins.ts';
import type { Provider, ProviderStatus, Update } from '../provider.ts';
import { UrlPoll } from './url-poll.ts';

/** The way to the servers. */
export interface HttpTransport {
  to(address: string): Pick<PoolChannel, 'get'> | Promise<Pick<PoolChannel, 'get'>>;
  close(): Promise<void>;
}

export type OpenHttp = (tls: TlsSettings) => HttpTransport;

export interface HttpProviderOptions {
  readonly settings: HttpSettings;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly open: OpenHttp;
  readonly resolve: Resolve;
}

export class HttpProvider implements Provider {
  readonly name = 'http';
  private readonly clock: Clock;
  private readonly settings: HttpSettings;
  private readonly services: ListedServices;
  private readonly contact: Contact;
  private readonly origins = new Origins();
  private readonly transport: HttpTransport;
  private readonly polls: readonly UrlPoll[];

  constructor({ settings, clock, random, log, open, resolve }: HttpProviderOptions) {
    this.clock = clock;
    this.settings = settings;
    this.services = new ListedServices({ provider: this.name, clock, log, resolve });
    this.contact = new Contact({ registry: this.name, clock, log });
    this.transport = open(settings.tls);
    const secret = new Secret({
      text: settings.token,
      file: settings.tokenFile,
      key: 'token_file',
    });
    const { transport, contact } = this;
    const shownOf = namesOf(settings.urls);
    this.polls = settings.urls.map((url, i) => {
      const shown = shownOf[i]!;
      return new UrlPoll({
        url,
        shown,
        settings,
        clock,
        random,
        transport,
        contact,
        token: () => secret.read(),
        onTargets: ({ list, problem, doubt }) => {
          this.origins.set(url, list);
          contact.tellExcess(shown, problem);
          this.tell(shown, doubt);
        },
      });
    });
  }

  follow(sources: readonly ServiceSource[]): void {
    this.services.follow(sources);
  }

  start(onUpdate: (update: Update) => void): void {
    this.services.start(onUpdate);
    for (const poll of this.polls) poll.start();
  }

  status(): ProviderStatus {
    const { lastSyncMs, errors, lastError } = this.contact;
    return {
      name: this.name,
      isSynced: this.isWhole && this.services.isSynced,
      lastSyncMs,
      errors,
      lastError,
      address: this.settings.urls.map(hideCredentials).join(', '),
      watches: this.polls.length,
    };
  }

  async stop(): Promise<void> {
    for (const poll of this.polls) poll.stop();
    this.services.close();
    await this.transport.close();
  }

  /** Every URL was answered once. */
  private get isWhole(): boolean {
    return this.settings.urls.every((url) => this.origins.has(url));
  }

  private tell(shown: string, doubt: string): void {
    if (!this.isWhole) return;
    const word = { doubt, change: `${shown} answers`, receivedMs: this.clock.nowMs() };
    this.services.take(this.origins.merged(), word);
  }
}

/** Without what is secret in them; those that are alike then are numbered. */
function namesOf(urls: readonly string[]): readonly string[] {
  const hidden = urls.map(hideCredentials);
  return hidden.map((url, i) => (hidden.indexOf(url) === i ? url : `${url} (${i + 1})`));
}
