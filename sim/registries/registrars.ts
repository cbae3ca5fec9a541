// Who registers: a registrar for etcd, whose keys live for a while and are written again; an engine,
// whose containers are their own registration; an operator of a zone. Each knows what is listed.
import type { Chance } from '../kernel/chance.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { type Member, placeOf, SHOP } from './members.ts';
import type { SimDns } from './sim-dns.ts';
import type { SimEngine } from './sim-engine.ts';
import type { SimEtcd } from './sim-etcd.ts';

export interface Registrar {
  /** Registers, or registers anew. */
  put(member: Member): void;
  /** `isAtOnce`: in order, as far as the registry can be reached. */
  remove(member: Member, isAtOnce?: boolean): void;
  /** Whether the registry has it, as it is. */
  isListed(member: Member): boolean;
}

/** As docker-register's, and renewed in time for two attempts. */
export const TTL_MS = 15_000;
const RENEW_MS = 5000;
const RETRY_MS = 1000;

export class EtcdRegistrar implements Registrar {
  private readonly kernel: Kernel;
  private readonly etcd: SimEtcd;
  private readonly chance: Chance;
  private readonly wanted = new Map<string, string>();
  private isOver = false;

  constructor(kernel: Kernel, etcd: SimEtcd) {
    this.kernel = kernel;
    this.etcd = etcd;
    this.chance = kernel.chance('registrar');
    this.wanted.set(SHOP.key, `${SHOP.port}`);
    this.renew(SHOP.key);
  }

  put(member: Member): void {
    const key = keyOf(member);
    const isNew = !this.wanted.has(key);
    this.wanted.set(key, placeOf(member));
    if (isNew) this.renew(key);
    else if (this.mayWrite) this.etcd.store.put(key, placeOf(member), TTL_MS);
  }

  remove(member: Member): void {
    const key = keyOf(member);
    this.wanted.delete(key);
    // Otherwise it goes when its time is over.
    if (this.mayWrite) this.etcd.store.remove(key);
  }

  isListed(member: Member): boolean {
    return this.etcd.store.keys.get(keyOf(member))?.value === placeOf(member);
  }

  /** Nothing is renewed any more. */
  close(): void {
    this.isOver = true;
  }

  private get mayWrite(): boolean {
    const { members, store, way } = this.etcd;
    return !store.isLeaderless && members.some((address) => !way.isDown(address));
  }

  private renew(key: string): void {
    const value = this.wanted.get(key);
    if (value === undefined || this.isOver) return;
    const { store } = this.etcd;
    if (this.mayWrite) {
      const isSame = store.keys.get(key)?.value === value;
      // Some only renew the time to live, some write the whole key.
      const isQuiet = isSame && this.chance.happens(0.5) && store.refresh(key, TTL_MS);
      if (!isQuiet) store.put(key, value, TTL_MS);
    }
    const waitMs = this.mayWrite ? RENEW_MS : RETRY_MS;
    this.kernel.after(this.chance.between(0.8, 1) * waitMs, () => this.renew(key));
  }
}

function keyOf({ service, name }: Member): string {
  return `/backends/${service}/${name}`;
}

export class EngineRegistrar implements Registrar {
  private readonly engine: SimEngine;

  constructor(engine: SimEngine) {
    this.engine = engine;
  }

  put({ name, service, port }: Member): void {
    this.engine.run(name, service, port);
  }

  remove({ name }: Member): void {
    this.engine.end(name);
  }

  isListed({ name, port }: Member): boolean {
    const known = this.engine.containers.get(name);
    return known !== undefined && known.port === port && !known.isPaused;
  }
}

export class ZoneRegistrar implements Registrar {
  private readonly dns: SimDns;

  constructor(dns: SimDns) {
    this.dns = dns;
  }

  put(member: Member): void {
    this.remove(member);
    const { service, name, address, port } = member;
    const records = this.dns.zone.get(service) ?? [];
    this.dns.zone.set(service, [...records, { host: `${name}.example`, address, port }]);
  }

  remove({ service, name }: Member): void {
    const records = this.dns.zone.get(service) ?? [];
    this.dns.zone.set(
      service,
      records.filter(({ host }) => host !== `${name}.example`),
    );
  }

  isListed({ service, name, port }: Member): boolean {
    const records = this.dns.zone.get(service) ?? [];
    return records.some((one) => one.host === `${name}.example` && one.port === port);
  }
}
