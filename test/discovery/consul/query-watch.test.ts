// Services that are followed by a prepared query, of an agent that the test writes.
import { afterEach, expect, it } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import { ConsulProvider } from '../../../src/discovery/consul/provider.ts';
import { BOUNDS } from '../../../src/model/bounds.ts';
import type { ServiceSource } from '../../../src/model/source.ts';
import {
  consulDoors,
  consulSettings,
  guardSettings,
  keepingLogger,
  type Receiver,
  source,
  startSynced,
} from '../../support/discovery.ts';
import {
  type Scripted,
  type ScriptedAgent,
  startScriptedAgent,
} from '../../support/scripted-agent.ts';

const selfSettings = {
  ...{ service: 'upriver', address: '', port: 0, tags: [], tagServices: true },
  ...{ check: 'http' as const, checkIntervalMs: 5000, deregisterAfterMs: 60_000, leaveWaitMs: 0 },
};

let agents: ScriptedAgent[] = [];
let provider: ConsulProvider | null = null;
afterEach(async () => {
  await provider?.stop();
  for (const agent of agents) await agent.stop();
  agents = [];
});

const node = (id: string, Status = 'passing', Address = '10.0.0.1') => ({
  Node: { Node: 'n', Address },
  Service: { ID: id, Port: 80 },
  Checks: [{ CheckID: 'c', Status, Output: '' }],
});
const said = (Nodes: unknown, more: object = {}): Scripted => ({
  index: 1,
  body: { Service: 'web', Nodes, Datacenter: 'dc1', Failovers: 0, ...more },
});

/** An agent that answers executions one after the other, and the last one for ever. */
async function startAgent(answers: Scripted[]): Promise<ScriptedAgent> {
  const agent = await startScriptedAgent(({ path }) => {
    if (path === '/v1/status/leader') return { body: '"10.0.0.1:8300"' };
    if (!path.startsWith('/v1/query/')) return { status: 401 };
    return (answers.length > 1 ? answers.shift() : answers[0]) ?? null;
  });
  agents.push(agent);
  return agent;
}

async function follow(
  lists: Scripted[][],
  more: Partial<ServiceSource> = {},
  settings: Parameters<typeof consulSettings>[1] = {},
) {
  const urls: string[] = [];
  for (const answers of lists) urls.push((await startAgent(answers)).url);
  const { log, lines } = keepingLogger();
  provider = new ConsulProvider({
    ...consulDoors,
    guard: guardSettings,
    settings: consulSettings(urls, { queryIntervalMs: 20, selfDescribed: false, ...settings }),
    clock: systemClock,
    random: () => 0,
    log,
  });
  provider.follow([source('web', { query: 'near-web', ...more })]);
  const receiver = await startSynced(provider);
  return { receiver, lines };
}

const untilIds = (receiver: Receiver, ids: string) =>
  receiver.until(() => receiver.ids('web').join() === ids, `web is ${ids}`);
const executions = (agent = agents[0]!) =>
  agent.asked.filter(({ path }) => path === '/v1/query/near-web/execute');

it('follows instances, and names who answered when that is another', async () => {
  const far = { Datacenter: 'dc2', Failovers: 1, Service: 'web-b' };
  const { receiver, lines } = await follow(
    [[said([node('a'), node('b', 'warning')]), said([node('c')], far)]],
    { datacenter: 'east' },
    { token: 'secret' },
  );
  await untilIds(receiver, 'n/c');
  const [first, last] = [receiver.about('web')[0]!.update, receiver.last('web')!];
  if (first.kind !== 'upsert') throw new Error('removed');
  expect(first.service.endpoints.map(({ id, status }) => `${id} ${status}`)).toEqual([
    'n/a passing',
    'n/b warning',
  ]);
  expect(first.cause.text).toBe('consul: query near-web answered by dc1 (service web)');
  expect(last.cause.text).toBe(
    'consul: query near-web answered by dc2 (service web-b, failover 1)',
  );
  // The leader has said the same before they were taken out, so nothing is held.
  expect(last.service).toMatchObject({ doubt: '', isConfirmed: true });
  const asked = executions();
  expect(asked.some(({ query }) => query.has('consistent') && !query.has('stale'))).toBe(true);
  expect(asked.every(({ query }) => query.get('dc') === 'east' && !query.has('index'))).toBe(true);
  expect(asked.every(({ token }) => token === 'secret')).toBe(true);
  await receiver.until(
    () => JSON.stringify(lines).includes('another answers the prepared query'),
    'the log',
  );
});

it('believes no answer without instances before it comes twice in a row', async () => {
  const { receiver } = await follow([
    [said([node('a')]), said([]), said([node('a')]), said(null), said([])],
  ]);
  await untilIds(receiver, '');
  expect(receiver.all).toHaveLength(2);
  expect(executions().length).toBeGreaterThanOrEqual(5);
  expect(receiver.last('web')!.service).toMatchObject({ doubt: '', isConfirmed: true });
});

it('keeps what was known over errors, and asks the next agent', async () => {
  const good = said([node('a')]);
  const { receiver } = await follow([
    // A 500 alone is no reason to ask another agent; what is no answer is.
    [good, { status: 500, body: 'rpc error' }, { index: 1, body: [] }],
    [said('many'), good],
  ]);
  await agents[0]!.askedTimes(4);
  await agents[1]!.askedTimes(1);
  expect(provider!.status().errors).toBeGreaterThanOrEqual(2);
  expect(receiver.ids('web')).toEqual(['n/a']);
  expect(receiver.all).toHaveLength(1);
});

it('names a query that is not there, keeps what it said, and finds it again', async () => {
  const gone = { status: 404, body: 'Query not found' };
  const { receiver } = await follow([
    [said([node('a')]), gone, gone, said([node('a'), node('b')])],
  ]);
  await untilIds(receiver, 'n/a,n/b');
  const [, lost, back] = receiver.about('web').map(({ update }) => update);
  if (lost?.kind !== 'upsert' || back?.kind !== 'upsert') throw new Error('removed');
  const problem = "Consul has no prepared query 'near-web'";
  expect(lost.service).toMatchObject({ problems: [problem], doubt: problem });
  expect(lost.service.endpoints.map(({ id }) => id)).toEqual(['n/a']);
  expect(back.service.problems).toBeUndefined();
});

it('is settled without a query, with the problem', async () => {
  const { receiver } = await follow([[{ status: 404, body: 'Query not found' }]]);
  const { endpoints, problems } = receiver.last('web')!.service;
  expect([endpoints, problems]).toEqual([[], ["Consul has no prepared query 'near-web'"]]);
  expect(provider!.status().lastError).toContain('404');
});

it('asks by the DNS TTL where the query has one, a second at least', async () => {
  const { receiver } = await follow([[said([node('a')], { DNS: { TTL: '10ms' } })]]);
  // The first is about the token.
  await agents[0]!.askedTimes(3);
  const [first, second] = executions();
  expect(second!.atMs - first!.atMs).toBeGreaterThan(950);
  expect(receiver.ids('web')).toEqual(['n/a']);
});

it('makes nothing of another order, in which Consul gives each answer', async () => {
  const unfit = (id: string) => ({ ...node(id), Service: { ID: id, Port: 0 } });
  const all = [node('a'), unfit('b'), unfit('c')];
  const { receiver } = await follow([[said(all), said([...all].reverse())]]);
  await agents[0]!.askedTimes(6);
  expect(receiver.all).toHaveLength(1);
  expect(receiver.last('web')!.service.problems).toHaveLength(2);
});

it('takes no more instances than of the catalog', async () => {
  const many = Array.from({ length: BOUNDS.consulInstances.max + 1 }, () => 0);
  const { receiver } = await follow([
    [said([node('a')]), said(many), said([node('a'), node('b')])],
  ]);
  await untilIds(receiver, 'n/a,n/b');
  expect(provider!.status().errors).toBe(1);
});

it('says of a name that would be another path that it can not be asked for', async () => {
  const { receiver } = await follow([[said([])]], { query: '../kv' });
  expect(receiver.last('web')!.service.problems).toEqual([
    "Consul can't be asked for the query '../kv': its path would be another",
  ]);
  expect(agents[0]!.asked.filter(({ path }) => path !== '/v1/acl/token/self')).toEqual([]);
});

it('takes nothing from the fleet that this process is one of: that would lead in a circle', async () => {
  const registerSelf = { ...selfSettings, service: 'edge' };
  const [circle, good] = [said([node('e')], { Service: 'edge' }), said([node('a')])];
  const answers = [[circle, good, circle], [said([node('x')])]];
  const { receiver, lines } = await follow(answers, {}, { registerSelf });
  const why =
    "query near-web leads to 'edge', the name under which this process registers itself: that is a circle";
  await receiver.until(() => receiver.about('web').length >= 3, 'all three');
  const updates = receiver.about('web').map(({ update }) => {
    if (update.kind !== 'upsert') throw new Error('removed');
    const { endpoints, problems = [] } = update.service;
    return `${endpoints.map(({ id }) => id)} ${problems}`;
  });
  // What was known before stays where a query turns into a circle.
  expect(updates.slice(0, 3)).toEqual([` ${why}`, 'n/a ', `n/a ${why}`]);
  expect(JSON.stringify(lines)).toContain(why);
  // No other agent would know better.
  expect(agents[1]!.asked).toEqual([]);
});

it('takes a service of the name of a fleet that this process is not one of', async () => {
  const { receiver } = await follow([[said([node('e')], { Service: 'edge' })]]);
  await untilIds(receiver, 'n/e');
});
