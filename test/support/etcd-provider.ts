// The provider of etcd as the program makes it, with everything around it for tests.
import type { EtcdProvider, EtcdProviderOptions } from '../../src/discovery/etcd/provider.ts';
import { nodeDoors } from '../../src/doors.ts';
import type { EtcdSettings } from '../../src/model/registries/etcd.ts';
import { plainSource, type ServiceSource } from '../../src/model/source.ts';
import { etcdSettings, keepingLogger, type Logged, Receiver, untilTrue } from './discovery.ts';

const { EtcdProvider: Provider, open } = await nodeDoors.loadEtcd();

export const etcdSource = (service: string): ServiceSource => plainSource('etcd', service);

export interface StartedEtcd {
  readonly provider: EtcdProvider;
  readonly receiver: Receiver;
  readonly lines: readonly Logged[];
  /** Endpoints of a service as `address:port`, sorted. */
  addresses(service: string): string[];
  /** The port on which the service wants to be served; '' where it does not say, or is gone. */
  port(service: string): string;
}

export interface StartOptions extends Partial<EtcdSettings> {
  readonly follow?: readonly string[];
  readonly options?: Partial<EtcdProviderOptions>;
  /** Resolve once it is synced (default), or at once. */
  readonly isSynced?: boolean;
}

/** Starts a provider that follows these members. */
export async function startProvider(
  address: string | readonly string[],
  { follow = [], options = {}, isSynced = true, ...more }: StartOptions = {},
): Promise<StartedEtcd> {
  const { log, lines } = keepingLogger();
  const { clock, random, resolve } = nodeDoors;
  const settings = etcdSettings(address, more);
  const provider = new Provider({ settings, clock, random, log, open, resolve, ...options });
  const receiver = new Receiver();
  provider.follow(follow.map(etcdSource));
  provider.start(receiver.take);
  if (isSynced) {
    await untilTrue(
      () => provider.status().isSynced,
      () => JSON.stringify([provider.status(), lines]),
    );
  }
  return {
    provider,
    receiver,
    lines,
    addresses: (service) =>
      receiver
        .endpoints(service)
        .map((one) => `${one.address}:${one.port}`)
        .sort(),
    port: (service) => receiver.last(service)?.service.settings?.listen ?? '',
  };
}
