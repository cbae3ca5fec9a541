// The watch loop of v2 against members that do what real ones hardly can be made to do.
import { afterEach, describe, expect, it } from 'vitest';
import { EtcdClient } from '../../../src/discovery/etcd/client.ts';
import type { EtcdError } from '../../../src/discovery/etcd/error.ts';
import { Stock } from '../../../src/discovery/etcd/stock.ts';
import { V2Watch } from '../../../src/discovery/etcd/v2-watch.ts';
import type { Listing, Step, WatchEvents } from '../../../src/discovery/etcd/watch.ts';
import { ManualClock } from '../../support/clock.ts';
import { etcdSettings } from '../../support/discovery.ts';
import {
  type Asked,
  type Reply,
  type Script,
  Stream,
  scriptEtcd,
} from '../../support/scripted-etcd.ts';

const at = (index: number, cluster = 'c1') => ({
  'x-etcd-index': String(index),
  'x-etcd-cluster-id': cluster,
});
const node = (key: string, index: number, value = '10.0.0.1:80') => ({
  ...{ key: `/backends/${key}`, value, modifiedIndex: index, createdIndex: index },
});
const dir = (key: string, index: number, ...nodes: unknown[]) => ({
  ...{ key: `/backends${key}`, dir: true, nodes, modifiedIndex: index, createdIndex: index },
});
const list = (index: number, ...keys: string[]): Reply => ({
  headers: at(index),
  body: { action: 'get', node: dir('', 1, dir('/web', 2, ...keys.map((key) => node(key, 3)))) },
});
const event = (action: string, one: object, index: number): Reply => ({
  headers: at(index - 1),
  body: { action, node: { ...one, modifiedIndex: index } },
});
const missing: Reply = {
  status: 404,
  headers: at(3),
  body: { errorCode: 100, message: 'Key not found', cause: '/backends', index: 3 },
};

const START_DOUBT = 'etcd may have had no leader shortly before the first answer';

interface Running {
  readonly asked: readonly Asked[];
  readonly listings: Listing[];
  readonly steps: Step[];
  readonly errors: string[];
  readonly stock: Stock;
  pass(ms: number): Promise<void>;
  readonly waits: () => (string | null)[];
  readonly keys: () => string[];
}

let running: V2Watch | null = null;
afterEach(() => running?.stop());

async function follow(script: Script): Promise<Running> {
  const clock = new ManualClock();
  const { open, asked } = scriptEtcd(script);
  const settings = etcdSettings(['http://a:4001', 'http://b:4001'], { username: 'u' });
  const client = new EtcdClient({ settings, clock, open, password: () => 'p' });
  const listings: Listing[] = [];
  const steps: Step[] = [];
  const errors: string[] = [];
  const stock = new Stock({ layout: 'backends', tagPrefix: 'upriver' });
  let known: string[] = [];
  const receiver: WatchEvents = {
    onListing: (api, listing) => {
      listings.push(listing);
      stock.reset(api, listing.entries, listing.dirs);
      known = [...listing.entries.keys()];
    },
    onStep: (api, step) => {
      steps.push(step);
      const lost = [...step.removals, ...step.lostDirs.flatMap((one) => stock.clearDir(one))];
      stock.remove(api, lost);
      for (const [key, entry] of step.puts) stock.put(api, key, entry);
      for (const [path, created] of step.dirs) stock.noteDirs(path, created);
      known = [...known.filter((key) => !lost.includes(key)), ...step.puts.keys()];
    },
    onAnswer: () => {},
    onEnd: () => {},
    onError: (_, error: EtcdError) => void errors.push(`${error.code}: ${error.message}`),
    count: (api) => stock.count(api),
  };
  running = new V2Watch({ client, clock, random: () => 0.5, prefix: '/backends' }, receiver);
  running.start();
  const pass = async (ms: number): Promise<void> => {
    for (let now = 0; now <= ms; now += 10) {
      clock.advance(now === 0 ? 0 : 10);
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  await pass(50);
  const waits = () => asked.map(({ query }) => query.get('waitIndex')).filter((one) => one);
  const keys = () => [...new Set(known)].sort();
  return { asked, listings, steps, errors, stock, pass, waits, keys };
}

/** Answers lists with `listed`, and waits one after the other; then it hangs. */
function script(listed: () => Reply, ...events: (Reply | Error)[]): Script {
  return ({ query }) => (query.has('wait') ? (events.shift() ?? null) : listed());
}

describe('the watch of v2', () => {
  it("begins behind the index of the quorum's list, and goes from event to event", async () => {
    const one = await follow(
      script(
        () => list(10, 'web/a'),
        event('set', node('web/b', 11), 11),
        event('update', node('web/a', 14, '10.0.0.9:80'), 14),
        event('expire', { key: '/backends/web/b', createdIndex: 11 }, 15),
      ),
    );
    expect(one.asked[0]?.path).toBe('/v2/keys/backends');
    expect(one.asked[0]?.query.get('quorum')).toBe('true');
    expect(one.asked[0]?.headers.authorization).toBe(`Basic ${btoa('u:p')}`);
    expect(one.waits()).toEqual(['11', '12', '15', '16']);
    expect(one.keys()).toEqual(['web/a']);
    expect(one.steps.map(({ isMeant }) => isMeant)).toEqual([null, null, false]);
    expect(one.steps.at(-1)?.change).toBe('index 14 -> 15');
  });

  it('waits for a directory that is not there yet, from the index of that answer', async () => {
    const one = await follow(script(() => missing, event('set', node('web/a', 4), 4)));
    expect(one.listings[0]).toMatchObject({ doubt: '', change: 'index 3' });
    expect(one.waits()).toEqual(['4', '5']);
    expect(one.keys()).toEqual(['web/a']);
  });

  it('takes directories that come and go, with all that is in them', async () => {
    const one = await follow(
      script(
        () => list(10, 'web/a', 'web/b'),
        event('set', { key: '/backends/api', dir: true, createdIndex: 11 }, 11),
        event('set', node('api/v1/x', 12), 12),
        event('delete', { key: '/backends/web', dir: true }, 13),
      ),
    );
    expect(one.keys()).toEqual(['api/v1/x']);
    expect(one.stock.orderOf('api')).toBe(11);
    expect(one.steps.at(-1)).toMatchObject({ lostDirs: ['web'], isMeant: true });
  });

  it.each(['/backends', '/'])('is empty when %s is deleted', async (key) => {
    const gone = event('delete', { key, dir: true }, 11);
    const one = await follow(script(() => list(10, 'web/a'), gone));
    expect(one.keys()).toEqual([]);
  });

  it('lists anew where the history does not go back so far, and calls that no failure', async () => {
    const lost = {
      errorCode: 401,
      message: 'The event in requested index is outdated',
      index: 2000,
    };
    let now = list(10, 'web/a');
    const one = await follow(({ query }) => {
      if (!query.has('wait')) return now;
      if (query.get('waitIndex') !== '11') return null;
      now = list(2000, 'web/b');
      return { status: 400, headers: at(2000), body: lost };
    });
    expect(one.keys()).toEqual(['web/b']);
    expect(one.waits()).toEqual(['11', '2001']);
    expect(one.errors).toEqual([]);
  });

  it('does not list without end where each history is too short', async () => {
    const lost = { status: 400, headers: at(20), body: { errorCode: 401, message: 'outdated' } };
    const one = await follow(({ query }) => (query.has('wait') ? lost : list(10, 'web/a')));
    await one.pass(20_000);
    expect(one.listings.length).toBeLessThan(15);
  });

  it('follows keys that change without a pause at a pace, and loses none', async () => {
    const last = 2000;
    const one = await follow(({ query }) => {
      const next = Number(query.get('waitIndex'));
      if (!query.has('wait')) return list(10, 'web/a');
      return next <= last ? event('set', node('web/b', next), next) : null;
    });
    await one.pass(1000);
    expect(one.steps.length).toBeGreaterThan(1000);
    expect(one.steps.length).toBeLessThan(1300);
    await one.pass(4000);
    expect(one.steps.at(-1)?.change).toBe('index 1999 -> 2000');
    expect(one.steps).toHaveLength(last - 10);
    expect(one.listings).toHaveLength(1);
  });

  it('lists for a tenth of the time where a history is lost again and again', async () => {
    const lost = { status: 400, headers: at(20), body: { errorCode: 401, message: 'outdated' } };
    const slow: Stream[] = [];
    const one = await follow(({ query }) => {
      const next = Number(query.get('waitIndex'));
      if (query.has('wait')) return next === 11 ? event('set', node('web/b', 11), 11) : lost;
      slow.push(new Stream());
      return { headers: at(10), stream: slow.at(-1)! };
    });
    const body = JSON.stringify(list(10, 'web/a').body);
    await one.pass(200);
    slow[0]!.write(body).end();
    await one.pass(2000);
    expect(one.listings).toHaveLength(1);
    expect(slow).toHaveLength(1);
    await one.pass(300);
    expect(slow).toHaveLength(2);
    expect(one.errors).toEqual([]);
  });

  it('lists anew from time to time, since a member may be silent', async () => {
    let now = list(10, 'web/a');
    const one = await follow(({ query }) => (query.has('wait') ? null : now));
    now = list(12, 'web/b');
    await one.pass(25_100);
    expect(one.keys()).toEqual(['web/b']);
    expect(one.errors).toEqual([]);
    expect(one.listings).toHaveLength(2);
  });

  it('doubts what expires under a new leader: without one nobody could renew it', async () => {
    let term = '2';
    let isElected = false;
    const expired = event('expire', { key: '/backends/web/a', createdIndex: 3 }, 11);
    const one = await follow(({ query }) => {
      const headers = { ...at(10), 'x-raft-term': term };
      // The head of a wait is of the time when it began.
      if (query.has('wait')) return isElected ? { ...expired, headers } : null;
      return { ...list(10, 'web/a', 'web/b'), headers };
    });
    await one.pass(31_000);
    isElected = true;
    await one.pass(25_000);
    expect(one.steps.map(({ doubt }) => doubt)[0]).toBe('');
    term = '3';
    await one.pass(25_000);
    const doubts = [...one.steps, ...one.listings].map(({ doubt }) => doubt);
    expect(doubts).toContain('etcd has another leader');
  });

  it.each([
    ['was last written before the start', 3, START_DOUBT],
    ['was written since', 11, ''],
  ])('soon after the start, expires a key that %s', async (_, created, doubt) => {
    const headers = { ...at(10), 'x-raft-term': '2' };
    const waits = [
      event('set', node('web/a', 11), 11),
      event('expire', { key: '/backends/web/a', createdIndex: created }, 12),
    ];
    const one = await follow(({ query }) =>
      query.has('wait') ? (waits.shift() ?? null) : { ...list(10, 'web/a'), headers },
    );
    expect(one.steps.map((step) => step.doubt)).toEqual(['', doubt]);
  });

  it.each([
    [0, ''],
    [-4, 'etcd was without a leader: keys are overdue'],
  ])('says of a list with a key that has %i s left: "%s"', async (ttl, doubt) => {
    const tree = dir('', 1, dir('/web', 2, { ...node('web/a', 3), ttl }));
    const one = await follow(
      script(() => ({ headers: at(10), body: { action: 'get', node: tree } })),
    );
    expect(one.listings[0]?.doubt).toBe(doubt);
    expect(one.keys()).toEqual(['web/a']);
  });

  it('asks for the term before a key is taken for gone by itself, and for no other event', async () => {
    const headers = { ...at(10), 'x-raft-term': '2' };
    const waits = [
      event('set', node('web/c', 11), 11),
      event('delete', { key: '/backends/web/c', createdIndex: 11 }, 12),
      null,
      event('expire', { key: '/backends/web/a', createdIndex: 3 }, 13),
      event('expire', { key: '/backends/web/b', createdIndex: 3 }, 14),
    ];
    const one = await follow(({ path, query }) => {
      if (path === '/v2/keys/') {
        return { headers: { ...at(14), 'x-raft-term': '5' }, body: { action: 'get', node: {} } };
      }
      return query.has('wait')
        ? (waits.shift() ?? null)
        : { ...list(10, 'web/a', 'web/b'), headers };
    });
    await one.pass(31_000);
    const looks = one.asked.filter(({ path }) => path === '/v2/keys/');
    expect(looks).toHaveLength(1);
    const doubts = one.steps.map(({ doubt }) => doubt);
    expect(doubts).toEqual(['', '', 'etcd has another leader', START_DOUBT]);
  });

  it.each([
    ['an index that fell', { ...list(4, 'web/a') }, 'index 10 -> 4 went backwards'],
    ['another cluster', { ...list(40, 'web/a'), headers: at(40, 'c2') }, 'another cluster answers'],
  ])('doubts %s', async (_, answer, doubt) => {
    let now = list(10, 'web/a', 'web/b');
    const one = await follow(script(() => now, new Error('reset'), new Error('reset')));
    now = answer;
    await one.pass(4000);
    expect(one.listings.some((listing) => listing.doubt === doubt)).toBe(true);
  });

  it.each([
    ['nothing', { headers: at(10), body: '' }, 'not-json'],
    ['half an event', { headers: at(10), body: '{"action":"set","node":{"ke' }, 'not-json'],
    ['no event', { headers: at(10), body: {} }, 'not-an-event'],
    ['an event that was there before', event('set', node('web/x', 9), 9), 'index'],
    [
      'another cluster',
      { headers: at(10, 'c2'), body: event('set', node('web/x', 11), 11).body },
      'cluster',
    ],
    [
      'an error',
      { status: 500, body: { errorCode: 300, message: 'Raft Internal Error' } },
      'http-500',
    ],
    ['a page of a proxy', { status: 502, body: '<html>' }, 'http-502'],
    ['a broken connection', new Error('reset'), 'failed'],
  ])('goes to the next member where a wait is answered with %s', async (_, reply, code) => {
    const one = await follow(script(() => list(10, 'web/a'), reply));
    await one.pass(300);
    expect(one.errors).toHaveLength(1);
    expect(one.errors[0]).toMatch(new RegExp(`^${code}: `));
    expect(one.asked.at(-1)?.address).toBe('http://b:4001');
    expect(one.keys()).toEqual(['web/a']);
  });

  it('goes on at the next member from the same index, and lists a little later', async () => {
    const next = event('set', node('web/b', 12), 12);
    let isElecting = false;
    const waits = [new Error('reset'), next];
    const one = await follow(({ query }) => {
      if (query.has('wait')) {
        isElecting = true;
        return waits.shift() ?? null;
      }
      // While the members elect a leader a list is answered by none.
      return isElecting ? null : list(10, 'web/a');
    });
    await one.pass(200);
    expect(one.keys()).toEqual(['web/a', 'web/b']);
    expect(one.waits()).toEqual(['11', '11', '13']);
    expect(one.listings).toHaveLength(1);
    isElecting = false;
    await one.pass(2500);
    expect(one.listings).toHaveLength(2);
    expect(one.errors).toEqual(['failed: reset']);
  });

  it('says what to do where there is no v2 API', async () => {
    const one = await follow(() => ({ status: 404, body: '404 page not found\n' }));
    expect(one.errors[0]).toMatch(/^no-api: has no v2 API .*--enable-v2/);
  });

  it('stays with what it had where keys are too many', async () => {
    // Bounds: etcdKeys
    const many = Array.from({ length: 50_001 }, (_, i) => `web/${i}`);
    const lists = [list(10, 'web/a')];
    const one = await follow(script(() => lists.shift() ?? list(20, ...many), new Error('reset')));
    await one.pass(2500);
    expect(one.errors.at(-1)).toContain('too-large: more keys and directories than are taken');
    expect(one.keys()).toEqual(['web/a']);
  });
});
