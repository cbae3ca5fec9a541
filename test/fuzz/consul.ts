// Answers of Consul: about a service, about checks and the catalog, and tags by themselves.
import { deepStrictEqual, ok } from 'node:assert/strict';
import { silentLogger } from '../../src/base/log.ts';
import { describeService } from '../../src/config/describe.ts';
import { Table } from '../../src/control/table.ts';
import { ConsulError } from '../../src/discovery/consul/answer.ts';
import { boundsOf } from '../../src/discovery/consul/answer-bounds.ts';
import { readJson } from '../../src/discovery/consul/body.ts';
import { listingOf } from '../../src/discovery/consul/catalog.ts';
import { checkListOf } from '../../src/discovery/consul/check-list.ts';
import { FollowedService } from '../../src/discovery/consul/followed-service.ts';
import { itemsOf } from '../../src/discovery/consul/inventory.ts';
import { type Entry, listOf } from '../../src/discovery/consul/translate.ts';
import type { ProvidedService, Update } from '../../src/discovery/provider.ts';
import { describeEntries } from '../../src/discovery/self-description.ts';
import { onlySource } from '../../src/model/source.ts';
import { ManualClock } from '../support/clock.ts';
import { guardSettings, source } from '../support/discovery.ts';
import type { FuzzTarget } from './target.ts';

const good = {
  Node: { Node: 'good', Address: '10.9.9.9' },
  Service: { ID: 'good-1', Service: 'web', Address: '10.9.9.9', Port: 999, Tags: ['v1'] },
  Checks: [{ Node: 'good', CheckID: 'serfHealth', Status: 'passing', Output: 'alive' }],
};
const usual = {
  Node: { ID: 'x', Node: 'node-1', Address: '10.0.0.1', Datacenter: 'dc1', Meta: {} },
  Service: {
    ...{ ID: 'web-1', Service: 'web', Address: '', Port: 8080, ModifyIndex: 12 },
    Tags: ['upriver.listen=8000', 'upriver.health.path=/up', 'upriver.weight=5', 'v1'],
    Meta: { 'upriver-balance': 'p2c', version: '3' },
    Weights: { Passing: 1, Warning: 1 },
  },
  Checks: [
    { Node: 'node-1', CheckID: 'serfHealth', Name: 'Serf', Status: 'passing', Output: 'alive' },
    {
      ...{ CheckID: 'service:web-1', Status: 'warning', ServiceName: 'web', ModifyIndex: 9 },
      ...{ Output: 'slow\n  yes', Notes: '' },
    },
    { CheckID: '_service_maintenance:web-1', Status: 'critical', Notes: 'later' },
  ],
};
const SEEDS = [[usual], [good, usual], []].map((one) => JSON.stringify(one));
const MORSELS = ['{', '}', '[', ']', ',', ':', '"', '\\u0000', '\\', 'null', '"ID":', '"Checks":'];

/** What the body comes to; null where it is refused, by an error that was meant. */
export async function readAnswer<T>(path: string, input: string, decode: (body: unknown) => T) {
  const clock = new ManualClock();
  const bytes = Buffer.from(input);
  const at = bytes.length >> 1;
  const pieces = Readable([bytes.subarray(0, at), bytes.subarray(at)]);
  const body = await readJson(pieces, { bounds: boundsOf(path, 'upriver'), clock });
  if (body.fault !== null) {
    ok(['not-json', 'too-large', 'too-complex'].includes(body.fault.code), body.fault.code);
    ok(body.fault.message.length < 500, 'a long message');
    return null;
  }
  ok(body.excess.length < 500, 'a long excess');
  deepStrictEqual(typeof body.value, typeof JSON.parse(input));
  try {
    return decode(body.value);
  } catch (error) {
    if (error instanceof ConsulError) return null;
    throw error;
  }
}

async function* Readable(pieces: readonly Buffer[]): AsyncGenerator<Buffer> {
  yield* pieces;
}

/** Follows a service through these answers; what came of the last. */
function follow(answers: readonly (readonly Entry[])[]): ProvidedService | null {
  let last: Update | null = null;
  const service = new FollowedService({
    ...{ clock: new ManualClock(), log: silentLogger, source: source('web') },
    tagPrefix: 'upriver',
    onUpdate: (update) => {
      last = update;
    },
    resolve: () => Promise.reject(new Error('no names here')),
    brake: {
      random: () => 0.5,
      guard: () => ({ ...guardSettings(), enabled: false }),
      askAgain: () => Promise.reject(new Error('not asked')),
      onSecondRead: () => {},
    },
  });
  for (const entries of answers) {
    service.take({ entries, doubt: '', change: 'index 1', receivedMs: 0 });
  }
  service.close();
  const update = last as Update | null;
  return update?.kind === 'upsert' ? update.service : null;
}

function checkEndpoints({ endpoints, settings }: ProvidedService): void {
  for (const { id, address, port, weight, statusText } of endpoints) {
    ok(typeof id === 'string' && id.length <= 1100, 'an odd id');
    ok(typeof address === 'string' && address !== '', 'an odd address');
    ok(Number.isInteger(port) && port >= 1 && port <= 65_535, `port ${port}`);
    ok(Number.isFinite(weight) && weight >= 0, `weight ${weight}`);
    ok(typeof statusText === 'string' && statusText.length <= 300, 'an odd status text');
  }
  for (const value of Object.values(settings ?? {})) ok(typeof value === 'string');
}

/** A service that describes itself is served, or there is a problem that can be shown. */
function checkDescription(settings: ProvidedService['settings']): void {
  if (settings === null) return;
  const { service, problems } = describeService(source('web'), settings);
  ok(service !== null || problems.length > 0, 'neither service nor problem');
  ok(problems.length <= 101, `${problems.length} problems`);
  for (const problem of problems) ok(problem.length < 3000, 'a long problem');
  if (service !== null) {
    deepStrictEqual(service.from, onlySource(source('web')));
    deepStrictEqual(service.name, 'web');
  }
  const table = new Table(describeService);
  table.configure([]);
  table.describeSource(source('web'), settings);
  table.describeSource(source('web'), null);
  deepStrictEqual(table.get('web'), null);
}

const service: FuzzTarget = {
  name: 'consul-service',
  seeds: SEEDS,
  morsels: MORSELS,
  check: async (input) => {
    const path = '/v1/health/service/web';
    const entries = await readAnswer(path, input, (body) => listOf<Entry>(body));
    if (entries === null) return;
    const provided = follow([[good], entries]);
    if (provided !== null) checkEndpoints(provided);
    checkDescription(provided?.settings ?? null);
    // One odd instance spoils nothing for the others.
    const beside = follow([[...entries, { ...good, Service: { ...good.Service, ID: 'beside' } }]]);
    ok(
      beside?.endpoints.some(({ id }) => id === 'good/beside'),
      'a good instance is missing',
    );
  },
};

const catalog: FuzzTarget = {
  name: 'consul-catalog',
  seeds: [
    JSON.stringify({ consul: [], web: ['v1', 'upriver.listen=80'] }),
    JSON.stringify({ Node: { Node: 'n' }, Services: { 'web-1': usual.Service, a: good.Service } }),
    JSON.stringify(usual.Checks),
    JSON.stringify([{ Node: 'node-1', Address: '10.0.0.1' }]),
  ],
  morsels: MORSELS,
  check: async (input) => {
    const listing = await readAnswer('/v1/catalog/services', input, listingOf);
    for (const [name, tags] of listing ?? []) ok(typeof name + typeof tags === 'stringstring');
    await readAnswer('/v1/health/state/critical', input, checkListOf);
    await readAnswer('/v1/catalog/node/node-1', input, (body) =>
      itemsOf(body, 'upriver-', new Set()),
    );
  },
};

const tags: FuzzTarget = {
  name: 'tags',
  seeds: [
    JSON.stringify(['upriver.listen=8000', 'upriver.protocol=tcp']),
    JSON.stringify(['upriver.listen=127.0.0.1:80', 'upriver.balance=hash(header:x-user)']),
    JSON.stringify(['upriver.listen=80', 'upriver.retry.on=connect,502', 'upriver.health.path=/']),
    JSON.stringify(['upriver.listen=80', 'upriver.http.request_headers.x-a=b', 'upriver.weight=2']),
  ],
  morsels: [
    'upriver.',
    '=',
    '.',
    ',',
    '(',
    ')',
    '"',
    'http.',
    'from.',
    'limits.',
    'true',
    '%',
    's',
  ],
  check: (input) => {
    let list: unknown;
    try {
      list = JSON.parse(input);
    } catch {
      list = input.split('\n');
    }
    const entry = { Service: { ...good.Service, Tags: list } } as Entry;
    checkDescription(describeEntries([entry], { prefix: 'upriver' }).settings);
    checkEndpoints(follow([[{ ...good, ...entry }]])!);
  },
};

export const consulTargets: readonly FuzzTarget[] = [service, catalog, tags];
