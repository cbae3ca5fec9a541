// What other registries than Consul's health answers say: etcd's two APIs, target groups of files and
// URLs, prepared queries, and the checks that instances declare.
import { ok } from 'node:assert/strict';
import { describeService } from '../../src/config/describe.ts';
import { ConsulError } from '../../src/discovery/consul/answer.ts';
import type { ConsulClient } from '../../src/discovery/consul/client.ts';
import { askQuery } from '../../src/discovery/consul/query-watch.ts';
import type { Entry } from '../../src/discovery/consul/translate.ts';
import { declaredCheck } from '../../src/discovery/declared-check.ts';
import { EtcdError } from '../../src/discovery/etcd/error.ts';
import { pathBelow } from '../../src/discovery/etcd/layout.ts';
import { type Entry as Key, Stock } from '../../src/discovery/etcd/stock.ts';
import { readEvent, readTree } from '../../src/discovery/etcd/v2-messages.ts';
import { behind, readRange, readWatch } from '../../src/discovery/etcd/v3-messages.ts';
import { isHost } from '../../src/discovery/host-port.ts';
import type { KeyLayout, KeyRecord } from '../../src/discovery/key-record.ts';
import { targetSteps } from '../../src/discovery/target-groups.ts';
import { BOUNDS } from '../../src/model/bounds.ts';
import { source } from '../support/discovery.ts';
import { finish } from '../support/steps.ts';
import { readAnswer } from './consul.ts';
import type { FuzzTarget } from './target.ts';

const PREFIX = '/backends';
const ODD = ['null', '[]', '{}', '""', '-1', '1e99', '__proto__', 'constructor', '\\u0000', '..'];

/** The JSON; what is none is refused before it comes here. */
function parsed(input: string): unknown {
  try {
    return JSON.parse(input);
  } catch {
    return null;
  }
}

/** What it comes to; null where it is refused by an error that was meant. */
function meant<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    ok(error instanceof EtcdError, String(error));
    ok(error.message.length < 1000, 'a long message');
    return null;
  }
}

function checkRecords(records: ReadonlyMap<string, KeyRecord>): void {
  for (const { reading } of records.values()) {
    if (reading.kind === 'problem') ok(reading.text.length < 1000, 'a long problem');
    if (reading.kind === 'port') ok(reading.port >= 1 && reading.port <= 65_535);
    if (reading.kind !== 'instance') continue;
    ok(isHost(reading.host) || reading.host.includes(':'), `the host ${reading.host}`);
    ok(Number.isInteger(reading.port) && reading.port >= 1 && reading.port <= 65_535);
    ok(Number.isFinite(reading.weight) && reading.weight >= 0, `weight ${reading.weight}`);
  }
}

/** Keeps them in both layouts, and takes them out again: nothing stays behind. */
function keep(api: 'v2' | 'v3', entries: Map<string, Key>): void {
  for (const layout of ['backends', 'skydns'] satisfies KeyLayout[]) {
    const stock = new Stock({ layout, tagPrefix: 'upriver' });
    stock.reset(api, entries);
    for (const service of stock.services()) {
      checkRecords(stock.recordsOf(service));
      stock.orderOf(service);
    }
    stock.remove(api, [...entries.keys()]);
    ok(stock.isEmpty && stock.services().size === 0, 'something stays behind');
  }
}

const leaf = (key: string, value: string) => {
  return { key: `${PREFIX}/${key}`, value, createdIndex: 7, modifiedIndex: 9, ttl: 30 };
};
const tree = {
  action: 'get',
  node: {
    ...{ key: PREFIX, dir: true },
    nodes: [
      {
        ...{ key: `${PREFIX}/web`, dir: true, createdIndex: 4 },
        nodes: [
          leaf('web/one', '10.0.0.1:80'),
          leaf('web/two', '{"host":"db.test","port":5432,"weight":3}'),
          leaf('web/port', '8000'),
          leaf('web/upriver.protocol', 'tcp'),
        ],
      },
    ],
  },
};

const etcdV2: FuzzTarget = {
  name: 'etcd-v2',
  seeds: [
    tree,
    { action: 'set', node: leaf('web/one', '10.0.0.2:81') },
    { action: 'expire', node: { ...leaf('web', ''), dir: true } },
  ].map((one) => JSON.stringify(one)),
  morsels: [...ODD, '"node":', '"nodes":', '"dir":true', PREFIX, '"key":', '"delete"', 'port'],
  check: (input) => {
    const body = parsed(input);
    const read = meant(() => readTree(body, PREFIX));
    if (read !== null) {
      ok(read.entries.size + read.dirs.size <= BOUNDS.etcdKeys.max, 'too many keys');
      keep('v2', read.entries);
    }
    const said = meant(() => readEvent(body, PREFIX));
    if (said === null || said.event === null) return;
    ok(Number.isSafeInteger(said.index) && said.index > 0, `index ${said.index}`);
    if (said.event.kind === 'put') keep('v2', new Map([[said.event.path, said.event.entry]]));
  },
};

const base64 = (text: string) => Buffer.from(text).toString('base64');
const keyValue = (key: string, value: string) => {
  const [create_revision, mod_revision, lease] = ['5', '9', '7587'];
  return {
    ...{ key: base64(`${PREFIX}/${key}`), value: base64(value) },
    ...{ create_revision, mod_revision, lease },
  };
};
const header = { cluster_id: '14841639068965178418', revision: '12' };

const etcdV3: FuzzTarget = {
  name: 'etcd-v3',
  seeds: [
    { header, kvs: [keyValue('web/one', '10.0.0.1:80'), keyValue('web/port', '80')], count: '2' },
    { result: { header, created: true } },
    { result: { header, events: [{ kv: keyValue('web/one', '[fd00::1]:80') }] } },
    { result: { header, events: [{ type: 'DELETE', kv: keyValue('web/one', '') }] } },
    { result: { header, canceled: true, compact_revision: '8', cancel_reason: 'compacted' } },
    { error: { grpc_code: 14, message: 'no leader' } },
  ].map((one) => JSON.stringify(one)),
  morsels: [...ODD, '"kvs":', '"header":', '"events":', '"more":true', base64(PREFIX), '"PUT"'],
  check: (input) => {
    const body = parsed(input);
    const range = meant(() => readRange(body));
    const entries = new Map<string, Key>();
    for (const { key, raw, entry } of range?.keyValues ?? []) {
      // The next question begins behind it.
      ok(Buffer.from(behind(raw), 'base64').length > 0);
      const path = pathBelow(PREFIX, key);
      if (path !== null) entries.set(path, entry);
      ok(entry.value.length <= BOUNDS.etcdValue.max + 1, 'a long value');
    }
    ok(range === null || Number.isFinite(range.count), 'a count without an end');
    keep('v3', entries);
    meant(() => readWatch(body));
  },
};

const groups = [
  {
    targets: ['10.0.0.1:8001', '[fd00::1]:80', 'db.test:5432'],
    labels: { service: 'web', weight: '5', upriver_listen: '8000', 'upriver.protocol': 'tcp' },
  },
  { targets: ['10.0.0.2:1'], labels: { job: 'db', __meta_x: 'y', upriver_http__websocket: 'on' } },
];

const targetGroups: FuzzTarget = {
  name: 'target-groups',
  seeds: [JSON.stringify(groups), '[]', JSON.stringify([{ targets: [] }])],
  morsels: [...ODD, '"targets":', '"labels":', '"service":', 'upriver_', 'upriver.', '__', ':80'],
  check: (input) => {
    const read = finish(targetSteps(parsed(input), { service: 'rest', tagPrefix: 'upriver' }));
    if (read === null) return;
    ok(read.problem.length < 500, 'a long problem');
    for (const { instances, problems, settings } of read.list.values()) {
      ok(problems.length <= 20, `${problems.length} problems`);
      for (const problem of problems) ok(problem.length < 500, 'a long problem');
      ok(new Set(instances.map(({ id }) => id)).size === instances.length, 'an id twice');
      for (const { host, port, weight } of instances) {
        ok(isHost(host) || host.includes(':'), `the host ${host}`);
        ok(port >= 1 && port <= 65_535 && weight >= 0 && weight <= 1_000_000);
      }
      if (settings === null) continue;
      for (const value of Object.values(settings)) ok(typeof value === 'string');
      const described = describeService(source('web'), settings);
      ok(described.service !== null || described.problems.length > 0, 'neither of both');
    }
  },
};

const executed = {
  ...{ Service: 'web', Datacenter: 'dc1', Failovers: 1, DNS: { TTL: '1m30s' } },
  Nodes: [
    {
      Node: { Node: 'n', Address: '10.0.0.1' },
      Service: { ID: 'web-1', Service: 'web', Port: 80 },
      Checks: [],
    },
  ],
};

const preparedQuery: FuzzTarget = {
  name: 'prepared-query',
  seeds: [JSON.stringify(executed), JSON.stringify({ Nodes: null })],
  morsels: [...ODD, '"Nodes":', '"DNS":', '"TTL":', '"10s"', '"Node":', '"Service":'],
  check: async (input) => {
    const given = await readAnswer('/v1/query/q/execute', input, (body) => body);
    // What is asked of the client.
    const client = { getFrom: async () => ({ body: given }) } as unknown as ConsulClient;
    const asking = {
      source: source('web', { query: 'q' }),
      fleet: 'edge',
      deadlineMs: 1,
      signal: AbortSignal.abort(),
    };
    try {
      const { body } = await askQuery(client, 'http://127.0.0.1:1', asking);
      // Its own.
      for (const entry of body as Entry[]) ok(typeof entry === 'object' && entry !== null);
    } catch (error) {
      ok(error instanceof ConsulError, String(error));
      ok(error.message.length < 500, 'a long message');
    }
  },
};

const declared: FuzzTarget = {
  name: 'declared-check',
  seeds: [
    { check_http: '/up', check_interval: '15s', check_timeout: '1s', check_http_method: 'HEAD' },
    { check_tcp: 'true', check_initial_status: 'passing' },
    { check_https: '/', check_script: 'rm -rf' },
  ].map((one) => JSON.stringify(one)),
  morsels: [...ODD, '"check_http":', '"check_tcp":', '"check_interval":', '"1h"', '/', '10s'],
  check: (input) => {
    const meta = parsed(input) as Parameters<typeof declaredCheck>[0];
    const { check, problems } = declaredCheck(meta);
    ok(problems.length < 20, `${problems.length} problems`);
    for (const problem of problems) ok(problem.length < 500, 'a long problem');
    if (check === null) return;
    ok(check.intervalMs >= 1000 && check.intervalMs <= 3_600_000, `every ${check.intervalMs} ms`);
    ok(check.timeoutMs > 0 && check.timeoutMs <= check.intervalMs, `within ${check.timeoutMs} ms`);
    ok(/^\/[\x21-\x7e]*$/.test(check.path), `the path ${check.path}`);
  },
};

export const registryTargets: readonly FuzzTarget[] = [
  ...[etcdV2, etcdV3, targetGroups, preparedQuery, declared],
];
