// Writes to a Consul agent for bench/wide.ts: services of ten endpoints, each with a check, on ten
// nodes; changes of single instances; and, as a process of its own, a storm of those.
import { Agent, request } from 'node:http';

const CONNECTIONS_MAX = 32;
export const ENDPOINTS = 10;

export interface Place {
  readonly address: string;
  readonly port: number;
}

export function serviceNames(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `s${String(i).padStart(4, '0')}`);
}

export class Registry {
  private readonly url: string;
  /** An agent allows 200 connections from one address, and Upriver has most of them. */
  private readonly agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS_MAX });

  constructor(url: string) {
    this.url = url;
  }

  /** Ten endpoints each, on port `port` of ten loopback addresses. */
  async registerAll(names: readonly string[], port: number): Promise<void> {
    const ids = Array.from({ length: ENDPOINTS }, (_, i) => `${i}`);
    for (const id of ids) {
      const node = { Node: nodeOf(id), Address: '127.0.0.1' };
      await this.put('/v1/catalog/register', node);
    }
    // One entry of the servers' log has many: that is a tenth of the time.
    const all = names.flatMap((name) => ids.map((id) => operations(name, id, port)));
    for (let at = 0; at < all.length; at += IN_TRANSACTION) {
      await this.put('/v1/txn', all.slice(at, at + IN_TRANSACTION).flat());
    }
  }

  register(name: string, id: string, { address, port }: Place): Promise<void> {
    const ID = `${name}-${id}`;
    const Node = nodeOf(id);
    const CheckID = `service:${ID}`;
    return this.put('/v1/catalog/register', {
      ...{ Node, Address: '127.0.0.1', SkipNodeUpdate: true },
      Service: { ID, Service: name, Address: address, Port: port },
      Check: { Node, CheckID, Name: 'alive', Status: 'passing', ServiceID: ID },
    });
  }

  deregister(name: string, id: string): Promise<void> {
    return this.put('/v1/catalog/deregister', { Node: nodeOf(id), ServiceID: `${name}-${id}` });
  }

  close(): void {
    this.agent.destroy();
  }

  private put(path: string, body: object): Promise<void> {
    return new Promise((resolve, reject) => {
      request(this.url + path, { method: 'PUT', agent: this.agent }, (response) => {
        response.resume();
        response.on('end', () => {
          if (response.statusCode === 200) resolve();
          else reject(new Error(`${path} answered ${response.statusCode}`));
        });
      })
        .on('error', reject)
        .end(JSON.stringify(body));
    });
  }
}

/** Consul takes 64 operations at a time. */
const IN_TRANSACTION = 32;

function operations(name: string, id: string, Port: number): object[] {
  const ID = `${name}-${id}`;
  const Node = nodeOf(id);
  const service = { ID, Service: name, Address: `127.0.1.${Number(id) + 1}`, Port };
  const check = { Node, CheckID: `service:${ID}`, Name: 'alive', Status: 'passing', ServiceID: ID };
  return [
    { Service: { Verb: 'set', Node, Service: service } },
    { Check: { Verb: 'set', Check: check } },
  ];
}

/** An instance with a number has the node of that number. */
function nodeOf(id: string): string {
  return `node-${/^\d+$/.test(id) ? id : '0'}`;
}

export interface Storm {
  readonly url: string;
  readonly services: number;
  readonly perSecond: number;
  readonly forMs: number;
  readonly place: Place;
}

/** Instances come and go all over the services; returns how many changes there were. */
export async function storm({ url, services, perSecond, forMs, place }: Storm): Promise<number> {
  const registry = new Registry(url);
  const names = serviceNames(services);
  const there = new Set<string>();
  const open = new Set<Promise<void>>();
  const startMs = performance.now();
  let begun = 0;
  while (performance.now() - startMs < forMs) {
    const due = ((performance.now() - startMs) / 1000) * perSecond;
    for (; begun < due && open.size < CONNECTIONS_MAX; begun += 1) {
      // A prime step: every service has its turn, none that of its neighbour.
      const name = names[(begun * 7919) % services]!;
      const isThere = there.delete(name);
      if (!isThere) there.add(name);
      const change = isThere
        ? registry.deregister(name, 'storm')
        : registry.register(name, 'storm', place);
      open.add(change);
      void change.finally(() => open.delete(change));
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await Promise.all(open);
  registry.close();
  return begun;
}

// As a process: the storm that its argument describes; says how many changes it made.
const [, program = '', given] = process.argv;
if (program === import.meta.filename && given !== undefined) {
  // Our own words, from bench/wide.ts.
  console.log(await storm(JSON.parse(given) as Storm));
}
