// The provider of ZooKeeper as the program makes it, with everything around it for tests.
import type {
  ZookeeperProvider,
  ZookeeperProviderOptions,
} from '../../src/discovery/zookeeper/provider.ts';
import { nodeDoors } from '../../src/doors.ts';
import type { ZookeeperSettings } from '../../src/model/registries/zookeeper.ts';
import { plainSource, type ServiceSource } from '../../src/model/source.ts';
import { keepingLogger, type Logged, Receiver, untilTrue } from './discovery.ts';

const { ZookeeperProvider: Provider, openZookeeper: open } = await nodeDoors.loadZookeeper();

export const zookeeperSource = (service: string): ServiceSource =>
  plainSource('zookeeper', service);

export function zookeeperSettings(
  ports: readonly number[],
  more: Partial<ZookeeperSettings> = {},
): ZookeeperSettings {
  return {
    servers: ports.map((port) => ({ address: '127.0.0.1', port })),
    path: '/services',
    username: '',
    password: '',
    passwordFile: '',
    sessionTimeoutMs: 2000,
    tls: null,
    selfDescribed: true,
    tagPrefix: 'upriver',
    listenAllow: [{ kind: 'tcp', network: '', from: 1, to: 65_535 }],
    endpointDeny: [],
    ...more,
  };
}

export interface StartedZookeeper {
  readonly provider: ZookeeperProvider;
  readonly receiver: Receiver;
  readonly lines: readonly Logged[];
  /** Endpoints of a service as `address:port`, sorted. */
  addresses(service: string): string[];
  /** Resolves when the service has these, and nothing else. */
  has(service: string, ...addresses: string[]): Promise<void>;
}

export interface StartOptions extends Partial<ZookeeperSettings> {
  readonly follow?: readonly string[];
  readonly options?: Partial<ZookeeperProviderOptions>;
  /** Resolve once it is synced (default), or at once. */
  readonly isSynced?: boolean;
}

/** Starts a provider that follows these members, the first one first. */
export async function startZookeeperProvider(
  ports: readonly number[],
  { follow = [], options = {}, isSynced = true, ...more }: StartOptions = {},
): Promise<StartedZookeeper> {
  const { log, lines } = keepingLogger();
  const { clock, resolve } = nodeDoors;
  const settings = zookeeperSettings(ports, more);
  const random = () => 0;
  const provider = new Provider({ settings, clock, random, log, open, resolve, ...options });
  const receiver = new Receiver();
  provider.follow(follow.map(zookeeperSource));
  provider.start(receiver.take);
  if (isSynced) {
    await untilTrue(
      () => provider.status().isSynced,
      () => JSON.stringify([provider.status(), lines]),
    );
  }
  const addresses = (service: string): string[] =>
    receiver
      .endpoints(service)
      .map((one) => `${one.address}:${one.port}`)
      .sort();
  return {
    ...{ provider, receiver, lines, addresses },
    has: (service, ...expected) =>
      receiver.until(
        () => receiver.last(service) !== null && addresses(service).join() === expected.join(),
        `${service}: ${expected.join() || 'nothing'}`,
      ),
  };
}
