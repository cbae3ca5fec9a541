// The Docker provider: follows the containers of one engine, and says of every service that
// configuration wants, or that containers describe, which of them are its endpoints. An engine that is
// away is no update: the table stays as it is.
import type { Clock, Timer } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { Random } from '../../base/prng.ts';
import { type ContainerChange, ContainerWatch } from '../../containers/container-watch.ts';
import { EngineClient, type EngineError } from '../../containers/engine-client.ts';
import type { HasSocket, OpenEngine } from '../../containers/transport.ts';
import type { DockerSettings } from '../../model/registries/docker.ts';
import { plainSource, type ServiceSource, sourceKey } from '../../model/source.ts';
import { HostNames, type Resolve } from '../host-names.ts';
import type { Provider, ProviderStatus, ServiceSettings, Update } from '../provider.ts';
import { describeEntries } from '../self-description.ts';
import { type Instance, type TranslateRules, translate } from './translate.ts';

/** A service whose last container is gone may be about to get another: it answers 503 for so long. */
const LINGER_MS = 30_000;
const LOOPBACK = '127.0.0.1';
const NO_GROUP: Group = { instances: [], said: { settings: null, order: 0, problems: [] } };

export interface DockerProviderOptions {
  readonly settings: DockerSettings;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly open: OpenEngine;
  readonly hasSocket: HasSocket;
  /** The name of this host, which is a container's id where Upriver runs in one. */
  readonly hostname: string;
  readonly resolve: Resolve;
  /** Whether a setting that a container gives its service may have this value. */
  readonly isGoodSetting?: (key: string, value: string) => boolean;
}

/** A service that containers describe. */
interface Described {
  readonly settings: ServiceSettings;
  readonly order: number;
  /** Set while no container is left. */
  absence: Timer | null;
}

/** What the containers of a service say of it. */
interface Said {
  /** Null where they don't describe it. */
  readonly settings: ServiceSettings | null;
  readonly order: number;
  readonly problems: readonly string[];
}

interface Group {
  readonly instances: readonly Instance[];
  readonly said: Said;
}

interface Word {
  readonly cause: string;
  readonly receivedMs: number;
}

export class DockerProvider implements Provider {
  readonly name = 'docker';
  private readonly options: DockerProviderOptions;
  private readonly client: EngineClient;
  private readonly watch: ContainerWatch;
  private readonly names: HostNames;
  private configured = new Map<string, ServiceSource>();
  /** Endpoints by container id. */
  private readonly instances = new Map<string, readonly Instance[]>();
  /** By the name of the service. */
  private readonly described = new Map<string, Described>();
  /** What was sent last, by source key. */
  private readonly sent = new Map<string, { source: ServiceSource; content: string }>();
  private readonly containerNames = new Map<string, string>();
  /** Problems that were logged, by container id. */
  private readonly told = new Map<string, string>();
  private isSynced = false;
  private errors = 0;
  private lastError = '';
  private lastAnswerMs = 0;
  private onUpdate: ((update: Update) => void) | null = null;

  constructor(options: DockerProviderOptions) {
    this.options = options;
    const { settings, clock, random, log, open, hasSocket, resolve } = options;
    const { addresses, tls } = settings;
    this.client = new EngineClient({ addresses, tls, clock, open, hasSocket });
    this.watch = new ContainerWatch({
      client: this.client,
      clock,
      random,
      onChange: (change) => this.onChange(change),
      onSynced: () => this.onSynced(),
      onAnswer: () => {
        this.lastAnswerMs = clock.nowMs();
      },
      onError: (error) => this.onError(error),
    });
    this.names = new HostNames({
      clock,
      onChange: () => this.onHostName(),
      onError: (name, why) => log.warn({ name }, `host name can't be resolved: ${why}`),
      resolve,
    });
  }

  follow(sources: readonly ServiceSource[]): void {
    this.configured = new Map(sources.map((source) => [sourceKey(source), source]));
    if (this.onUpdate === null || !this.isSynced) return;
    this.tellAll({ cause: 'configuration', receivedMs: this.options.clock.nowMs() });
  }

  start(onUpdate: (update: Update) => void): void {
    this.onUpdate = onUpdate;
    this.watch.start();
  }

  status(): ProviderStatus {
    const { clock } = this.options;
    return {
      name: this.name,
      isSynced: this.isSynced && this.hostAddress !== null,
      // While the engine's events are open, nothing has happened since.
      lastSyncMs: this.watch.isSynced ? clock.nowMs() : this.lastAnswerMs,
      errors: this.errors,
      lastError: this.lastError,
      address: this.client.address.url,
      watches: 1,
    };
  }

  async stop(): Promise<void> {
    this.onUpdate = null;
    this.watch.stop();
    this.names.close();
    for (const { absence } of this.described.values()) absence?.cancel();
    await this.client.close();
  }

  /** Where published ports are reached; null while its name is not resolved. */
  private get hostAddress(): string | null {
    const host = this.options.settings.host || this.client.address.host || LOOPBACK;
    return this.names.addressesOf(host)?.[0] ?? null;
  }

  private onChange({ changed, ended, cause, receivedMs }: ContainerChange): void {
    const concerned = new Set([...changed, ...ended.keys()]);
    for (const { container } of this.watch.containers) {
      const owner = /^container:(.*)$/.exec(container.networkMode)?.[1] ?? '';
      if (changed.has(owner)) concerned.add(container.id);
    }
    for (const id of concerned) this.look(id);
    if (this.isSynced) this.tellAll({ cause: this.causeOf(changed, cause), receivedMs });
  }

  private onSynced(): void {
    const { clock, log } = this.options;
    if (this.lastError !== '') {
      log.info(
        { registry: this.name, address: this.client.address.url },
        'the registry answers again',
      );
    }
    this.lastError = '';
    this.isSynced = true;
    this.tellAll({ cause: 'all containers', receivedMs: clock.nowMs() });
  }

  private onError({ code, message }: EngineError): void {
    const { log } = this.options;
    this.errors += 1;
    const fields = { registry: this.name, address: this.client.address.url, code };
    const text = `the registry fails: ${message}; the last known table stays`;
    if (this.lastError === '') log.warn(fields, text);
    else log.debug(fields, text);
    this.lastError = message;
  }

  /** The host of the engine has another address. */
  private onHostName(): void {
    for (const { container } of this.watch.containers) this.look(container.id);
    if (!this.isSynced) return;
    const { clock } = this.options;
    this.tellAll({ cause: 'a host name resolves differently', receivedMs: clock.nowMs() });
  }

  /** Brings what is known of a container up to what it is now. */
  private look(id: string): void {
    const known = this.watch.get(id);
    if (known === null) {
      this.instances.delete(id);
      this.told.delete(id);
      return;
    }
    this.containerNames.set(id, known.container.name);
    const { instances, problems } = translate(known, this.rules());
    this.instances.set(id, instances);
    const text = problems.join('; ');
    if (text !== '' && this.told.get(id) !== text) {
      this.options.log.warn({ registry: this.name, container: known.container.name }, text);
    }
    this.told.set(id, text);
  }

  private rules(): TranslateRules {
    const { settings, hostname } = this.options;
    const inside = [...this.watch.containers].find(({ container: { id, networkMode } }) => {
      return /^[0-9a-f]{12}$/.test(hostname) && id.startsWith(hostname) && networkMode !== 'host';
    });
    return {
      settings,
      hostAddress: this.hostAddress ?? '',
      isInside: inside !== undefined,
      containerOf: (id) => this.watch.get(id)?.container ?? null,
      driverOf: (id) => this.watch.driverOf(id),
    };
  }

  /** Called once what has changed is looked at; names of containers that are gone are forgotten. */
  private causeOf(changed: ReadonlySet<string>, cause: string): string {
    const [first = ''] = changed;
    const name = this.containerNames.get(first) ?? first.slice(0, 12);
    for (const id of changed) if (this.watch.get(id) === null) this.containerNames.delete(id);
    return changed.size === 1
      ? `container ${name}: ${cause}`
      : `${changed.size} containers: ${cause}`;
  }

  /** Says what is other than what was said. */
  private tellAll(word: Word): void {
    // Without the host's address nothing is known of published ports.
    if (this.hostAddress === null) return;
    const groups = this.groupAll();
    if (this.options.settings.selfDescribed) this.describeAll(groups);
    const wanted = new Map(this.configured);
    for (const name of this.described.keys()) {
      const source = plainSource(this.name, name);
      wanted.set(sourceKey(source), source);
    }
    for (const [key, { source }] of [...this.sent]) {
      if (!wanted.has(key)) this.remove(key, source, word);
    }
    for (const [key, source] of wanted) {
      this.tell(key, source, { ...word, group: groups.get(source.service) ?? NO_GROUP });
    }
  }

  /** The containers by service, each service described once. */
  private groupAll(): Map<string, Group> {
    const byName = Map.groupBy([...this.instances.values()].flat(), ({ name }) => name);
    return new Map(
      [...byName].map(([name, instances]) => [name, { instances, said: this.saidOf(instances) }]),
    );
  }

  /** Which services containers describe now, and which did a moment ago. */
  private describeAll(groups: ReadonlyMap<string, Group>): void {
    const { clock } = this.options;
    for (const [name, { said }] of groups) {
      const { settings, order } = said;
      if (settings === null) continue;
      this.described.get(name)?.absence?.cancel();
      this.described.set(name, { settings, order, absence: null });
    }
    for (const [name, one] of this.described) {
      const group = groups.get(name);
      if (group === undefined) {
        one.absence ??= clock.setTimer(LINGER_MS, () => this.forget(name));
      } else if (group.said.settings === null) {
        // Its containers are there, and describe it no more.
        this.described.delete(name);
      }
    }
  }

  private forget(name: string): void {
    this.described.delete(name);
    const cause = `no container of ${name} is left`;
    this.tellAll({ cause, receivedMs: this.options.clock.nowMs() });
  }

  /** What the containers say of their service; a virtual host is served by its router alone. */
  private saidOf(instances: readonly Instance[]): Said {
    const { settings, order, problems: ofSettings } = this.describe(instances);
    const problems = [...ofSettings, ...instances.flatMap((one) => one.problems)];
    const route = instances.find((one) => one.route !== null)?.route ?? null;
    if (route === null) return { settings, order, problems };
    const { listen, ...others } = settings ?? {};
    const orders = instances.map(({ entry }) => entry.Service?.ModifyIndex ?? 0);
    return { settings: { ...others, ...route }, order: Math.min(...orders), problems };
  }

  private describe(instances: readonly Instance[]) {
    const { settings, isGoodSetting } = this.options;
    const { labelPrefix: prefix, listenAllow } = settings;
    return describeEntries(
      instances.map(({ entry }) => entry),
      { prefix, listenAllow, isGood: isGoodSetting },
    );
  }

  private tell(
    key: string,
    source: ServiceSource,
    { cause, receivedMs, group }: Word & { readonly group: Group },
  ): void {
    const instances = chosen(group.instances, source.tag);
    const endpoints = instances
      .map(({ endpoint }) => endpoint)
      .sort((a, b) => (a.id < b.id ? -1 : 1));
    const { problems } = group.said;
    const described = this.described.get(source.service) ?? null;
    const { settings = null, order = 0 } = described ?? {};
    const content = JSON.stringify([endpoints, settings, order, problems]);
    if (this.sent.get(key)?.content === content) return;
    this.sent.set(key, { source, content });
    this.onUpdate?.({
      kind: 'upsert',
      provider: this.name,
      service: {
        source,
        endpoints,
        settings,
        doubt: '',
        ...(order === 0 ? {} : { order }),
        ...(problems.length === 0 ? {} : { problems }),
      },
      cause: { kind: 'registry', text: `docker: ${cause}` },
      receivedMs,
    });
  }

  private remove(key: string, source: ServiceSource, { cause, receivedMs }: Word): void {
    this.sent.delete(key);
    this.onUpdate?.({
      kind: 'remove',
      provider: this.name,
      source,
      cause: { kind: 'registry', text: `docker: ${cause}` },
      receivedMs,
    });
  }
}

/** The instances with the tag, or all. */
function chosen(instances: readonly Instance[], tag: string): readonly Instance[] {
  return tag === '' ? instances : instances.filter(({ tags }) => tags.includes(tag));
}
