// The providers of the program: which settings each registry is followed by, how its provider is
// made, and what becomes of it when a reload changes them. One table, and the same code for every
// registry. What a provider does is its own (discovery/); how well it goes is asked of all alike.
import type { Logger } from './base/log.ts';
import type { KvWatch } from './discovery/consul/kv-watch.ts';
import type { LockWatch } from './discovery/consul/lock-watch.ts';
import type { Known, Provider, ProviderStatus, Update } from './discovery/provider.ts';
import { ProviderSet } from './discovery/provider-set.ts';
import { StaticProvider } from './discovery/static.ts';
import type { Doors } from './doors.ts';
import type { FollowedRegistry, RegistrySettings } from './model/registries/table.ts';
import type { Settings } from './model/settings.ts';
import type { ServiceSource } from './model/source.ts';

export interface ProvidersOptions {
  readonly doors: Doors;
  readonly log: Logger;
  /** The settings as they are now. */
  readonly settings: () => Settings;
  /** Whether a setting that a service gives itself may have this value. */
  readonly isGoodSetting: (key: string, value: string) => boolean;
  /** What is served of a source before a provider that is new has said anything of it. */
  readonly known: (source: ServiceSource) => Known;
  readonly onUpdate: (update: Update) => void;
  /** The overlay of the configuration in the registry is this text now; null when it is gone. */
  readonly onOverlay: (key: string, text: string | null) => void;
  /** Names of who holds the lock of this key now. */
  readonly onLock: (key: string, holder: readonly string[]) => void;
  /** How many services Consul is asked for one by one; a simulation gives less. */
  readonly consulDirectMax?: number;
}

/** Makes the provider of a registry. What it is made of is loaded here: only who follows it pays. */
type Make<S> = (settings: S, parts: ProvidersOptions) => Promise<Provider>;

const MAKERS: { readonly [N in FollowedRegistry]: Make<RegistrySettings[N]> } = {
  consul: async (settings, { doors, log, known, ...parts }) => {
    const { ConsulProvider, open } = await doors.loadConsul();
    const { clock, random, resolve } = doors;
    const { isGoodSetting, consulDirectMax: directMax } = parts;
    const guard = () => parts.settings().guard;
    const more = directMax === undefined ? {} : { directMax };
    const ways = { clock, random, log, open, resolve };
    return new ConsulProvider({ settings, ...ways, guard, isGoodSetting, known, ...more });
  },
  etcd: async (settings, { doors, log, known }) => {
    const { EtcdProvider, open } = await doors.loadEtcd();
    const { clock, random, resolve } = doors;
    return new EtcdProvider({ settings, clock, random, log, open, resolve, known });
  },
  docker: async (settings, { doors, log, isGoodSetting }) => {
    const { DockerProvider, ...ways } = await doors.loadDocker();
    const { clock, random, resolve } = doors;
    return new DockerProvider({ settings, clock, random, resolve, log, isGoodSetting, ...ways });
  },
  file: async (settings, { doors, log }) => {
    const { FileProvider, files } = await doors.loadFile();
    const { clock, resolve } = doors;
    return new FileProvider({ settings, clock, log, files, resolve });
  },
  http: async (settings, { doors, log }) => {
    const { HttpProvider, open } = await doors.loadHttp();
    const { clock, random, resolve } = doors;
    return new HttpProvider({ settings, clock, random, log, open, resolve });
  },
  dns: async (settings, { doors, log }) => {
    const { DnsProvider, openDns } = await doors.loadDns();
    const { clock, random } = doors;
    return new DnsProvider({ settings, clock, random, log, wire: openDns() });
  },
  zookeeper: async (settings, { doors, log, known, isGoodSetting }) => {
    const { ZookeeperProvider, openZookeeper: open } = await doors.loadZookeeper();
    const { clock, random, resolve } = doors;
    const ways = { clock, random, log, open, resolve };
    return new ZookeeperProvider({ settings, ...ways, known, isGoodSetting });
  },
};

// Their own keys.
const FOLLOWED = Object.keys(MAKERS) as FollowedRegistry[];

export class Providers {
  readonly set: ProviderSet;
  private readonly options: ProvidersOptions;
  private readonly fixed: StaticProvider;
  private overlay: KvWatch | null = null;
  /** What the overlay said last; null where there is none. */
  private overlayText: string | null = null;
  /** By key. */
  private readonly locks = new Map<string, LockWatch>();
  private isStopped = false;

  constructor(options: ProvidersOptions) {
    this.options = options;
    const { doors, log, onUpdate, settings } = options;
    const { clock, resolve } = doors;
    this.set = new ProviderSet({ clock, onUpdate });
    this.fixed = new StaticProvider({ clock, endpoints: settings().static, log, resolve });
  }

  /** Starts a provider for each registry that is configured. */
  async begin(settings: Settings): Promise<void> {
    this.set.add(this.fixed);
    for (const name of FOLLOWED) await this.changeOne(name, {}, settings.registries);
  }

  /**
   * Other settings: what is followed in another way is from now on, also what is new. What is not
   * configured any more stays until `settle`, so that a service that gets another source is not
   * without endpoints in between.
   */
  async change(before: Settings, after: Settings): Promise<void> {
    this.fixed.setEndpoints({ ...before.static, ...after.static });
    for (const name of FOLLOWED) {
      if (after.registries[name] === undefined) continue;
      await this.changeOne(name, before.registries, after.registries);
    }
    const isOtherConsul = isOther(before.registries.consul, after.registries.consul);
    if (isOtherConsul) await this.watchOverlay(after);
    await this.watchLocks(after, isOtherConsul);
  }

  /** The settings are in force: ends what they don't name any more. */
  settle(settings: Settings): void {
    this.fixed.setEndpoints(settings.static);
    for (const name of FOLLOWED) {
      if (settings.registries[name] === undefined) this.set.replace(name, null);
    }
  }

  private async changeOne<N extends FollowedRegistry>(
    name: N,
    before: Partial<RegistrySettings>,
    after: Partial<RegistrySettings>,
  ): Promise<void> {
    const settings = after[name];
    if (settings === undefined || !isOther(before[name], settings)) return;
    // What a registry says first while one fails, or may lack what is yet to register again, it may
    // say for want of knowing better.
    const isFailing = this.set
      .statuses()
      .some(({ lastError, isInDoubt }) => lastError !== '' || isInDoubt === true);
    const known = (source: ServiceSource): Known => {
      const { endpoints, isHeld } = this.options.known(source);
      return { endpoints, isHeld: isHeld || isFailing };
    };
    const provider = await MAKERS[name](settings, { ...this.options, known });
    if (!this.isStopped) this.set.replace(name, provider);
  }

  /** Follows the overlay where the settings name one. */
  async watchOverlay({ registries }: Settings): Promise<void> {
    const { doors, log, onOverlay } = this.options;
    const { clock, random } = doors;
    const { overlayText: known } = this;
    void this.overlay?.stop();
    this.overlay = null;
    const settings = registries.consul;
    const kvKey = settings?.kvKey ?? '';
    const onValue = (text: string | null): void => {
      this.overlayText = text;
      onOverlay(kvKey, text);
    };
    // What an overlay did is undone with it, also where it is not followed any more.
    if (settings === undefined || kvKey === '') {
      if (known !== null) onValue(null);
      return;
    }
    const { KvWatch, open } = await doors.loadConsul();
    if (this.isStopped) return;
    this.overlay = new KvWatch({ settings, clock, random, log, open, onValue, known });
    this.overlay.start();
  }

  /** Follows the locks that services name. `isOther`: Consul is to be asked in another way. */
  async watchLocks({ registries, services }: Settings, isOther: boolean): Promise<void> {
    const { doors, log, onLock } = this.options;
    const { clock, random } = doors;
    const settings = registries.consul;
    const keys = services.flatMap(({ primary }) => (primary?.by === 'lock' ? primary.lock : []));
    const wanted = new Set(settings === undefined ? [] : keys);
    for (const [key, watch] of this.locks) {
      if (wanted.has(key) && !isOther) continue;
      this.locks.delete(key);
      void watch.stop();
    }
    if (settings === undefined || wanted.size === 0) return;
    const { LockWatch, open } = await doors.loadConsul();
    for (const key of wanted) {
      if (this.isStopped || this.locks.has(key)) continue;
      const onHolder = (holder: readonly string[]) => onLock(key, holder);
      const watch = new LockWatch({ settings, key, clock, random, log, open, onHolder });
      this.locks.set(key, watch);
      watch.start();
    }
  }

  /** How well it goes with each registry; the overlay's key is asked for with rights of its own. */
  statuses(): ProviderStatus[] {
    const overlay = this.overlay === null ? [] : [this.overlay.status()];
    const locks = [...this.locks.values()].map((watch) => watch.status());
    return [...this.set.statuses(), ...overlay, ...locks];
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    const locks = [...this.locks.values()].map((watch) => watch.stop());
    await Promise.all([this.set.stop(), this.overlay?.stop(), ...locks]);
  }
}

/** What the services of the configuration follow. */
export function sourcesOf(settings: Settings): ServiceSource[] {
  return settings.services.flatMap(({ from }) => from.map(({ source }) => source));
}

/** Settings are plain data. */
function isOther(before: unknown, after: unknown): boolean {
  return JSON.stringify(before) !== JSON.stringify(after);
}
