// A simulated etcd cluster: members in front of one store, which speak v2 or the JSON gateway of v3 as
// etcd does (Documentation/v2/api.md, api/etcdserverpb/rpc.proto). A member that is behind hears of
// events later; questions that need the quorum are answered by what it knows.
import { EtcdProvider } from '../../src/discovery/etcd/provider.ts';
import type { EtcdParts } from '../../src/doors.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { EtcdStore, type StoredKey, type StoreEvent } from './etcd-store.ts';
import { type Exchange, SimWay, type WayRequest } from './way.ts';

export type EtcdApi = 'v2' | 'v3';

/** Etcd keeps 1000 of v2; fewer are forgotten sooner. */
const HISTORY_MAX = 40;
/** What a member without a leader takes to say so. */
const LEADERLESS_MS = 5000;

interface Watching {
  readonly exchange: Exchange;
  /** Looks for news, and tells of it. */
  readonly look: () => void;
}

export class SimEtcd {
  readonly store: EtcdStore;
  readonly way: SimWay;
  readonly members: readonly string[];
  readonly api: EtcdApi;
  private readonly kernel: Kernel;
  /** Called after each change of a key. */
  onChange: () => void = () => {};
  private readonly watching = new Set<Watching>();

  constructor(kernel: Kernel, members: readonly string[], api: EtcdApi) {
    this.kernel = kernel;
    this.members = members;
    this.api = api;
    this.store = new EtcdStore(kernel, HISTORY_MAX);
    this.store.onChange = () => {
      this.onChange();
      this.wake();
    };
    this.way = new SimWay(kernel, 'etcd', (address, request, exchange) =>
      this.serve(address, request, exchange),
    );
  }

  parts(isDead: () => boolean): EtcdParts {
    const open: EtcdParts['open'] = () => ({
      to: (address) => ({
        request: (request) => this.way.request(address, request, isDead),
        recycle: () => {},
      }),
      close: () => Promise.resolve(),
    });
    return { EtcdProvider, open };
  }

  /** There is no leader until then. */
  loseLeader(forMs: number, ttlMs: number): void {
    const { store, kernel } = this;
    store.isLeaderless = true;
    // Who asks for a leader on its stream has it ended.
    for (const { exchange } of [...this.watching]) {
      if (this.api !== 'v3') continue;
      exchange.write(`${JSON.stringify({ error: { grpc_code: 14, message: NO_LEADER } })}\n`);
      exchange.end();
    }
    kernel.after(forMs, () => this.findLeader(ttlMs));
  }

  findLeader(ttlMs: number): void {
    if (!this.store.isLeaderless) return;
    this.store.isLeaderless = false;
    this.store.term += 1;
    if (this.api === 'v3') this.store.extend(ttlMs);
    this.wake();
  }

  private wake(): void {
    for (const { look } of [...this.watching]) look();
    for (const address of this.members) {
      const lagMs = this.way.lagOf(address);
      if (lagMs > 0) this.kernel.after(lagMs, () => [...this.watching].map(({ look }) => look()));
    }
  }

  private serve(address: string, request: WayRequest, exchange: Exchange): void {
    const { path, body = '' } = request;
    if (this.way.isFailing(address)) return this.fail(exchange, 'etcdserver: request timed out');
    if (path === '/version') {
      return answer(exchange, 200, { etcdserver: '3.4.23', etcdcluster: '3.4.0' });
    }
    const isV3 = path.startsWith('/v3/');
    if (isV3 !== (this.api === 'v3')) {
      return exchange.answer(404, { 'content-type': 'text/plain' }, '404 page not found\n');
    }
    if (isV3) this.serveV3(path, JSON.parse(body) as V3Request, exchange);
    else this.serveV2(path, exchange);
  }

  private fail(exchange: Exchange, message: string): void {
    if (this.api === 'v3') answer(exchange, 500, { error: message, message, code: 14 });
    else answer(exchange, 500, { errorCode: 300, message: 'Raft Internal Error', cause: message });
  }

  private withLeader(exchange: Exchange, run: () => void): void {
    if (!this.store.isLeaderless) return run();
    this.kernel.after(LEADERLESS_MS, () => {
      if (!exchange.isOpen) return;
      if (this.store.isLeaderless) this.fail(exchange, NO_LEADER);
      else run();
    });
  }

  /** The events that the member has heard of, from this revision on. */
  private known(address: string, from: number): StoreEvent[] {
    const lagMs = this.way.lagOf(address);
    return this.store.events.filter(
      ({ revision, atMs }) =>
        revision >= from && (lagMs === 0 || atMs <= this.kernel.nowMs - lagMs),
    );
  }

  private watch(exchange: Exchange, look: () => void): void {
    const watching = { exchange, look };
    this.watching.add(watching);
    exchange.onEnd.push(() => this.watching.delete(watching));
    look();
  }

  // v2

  private serveV2(target: string, exchange: Exchange): void {
    const [path = '', query = ''] = target.split('?');
    const search = new URLSearchParams(query);
    const prefix = decodeURIComponent(path.slice('/v2/keys'.length)).replace(/\/$/, '');
    if (search.has('wait')) {
      const index = Number(search.get('waitIndex'));
      return this.waitV2(exchange, prefix, index);
    }
    this.withLeader(exchange, () => this.listV2(exchange, prefix));
  }

  private listV2(exchange: Exchange, prefix: string): void {
    const { store, kernel } = this;
    const keys = [...store.keys].filter(([key]) => key.startsWith(`${prefix}/`));
    if (prefix !== '' && keys.length === 0 && !store.folders.has(prefix)) {
      const missing = { errorCode: 100, message: 'Key not found', cause: prefix };
      return answer(exchange, 404, { ...missing, index: store.revision }, this.headers());
    }
    const byFolder = Map.groupBy(keys, ([key]) => key.slice(0, key.lastIndexOf('/')));
    const nodes = [...byFolder].map(([folder, inside]) => ({
      ...{ key: folder, dir: true, createdIndex: store.folders.get(folder) ?? 1 },
      nodes: inside.map(([key, stored]) => nodeOf(key, stored, kernel.nowMs)),
    }));
    const node = prefix === '' ? { dir: true, nodes } : { key: prefix, dir: true, nodes };
    answer(exchange, 200, { action: 'get', node }, this.headers());
  }

  private waitV2(exchange: Exchange, prefix: string, from: number): void {
    const { store, kernel } = this;
    const headers = this.headers();
    if (from <= store.forgotten && from <= store.revision) {
      const cause = `the requested history has been cleared [${store.forgotten + 1}/${from}]`;
      const cleared = { errorCode: 401, message: 'The event in requested index is outdated' };
      return answer(exchange, 400, { ...cleared, cause, index: store.revision }, headers);
    }
    // The head comes at once, the event when there is one.
    exchange.head(200, headers);
    let isTold = false;
    this.watch(exchange, () => {
      if (isTold) return;
      const next = this.known(exchange.address, from).find(({ key }) =>
        key.startsWith(`${prefix}/`),
      );
      if (next === undefined) return;
      isTold = true;
      const { key, kind, stored, before, revision } = next;
      const action = kind === 'put' ? 'set' : kind;
      const gone = { key, createdIndex: before?.created ?? 0, modifiedIndex: revision };
      const node = stored === null ? gone : nodeOf(key, stored, kernel.nowMs);
      exchange.write(JSON.stringify({ action, node }));
      exchange.end();
    });
  }

  private headers(): Record<string, string> {
    const { revision, clusterId, term } = this.store;
    const index = { 'x-etcd-index': `${revision}`, 'x-raft-term': `${term}` };
    return { ...index, 'x-etcd-cluster-id': clusterId };
  }

  // v3

  private serveV3(path: string, request: V3Request, exchange: Exchange): void {
    if (path === '/v3/kv/range') {
      return this.withLeader(exchange, () => this.rangeV3(exchange, request));
    }
    if (path === '/v3/watch' && request.create_request !== undefined) {
      return this.watchV3(exchange, request.create_request);
    }
    answer(exchange, 404, { code: 12, message: 'Not Implemented' });
  }

  private rangeV3(exchange: Exchange, request: V3Request): void {
    const isIn = rangeOf(request);
    const found = [...this.store.keys].filter(([key]) => isIn(key));
    const since = Number(request.min_mod_revision ?? 0);
    const kvs = found.filter(([, { modified }]) => modified >= since);
    const limit = Number(request.limit ?? 0) || kvs.length;
    const sorted = kvs.sort(([a], [b]) => (a < b ? -1 : 1));
    answer(exchange, 200, {
      header: this.header(),
      kvs: sorted.slice(0, limit).map(([key, stored]) => keyValueOf(key, stored)),
      ...(sorted.length > limit ? { more: true } : {}),
      ...(found.length === 0 ? {} : { count: `${found.length}` }),
    });
  }

  private watchV3(exchange: Exchange, request: V3Request): void {
    const { store } = this;
    const isIn = rangeOf(request);
    let from = Number(request.start_revision ?? 0) || store.revision + 1;
    const { clusterId } = store;
    exchange.head(200, {});
    const say = (result: object): void => {
      exchange.write(`${JSON.stringify({ result: { header: this.header(), ...result } })}\n`);
    };
    if (store.isLeaderless) {
      exchange.write(`${JSON.stringify({ error: { grpc_code: 14, message: NO_LEADER } })}\n`);
      return exchange.end();
    }
    say({ created: true });
    if (from <= store.forgotten && from <= store.revision) {
      say({ canceled: true, compact_revision: `${store.forgotten + 1}` });
      return exchange.end();
    }
    this.watch(exchange, () => {
      // Its member is gone with the cluster.
      if (store.clusterId !== clusterId) return;
      const news = this.known(exchange.address, from);
      from = (news.at(-1)?.revision ?? from - 1) + 1;
      const events = news.filter(({ key }) => isIn(key)).map(watchEventOf);
      if (events.length > 0) say({ events });
    });
  }

  private header(): object {
    const { clusterId, revision } = this.store;
    return { cluster_id: clusterId, member_id: 'm', revision: `${revision}`, raft_term: '2' };
  }
}

const NO_LEADER = 'etcdserver: no leader';

interface V3Request {
  readonly key?: string;
  readonly range_end?: string;
  readonly limit?: string;
  readonly min_mod_revision?: string;
  readonly start_revision?: string;
  readonly create_request?: V3Request;
}

function rangeOf({ key = '', range_end: end = '' }: V3Request): (key: string) => boolean {
  const [from, to] = [key, end].map((part) => Buffer.from(part, 'base64').toString('latin1'));
  return (one) => (end === '' ? one === from : one >= from! && one < to!);
}

function keyValueOf(key: string, { value, created, modified, expiresMs }: StoredKey): object {
  return {
    ...{ key: base64(key), value: base64(value), version: '1' },
    ...{ create_revision: `${created}`, mod_revision: `${modified}` },
    ...(expiresMs === null ? {} : { lease: '77' }),
  };
}

function watchEventOf({ key, kind, stored, revision }: StoreEvent): object {
  if (stored !== null) return { kv: keyValueOf(key, { ...stored, modified: revision }) };
  return {
    type: kind === 'put' ? 'PUT' : 'DELETE',
    kv: { key: base64(key), mod_revision: `${revision}` },
  };
}

function nodeOf(key: string, stored: StoredKey, nowMs: number): object {
  const { value, created, modified, expiresMs } = stored;
  const ttl = expiresMs === null ? {} : { ttl: Math.ceil((expiresMs - nowMs) / 1000) };
  return { key, value, createdIndex: created, modifiedIndex: modified, ...ttl };
}

function base64(text: string): string {
  return Buffer.from(text, 'latin1').toString('base64');
}

function answer(
  exchange: Exchange,
  status: number,
  body: object,
  headers: Record<string, string> = {},
): void {
  exchange.answer(status, { 'content-type': 'application/json', ...headers }, JSON.stringify(body));
}
