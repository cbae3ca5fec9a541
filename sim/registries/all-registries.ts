// The registries of a run, as one: what its processes reach them by, and what happens to all at the end.
import type { SimRegistries } from '../control/sim-process.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { ETCD_MEMBERS } from './members.ts';
import { TTL_MS } from './registrars.ts';
import { SimDns } from './sim-dns.ts';
import { SimEngine } from './sim-engine.ts';
import { type EtcdApi, SimEtcd } from './sim-etcd.ts';
import { SimZookeeper } from './sim-zookeeper.ts';

export class AllRegistries {
  readonly etcd: SimEtcd;
  readonly engine: SimEngine;
  readonly dns: SimDns;
  readonly zookeeper: SimZookeeper;

  constructor(kernel: Kernel, api: EtcdApi) {
    this.etcd = new SimEtcd(kernel, ETCD_MEMBERS, api);
    this.engine = new SimEngine(kernel);
    this.dns = new SimDns(kernel);
    this.zookeeper = new SimZookeeper(kernel);
  }

  /** How the processes of a run reach them. */
  readonly ways: SimRegistries = {
    doors: (isDead) => ({
      loadEtcd: () => Promise.resolve(this.etcd.parts(isDead)),
      loadDocker: () => Promise.resolve(this.engine.parts(isDead)),
      loadDns: () => Promise.resolve(this.dns.parts(isDead)),
      loadZookeeper: () => Promise.resolve(this.zookeeper.parts(isDead)),
    }),
    cut: () => {
      this.etcd.way.cut('', 'gone');
      this.engine.way.cut('', 'gone');
      this.zookeeper.cutDead();
    },
  };

  /** How many questions they were asked. */
  get questions(): number {
    const { etcd, engine, dns, zookeeper } = this;
    return etcd.way.questions + engine.way.questions + dns.questions + zookeeper.questions;
  }

  /** How many questions are open. */
  get openCount(): number {
    const { etcd, engine, zookeeper } = this;
    return etcd.way.open.size + engine.way.open.size + zookeeper.open.size;
  }

  endTroubles(): void {
    const { etcd, engine, dns, zookeeper } = this;
    etcd.way.endTroubles();
    engine.way.endTroubles();
    dns.endTroubles();
    etcd.findLeader(TTL_MS);
    zookeeper.endTroubles();
  }
}
