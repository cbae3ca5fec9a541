// A provider in the place of another, as a reload puts it: it goes on from where that one was.
import { afterEach, describe, expect, it } from 'vitest';
import { EtcdProvider } from '../../../src/discovery/etcd/provider.ts';
import { ManualClock } from '../../support/clock.ts';
import { etcdSettings, keepingLogger, Receiver } from '../../support/discovery.ts';
import { etcdSource } from '../../support/etcd-provider.ts';
import { type Reply, type Script, Stream, scriptEtcd } from '../../support/scripted-etcd.ts';

/** What the members say of themselves. */
interface State {
  readonly index: number;
  readonly cluster: string;
  readonly term: string;
}

const BEFORE: State = { index: 10, cluster: '77', term: '2' };
const SOURCE = etcdSource('web');

function listV2({ index, cluster, term }: State): Reply {
  const head = { 'x-etcd-index': `${index}`, 'x-etcd-cluster-id': cluster, 'x-raft-term': term };
  const node = { key: '/backends', dir: true, nodes: [] };
  return { headers: head, body: { action: 'get', node } };
}

function listV3({ index, cluster }: State): Reply {
  const header = { cluster_id: cluster, member_id: '1', revision: `${index}` };
  return { body: { header, kvs: [], count: '0' } };
}

let running: EtcdProvider[] = [];
afterEach(() => {
  for (const provider of running) void provider.stop();
  running = [];
});

/** `state`: what lists answer; null: nothing. */
async function follow(api: 'v2' | 'v3', state: State | null, before: EtcdProvider | null = null) {
  const clock = new ManualClock();
  const script: Script = ({ path, query }) => {
    if (state === null || query.has('wait')) return null;
    if (path === '/v3/watch') return { stream: new Stream() };
    return path.startsWith('/v3/') ? listV3(state) : listV2(state);
  };
  const { open } = scriptEtcd(script);
  const resolve = () => Promise.reject(new Error('no names here'));
  const settings = etcdSettings('http://a:2379', { api });
  const { log } = keepingLogger();
  const provider = new EtcdProvider({ settings, clock, random: () => 0.5, log, open, resolve });
  running.push(provider);
  const receiver = new Receiver();
  provider.follow([SOURCE]);
  provider.inherit([SOURCE], before);
  provider.start(receiver.take);
  for (let i = 0; i < 5; i += 1) await new Promise((done) => setImmediate(done));
  return { provider, doubt: () => receiver.last('web')?.service.doubt };
}

describe.each(['v2', 'v3'] as const)('a provider of %s in the place of another', (api) => {
  it('believes a list that goes on from there', async () => {
    const { provider } = await follow(api, BEFORE);
    const next = await follow(api, { ...BEFORE, index: 12 }, provider);
    expect(next.doubt()).toBe('');
    expect(next.provider.status().isInDoubt).toBe(false);
  });

  it.each([
    ['another cluster', { ...BEFORE, cluster: '78' }, 'another cluster answers'],
    ['an older state', { ...BEFORE, index: 4 }, /10 -> 4 went backwards/],
  ])('doubts the list of %s', async (_, state, doubt) => {
    const { provider } = await follow(api, BEFORE);
    const next = await follow(api, state, provider);
    expect(next.doubt()).toMatch(doubt);
    expect(next.provider.status().isInDoubt).toBe(true);
  });

  it('goes on from the one before that, where that one had no list', async () => {
    const { provider } = await follow(api, BEFORE);
    const silent = await follow(api, null, provider);
    expect(silent.doubt()).toBeUndefined();
    const next = await follow(api, { ...BEFORE, cluster: '78' }, silent.provider);
    expect(next.doubt()).toBe('another cluster answers');
  });
});

it('a provider of v2 doubts a list of another leader, without whom nothing was renewed', async () => {
  const { provider } = await follow('v2', BEFORE);
  const next = await follow('v2', { ...BEFORE, term: '3', index: 14 }, provider);
  expect(next.doubt()).toBe('etcd has another leader');
});
