// Puts a registrar together from its settings and the ways to the outside.
import type { Clock } from '../base/clock.ts';
import { CodedError, messageOf } from '../base/coded-error.ts';
import type { Logger } from '../base/log.ts';
import { pause } from '../base/pause.ts';
import type { Random } from '../base/prng.ts';
import { type ContainerService, servicesOf } from '../containers/container-services.ts';
import { ContainerWatch, type KnownContainer } from '../containers/container-watch.ts';
import { EngineClient } from '../containers/engine-client.ts';
import type { HasSocket, OpenEngine } from '../containers/transport.ts';
import { EtcdClient } from '../discovery/etcd/client.ts';
import type { RegisterSettings, RegisterTarget } from '../model/register.ts';
import type { TlsSettings } from '../model/registries/tls.ts';
import { parseTagTemplate, type TagTemplate } from '../model/tag-template.ts';
import type { HttpPools } from '../reach/http-pools.ts';
import { Secret } from '../reach/secret.ts';
import { ConsulApi } from './consul-api.ts';
import { ConsulKvRegistry } from './consul-kv.ts';
import { ConsulRegistry } from './consul-registry.ts';
import { dockerRegisterServices } from './docker-register.ts';
import { EtcdRegistry } from './etcd-registry.ts';
import { Registrar } from './registrar.ts';
import type { Registry } from './registry.ts';

export interface RegistrarWays {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly openEngine: OpenEngine;
  readonly hasSocket: HasSocket;
  readonly openPools: (tls: TlsSettings) => HttpPools;
  readonly hostname: string;
  /** The address of this host, as others reach it. */
  readonly hostAddress: () => Promise<string>;
}

export interface RunningRegistrar {
  /** What is to be done has been done, or tried. */
  settled(): Promise<void>;
  stop(): Promise<void>;
}

/**
 * Starts a registrar: resolves when the registry could be reached. Rejects where it can't be, after as
 * many tries as the settings say, and where the template of tags is none.
 */
export async function startRegistrar(
  settings: RegisterSettings,
  ways: RegistrarWays,
  signal: AbortSignal = new AbortController().signal,
): Promise<RunningRegistrar> {
  const { clock, random, log } = ways;
  const template = parseTagTemplate(settings.tags);
  const registry = makeRegistry(settings, ways);
  try {
    await reach(registry, settings, ways, signal);
  } catch (error) {
    await registry.close();
    throw error;
  }
  const hostAddress = settings.ip === '' ? await ways.hostAddress() : settings.ip;
  const hostname = settings.hostname || ways.hostname;
  const { addresses, tls } = settings.docker;
  const { openEngine: open, hasSocket } = ways;
  const client = new EngineClient({ addresses, tls, clock, open, hasSocket });
  const rules: Rules = { settings, template, hostAddress, hostname, log };
  const registrar = new Registrar({
    registry,
    clock,
    random,
    log,
    hostname,
    servicesOf: (known) => servicesBy(rules, known, watch),
    exists: async (id, signal) => (await client.inspect(id, signal)) !== null,
    deregister: settings.deregister,
    isCleaning: settings.cleanup,
    resyncMs: settings.resyncMs,
    refreshMs: settings.refreshMs,
    leavesOnExit: settings.deregisterOnExit,
  });
  const contact = new EngineContact(log);
  const watch: ContainerWatch = new ContainerWatch({
    client,
    clock,
    random,
    onChange: (change) => registrar.onChange(change),
    onSynced: () => {
      const engine = client.address.url;
      contact.synced({ engine, registry: registry.label, hostname, address: hostAddress });
      registrar.onSynced();
    },
    onError: ({ message }) => contact.failed(client.address.url, message),
  });
  registrar.start(watch);
  watch.start();
  return {
    settled: () => registrar.settled(),
    stop: async () => {
      watch.stop();
      await registrar.stop();
      await client.close();
    },
  };
}

/** By which a container becomes services. */
interface Rules {
  readonly settings: RegisterSettings;
  readonly template: TagTemplate;
  readonly hostAddress: string;
  readonly hostname: string;
  readonly log: Logger;
}

/** What a container is registered as; `watch` knows the containers and networks that it refers to. */
function servicesBy(
  { settings, template, hostAddress, hostname, log }: Rules,
  { container, json }: KnownContainer,
  watch: ContainerWatch,
): readonly ContainerService[] {
  if (isDockerRegister(settings.target)) return dockerRegisterServices(container, hostAddress);
  return servicesOf(container, {
    hostname,
    hostAddress,
    ip: settings.ip,
    isInternal: settings.internal,
    isExplicit: settings.explicit,
    ipLabel: settings.ipLabel,
    tagsOf: () => {
      try {
        return template(json);
      } catch (error) {
        log.error({ container: container.name }, `-tags: ${messageOf(error)}`);
        return '';
      }
    },
    containerOf: (id) => watch.get(id)?.container ?? null,
    driverOf: (id) => watch.driverOf(id),
  });
}

/** Logs when the engine fails, once each time, and when it answers again. */
class EngineContact {
  private readonly log: Logger;
  private isAway = false;

  constructor(log: Logger) {
    this.log = log;
  }

  /** The engine has listed its containers. */
  synced(fields: Readonly<Record<string, string>>): void {
    const text = this.isAway ? 'the engine answers again' : 'following containers';
    this.isAway = false;
    this.log.info(fields, text);
  }

  failed(engine: string, message: string): void {
    const text = `the engine fails: ${message}; what is registered stays`;
    if (!this.isAway) this.log.warn({ engine }, text);
    this.isAway = true;
  }
}

function isDockerRegister(target: RegisterTarget): boolean {
  return target.kind === 'etcd' && target.layout === 'docker-register';
}

/** As many tries as are wanted, or without end. */
async function reach(
  registry: Registry,
  { retryAttempts, retryIntervalMs }: RegisterSettings,
  { clock, log }: RegistrarWays,
  signal: AbortSignal,
): Promise<void> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await registry.ping(signal);
    } catch (error) {
      const isLast = retryAttempts >= 0 && attempt >= retryAttempts;
      if (isLast || signal.aborted) {
        const why = `can't reach ${registry.label}: ${messageOf(error)}`;
        throw new CodedError('registry-away', why, { cause: error });
      }
      const fields = { registry: registry.label, attempt };
      log.warn(fields, `the registry can't be reached, retrying: ${messageOf(error)}`);
      await pause(clock, retryIntervalMs, signal);
    }
  }
}

function makeRegistry({ target, ttlMs }: RegisterSettings, ways: RegistrarWays): Registry {
  const { clock, log, openPools } = ways;
  if (target.kind === 'etcd') {
    const { etcd, layout } = target;
    const { password: text, passwordFile: file, api, prefix } = etcd;
    const secret = new Secret({ text, file, key: 'password_file' });
    const client = new EtcdClient({
      settings: etcd,
      clock,
      open: openPools,
      password: () => secret.read(),
    });
    return new EtcdRegistry({ client, api, layout, prefix, ttlMs });
  }
  const { access } = target;
  const { address, tls, token: text, tokenFile: file, httpAuth, namespace } = access;
  const secret = new Secret({ text, file, key: 'token_file' });
  const pools = openPools(tls);
  const api = new ConsulApi({
    address,
    httpAuth,
    namespace,
    channel: () => pools.to(address),
    close: () => pools.close(),
    token: () => secret.read(),
    setTimer: (ms, run) => clock.setTimer(ms, run),
  });
  return target.kind === 'consul'
    ? new ConsulRegistry(api, log)
    : new ConsulKvRegistry(api, target.prefix);
}
