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
import { parseTagTemplate } from '../model/tag-template.ts';
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
  const tagsOf = (name: string, json: unknown): string => {
    try {
      return template(json);
    } catch (error) {
      log.error({ container: name }, `-tags: ${messageOf(error)}`);
      return '';
    }
  };
  const describe = (known: KnownContainer): readonly ContainerService[] => {
    const { container, json } = known;
    if (isDockerRegister(settings.target)) return dockerRegisterServices(container, hostAddress);
    return servicesOf(container, {
      ...{ hostname, hostAddress, ip: settings.ip, isInternal: settings.internal },
      ...{ isExplicit: settings.explicit, ipLabel: settings.ipLabel },
      tagsOf: () => tagsOf(container.name, json),
      containerOf: (id) => watch.get(id)?.container ?? null,
      driverOf: (id) => watch.driverOf(id),
    });
  };
  const registrar = new Registrar({
    ...{ registry, clock, random, log, hostname },
    servicesOf: describe,
    exists: async (id, signal) => (await client.inspect(id, signal)) !== null,
    deregister: settings.deregister,
    isCleaning: settings.cleanup,
    resyncMs: settings.resyncMs,
    refreshMs: settings.refreshMs,
    leavesOnExit: settings.deregisterOnExit,
  });
  let isAway = false;
  const watch: ContainerWatch = new ContainerWatch({
    ...{ client, clock, random },
    onChange: (change) => registrar.onChange(change),
    onSynced: () => {
      const engine = client.address.url;
      const text = isAway ? 'the engine answers again' : 'following containers';
      isAway = false;
      log.info({ engine, registry: registry.label, hostname, address: hostAddress }, text);
      registrar.onSynced();
    },
    onError: ({ message }) => {
      const text = `the engine fails: ${message}; what is registered stays`;
      if (!isAway) log.warn({ engine: client.address.url }, text);
      isAway = true;
    },
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
      ...{ settings: etcd, clock, open: openPools },
      password: () => secret.read(),
    });
    return new EtcdRegistry({ client, api, layout, prefix, ttlMs });
  }
  const { access } = target;
  const { address, tls, token: text, tokenFile: file, httpAuth, namespace } = access;
  const secret = new Secret({ text, file, key: 'token_file' });
  const pools = openPools(tls);
  const api = new ConsulApi({
    ...{ address, httpAuth, namespace },
    channel: () => pools.to(address),
    close: () => pools.close(),
    token: () => secret.read(),
    setTimer: (ms, run) => clock.setTimer(ms, run),
  });
  return target.kind === 'consul'
    ? new ConsulRegistry(api, log)
    : new ConsulKvRegistry(api, target.prefix);
}
