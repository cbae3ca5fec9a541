// Registries of the stage: an HTTP endpoint that lists targets, a container engine, a DNS server, etcd, ZooKeeper and
// Consul. They
// say little, until an attack asks that they say other things all the time: who writes to a registry is the
// attacker then, and the registry is as good as its writers.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type ScriptedRecord, startDns } from '../test/support/scripted-dns.ts';
import {
  event,
  idOf,
  type ScriptedEngine,
  startScriptedEngine,
} from '../test/support/scripted-engine.ts';
import { FlappingConsul } from './flapping-consul.ts';
import { startFlappingEtcd } from './flapping-etcd.ts';
import { FlappingZookeeper } from './flapping-zookeeper.ts';

export type Flapping = 'http' | 'docker' | 'dns' | 'etcd' | 'etcd3' | 'zookeeper' | 'consul';

/** Of the HTTP endpoint. */
const TARGETS = 5000;
/** Half of them run. */
const CONTAINERS = 400;
/** More than an address list takes is left out (BOUNDS). */
const ADDRESSES = 200;
/** Of events of the engine; each time as many containers end and begin. */
const STEP_MS = 10;
const STEP_CONTAINERS = 20;

export interface Sources {
  /** `registries` and `services` of the configuration. */
  readonly registries: string;
  readonly services: string;
  readonly controlPort: number;
  stop(): Promise<void>;
}

const address = (part: number, i: number) => `127.${32 + part}.${i >> 8}.${i & 255}`;

export async function startSources(): Promise<Sources> {
  const said: Record<Flapping, number> = {
    ...{ http: 0, docker: 0, dns: 0, etcd: 0, etcd3: 0, zookeeper: 0, consul: 0 },
  };
  const flapping = new Set<string>();
  const engine = await startScriptedEngine();
  const etcd = await startFlappingEtcd();
  const zookeeper = new FlappingZookeeper();
  const zookeeperPort = await zookeeper.start();
  const consul = new FlappingConsul();
  const consulPort = await consul.start();
  const dns = await startDns(({ name, type }) => {
    if (type !== 'A') return { code: 0 };
    const isFlapping = flapping.has('dns');
    if (isFlapping) said.dns += 1;
    return { answers: addressesOf(name, isFlapping ? ADDRESSES : 1, said.dns % 2) };
  });
  const storm = setInterval(() => {
    if (flapping.has('docker')) said.docker += restartSome(engine);
  }, STEP_MS).unref();
  const lists = [0, 1].map((part) => listOf(part));
  const server = createServer(({ url = '' }, response) => {
    const [, what = '', name = ''] = /^\/(\w+)\/?(\w*)$/.exec(url) ?? [];
    if (what === 'flap') flapping.add(name);
    if (what === 'calm') flapping.delete(name);
    if (flapping.has('etcd')) etcd.flap();
    else etcd.calm();
    if (flapping.has('etcd3')) etcd.v3.flap();
    else etcd.v3.isFlapping = false;
    zookeeper.isFlapping = flapping.has('zookeeper');
    if (flapping.has('consul')) consul.flap();
    else consul.calm();
    said.etcd = etcd.told;
    said.etcd3 = etcd.v3.told;
    said.zookeeper = zookeeper.changed;
    said.consul = consul.told;
    response.setHeader('content-type', 'application/json');
    if (what !== 'list') return response.end(JSON.stringify(said));
    if (!flapping.has('http')) return response.end('[]');
    said.http += 1;
    return response.end(lists[said.http % 2]);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  // A server that listens on a port has an address with one.
  const { port } = server.address() as AddressInfo;
  return {
    registries: [
      `http: { url: "http://127.0.0.1:${port}/list", interval: 1s }`,
      `docker: { address: "unix://${engine.socket}", virtual_hosts: "off" }`,
      `dns: { address: "127.0.0.1:${dns.port}" }`,
      `etcd: { address: "http://127.0.0.1:${etcd.port}" }`,
      `zookeeper: { address: "127.0.0.1:${zookeeperPort}" }`,
      `consul: { address: "http://127.0.0.1:${consulPort}" }`,
    ].join(', '),
    services: `  flapping-http: { from: { registry: http, service: flapping } }
  flapping-docker: { from: { registry: docker, service: flapping } }
  flapping-etcd: { from: { registry: etcd, service: flapping } }
  flapping-etcd3: { from: { registry: etcd, service: flapping3 } }
  flapping-zookeeper: { from: { registry: zookeeper, service: flapping } }
  flapping-consul: { from: { registry: consul, service: flapping } }
  flapping-dns: { from: { registry: dns, service: "flap.test:9" } }`,
    controlPort: port,
    stop: async () => {
      clearInterval(storm);
      await engine.stop();
      await dns.stop();
      await etcd.stop();
      await zookeeper.stop();
      await consul.stop();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function addressesOf(name: string, count: number, part: number): ScriptedRecord[] {
  return Array.from({ length: count }, (_, i) => ({
    ...{ name, type: 'A', ttl: 0 },
    data: address(part, i),
  }));
}

function listOf(part: number): string {
  const targets = Array.from({ length: TARGETS }, (_, i) => `${address(part, i)}:9`);
  return JSON.stringify([{ targets, labels: { service: 'flapping' } }]);
}

let turn = 0;

/** Some containers end, and others begin in their place: thousands a second. Returns how many events that were. */
function restartSome(engine: ScriptedEngine): number {
  const { containers } = engine;
  for (let i = 0; i < STEP_CONTAINERS; i += 1) {
    turn += 1;
    // Every second one begins first, so that half of them run.
    if (turn <= CONTAINERS && turn % 2 === 0) continue;
    const id = idOf((turn % CONTAINERS) + 1);
    if (containers.delete(id)) {
      engine.tell(event(id, 'die', {}, Date.now() * 1_000_000));
      continue;
    }
    const published = { '80/tcp': String(20_000 + (turn % CONTAINERS)) };
    const startedAt = new Date().toISOString();
    containers.set(id, { id, name: `c${turn}`, image: 'flapping', published, startedAt });
    engine.tell(event(id, 'start', {}, Date.now() * 1_000_000));
  }
  return STEP_CONTAINERS;
}
