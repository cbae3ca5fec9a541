// The watch loop of v3 against members that do what real ones hardly can be made to do.
import { afterEach, describe, expect, it } from 'vitest';
import { EtcdClient } from '../../../src/discovery/etcd/client.ts';
import type { EtcdError } from '../../../src/discovery/etcd/error.ts';
import { V3Watch } from '../../../src/discovery/etcd/v3-watch.ts';
import type { Listing, Step, WatchEvents } from '../../../src/discovery/etcd/watch.ts';
import type { EtcdSettings } from '../../../src/model/registries/etcd.ts';
import { ManualClock } from '../../support/clock.ts';
import { etcdSettings } from '../../support/discovery.ts';
import { b64, created, events, header, kv, listed } from '../../support/etcd-v3-messages.ts';
import {
  type Asked,
  type Reply,
  type Script,
  Stream,
  scriptEtcd,
} from '../../support/scripted-etcd.ts';

const put = (key: string, revision: number) => ({ kv: kv(key, revision) });
const gone = (key: string, revision: number) => ({
  type: 'DELETE',
  kv: { key: b64(`/backends/${key}`), mod_revision: String(revision) },
});
const list = (revision: number, keys: readonly string[], cluster?: string): Reply => ({
  body: listed(revision, keys, cluster),
});

interface Running {
  readonly clock: ManualClock;
  readonly asked: readonly Asked[];
  readonly listings: Listing[];
  readonly steps: Step[];
  readonly errors: string[];
  /** Lets `ms` pass, bit by bit, with everything that follows. */
  pass(ms: number): Promise<void>;
  readonly watches: () => Asked[];
  readonly keys: () => string[];
}

let running: V3Watch | null = null;
afterEach(() => running?.stop());

async function follow(
  script: Script,
  settings: Partial<EtcdSettings> & { readonly members?: readonly string[] } = {},
): Promise<Running> {
  const { members = ['http://a:2379', 'http://b:2379'], ...more } = settings;
  const clock = new ManualClock();
  const { open, asked } = scriptEtcd(script);
  const password = () => 'secret';
  const client = new EtcdClient({ settings: etcdSettings(members, more), clock, open, password });
  const listings: Listing[] = [];
  const steps: Step[] = [];
  const errors: string[] = [];
  const known = new Set<string>();
  const receiver: WatchEvents = {
    onListing: (_, listing) => {
      listings.push(listing);
      known.clear();
      for (const key of listing.entries.keys()) known.add(key);
    },
    onStep: (_, step) => {
      steps.push(step);
      for (const key of step.removals) known.delete(key);
      for (const key of step.puts.keys()) known.add(key);
    },
    onAnswer: () => {},
    onEnd: () => {},
    onError: (_, error: EtcdError) => void errors.push(`${error.code}: ${error.message}`),
    count: () => known.size,
  };
  running = new V3Watch({ client, clock, random: () => 0.5, prefix: '/backends' }, receiver);
  running.start();
  const pass = async (ms: number): Promise<void> => {
    for (let at = 0; at <= ms; at += 10) {
      clock.advance(at === 0 ? 0 : 10);
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  await pass(20);
  const watches = () => asked.filter(({ path }) => path === '/v3/watch');
  return { clock, asked, listings, steps, errors, pass, watches, keys: () => [...known].sort() };
}

interface Range {
  readonly min_mod_revision?: string;
  readonly revision?: string;
  readonly key: string;
}
const rangeOf = ({ body }: Asked) => body as Range;
const isLook = (asked: Asked) => rangeOf(asked).min_mod_revision !== undefined;
const startOf = ({ body }: Asked) =>
  (body as { create_request: { start_revision: string } }).create_request.start_revision;

describe('the watch of v3', () => {
  it('reads keys that change without a pause at a pace, and does not call that silence', async () => {
    const stream = new Stream().send(created(10));
    let last = 10;
    const change = (count: number): void => {
      for (let i = 0; i < count; i += 1) {
        last += 1;
        stream.send(events(last, put('web/b', last)));
      }
    };
    const one = await follow((asked) => {
      if (asked.path === '/v3/watch') return { stream };
      const now = { body: { header: header(last), kvs: [kv('web/b', last)], count: '2' } };
      return isLook(asked) ? now : list(10, ['web/a']);
    });
    await one.pass(12_300);
    change(9000);
    await one.pass(1000);
    expect(one.steps.length).toBeGreaterThan(2500);
    expect(one.steps.length).toBeLessThan(5200);
    // It was looked at, and has not seen all two seconds later.
    await one.pass(1600);
    expect(one.asked.some(isLook)).toBe(true);
    await one.pass(3000);
    expect(one.errors).toEqual([]);
    expect(one.steps).toHaveLength(9000);
    expect(one.listings).toHaveLength(1);
  });

  it('begins behind the list, and follows what comes', async () => {
    const stream = new Stream().send(created(10));
    const one = await follow(({ path }) =>
      path === '/v3/watch' ? { stream } : list(10, ['web/a', 'web/b']),
    );
    expect(one.keys()).toEqual(['web/a', 'web/b']);
    expect(one.watches().map(startOf)).toEqual(['11']);
    expect(one.watches()[0]?.headers['grpc-metadata-hasleader']).toBe('true');
    stream.send(events(12, put('web/c', 11), gone('web/a', 12)));
    // What came and went within one message.
    stream.send(events(14, put('web/d', 13), gone('web/d', 14)));
    await one.pass(10);
    expect(one.keys()).toEqual(['web/b', 'web/c']);
    expect(one.steps.map(({ change }) => change)).toEqual([
      'revision 10 -> 12',
      'revision 12 -> 14',
    ]);
  });

  it('reads messages however they are cut into pieces', async () => {
    const stream = new Stream().send(created(1));
    const one = await follow(({ path }) => (path === '/v3/watch' ? { stream } : list(1, [])));
    const text = `${JSON.stringify(events(2, put('web/a', 2)))}\n\n${JSON.stringify(
      events(3, put('web/b', 3)),
    )}\n`;
    for (const byte of text) stream.write(byte);
    await one.pass(50);
    expect(one.keys()).toEqual(['web/a', 'web/b']);
  });

  it('lists in pages of one revision', async () => {
    const names = Array.from({ length: 2500 }, (_, i) => `web/${String(i).padStart(4, '0')}`);
    const stream = new Stream().send(created(5000));
    const one = await follow((asked) => {
      if (asked.path === '/v3/watch') return { stream };
      const last = Buffer.from(rangeOf(asked).key, 'base64').toString().replace('\0', '');
      const at = rangeOf(asked).revision === undefined ? 0 : names.indexOf(last.slice(10)) + 1;
      const kvs = names.slice(at, at + 1000).map((name) => kv(name, 7));
      const more = at + 1000 < names.length;
      return { body: { header: header(at === 0 ? 5000 : 5100), kvs, more, count: '2500' } };
    });
    expect(one.keys()).toHaveLength(2500);
    const pinned = one.asked.slice(1, 3).map((asked) => rangeOf(asked).revision);
    expect(pinned).toEqual(['5000', '5000']);
    expect(one.watches().map(startOf)).toEqual(['5001']);
  });

  it('goes on behind the last event after a break, at the next member', async () => {
    const first = new Stream().send(created(10));
    const second = new Stream().send(created(12));
    const streams = [first, second];
    const one = await follow((asked) => {
      if (asked.path === '/v3/watch') return { stream: streams.shift()! };
      return isLook(asked) ? list(12, []) : list(10, ['web/a']);
    });
    first.send(events(11, put('web/b', 11)));
    // Cut within a message: only what was whole counts.
    first.write(JSON.stringify(events(12, put('web/c', 12))).slice(0, 80)).end();
    await one.pass(500);
    expect(one.watches().map(({ address }) => address)).toEqual(['http://a:2379', 'http://b:2379']);
    expect(one.watches().map(startOf)).toEqual(['11', '12']);
    // It comes again, as what it is: the first time.
    second.send(events(12, put('web/c', 12)));
    await one.pass(10);
    expect(one.keys()).toEqual(['web/a', 'web/b', 'web/c']);
    expect(one.steps).toHaveLength(2);
    expect(one.listings).toHaveLength(1);
    expect(one.errors).toEqual(['ended: the watch ended']);
  });

  it('leaves a member that says nothing of the watch it was asked for', async () => {
    const streams = [new Stream(), new Stream().send(created(10))];
    const one = await follow(({ path }) =>
      path === '/v3/watch' ? { stream: streams.shift()! } : list(10, []),
    );
    await one.pass(16_000);
    expect(one.errors).toEqual(['silent: the watch was never opened']);
    expect(one.watches().at(-1)?.address).toBe('http://b:2379');
  });

  it('ends a list that has no end', async () => {
    const page = { header: header(10), kvs: [kv('web/a', 3)], more: true, count: '1' };
    let isBad = true;
    const kvs = Array.from({ length: 1000 }, (_, i) => kv(`web/${i}`, 3));
    const one = await follow(({ path }) => {
      if (path === '/v3/watch') return { stream: new Stream().send(created(10)) };
      return isBad ? { body: { ...page, kvs } } : list(10, ['web/a']);
    });
    await one.pass(1000);
    expect(one.errors[0]).toContain('too-large');
    isBad = false;
    await one.pass(10_000);
    expect(one.keys()).toEqual(['web/a']);
  });

  it('goes from page to page by the bytes of keys, that may be no text', async () => {
    const key = Buffer.concat([Buffer.from('/backends/web/'), Buffer.of(0xff)]).toString('base64');
    const behindIt = Buffer.concat([Buffer.from(key, 'base64'), Buffer.of(0)]).toString('base64');
    const one = await follow((asked) => {
      if (asked.path === '/v3/watch') return { stream: new Stream().send(created(10)) };
      if (isLook(asked)) return { body: { header: header(10), count: '2' } };
      const isSecond = rangeOf(asked).key === behindIt;
      const odd = { ...kv('web/x', 3), key };
      const kvs = isSecond ? [kv('web/z', 4)] : [odd];
      return { body: { header: header(10), kvs, more: !isSecond, count: '2' } };
    });
    expect(one.keys()).toHaveLength(2);
    await one.pass(40_000);
    expect(one.errors).toEqual([]);
  });

  it('takes no event twice', async () => {
    const stream = new Stream().send(created(10));
    const one = await follow(({ path }) => (path === '/v3/watch' ? { stream } : list(10, [])));
    stream.send(events(11, put('web/a', 11))).send(events(11, put('web/a', 11)));
    stream.send(events(12, put('web/a', 11), gone('web/a', 12)));
    await one.pass(10);
    expect(one.steps).toHaveLength(2);
    expect(one.keys()).toEqual([]);
  });

  it('lists anew where what came since has been compacted, and calls that no failure', async () => {
    const [first, second] = [new Stream().send(created(10)), new Stream().send(created(30))];
    const streams = [
      first,
      // The stream stays open, and is silent.
      new Stream().send({ result: { header: header(30), compact_revision: '25', canceled: true } }),
      second,
    ];
    let now = list(10, ['web/a']);
    const one = await follow(({ path }) =>
      path === '/v3/watch' ? { stream: streams.shift()! } : now,
    );
    now = list(30, ['web/b']);
    first.end(new Error('cut'));
    await one.pass(1000);
    expect(one.keys()).toEqual(['web/b']);
    expect(one.watches().map(startOf)).toEqual(['11', '11', '31']);
    expect(one.listings.at(-1)).toMatchObject({ doubt: '', change: 'revision 10 -> 30' });
    expect(one.errors).toEqual(['failed: cut']);
  });

  it.each([
    ['an older revision', list(4, ['web/a']), 'revision 10 -> 4 went backwards'],
    ['another cluster', list(40, ['web/a'], '78'), 'another cluster answers'],
  ])('doubts %s, and does not wait for its future', async (_, answer, doubt) => {
    const first = new Stream().send(created(10));
    const streams = [first, new Stream(), new Stream()];
    let now = list(10, ['web/a', 'web/b']);
    const one = await follow(({ path }) =>
      path === '/v3/watch' ? { stream: streams.shift()! } : now,
    );
    now = answer;
    first.end();
    await one.pass(500);
    expect(one.listings).toHaveLength(2);
    expect(one.listings.at(-1)?.doubt).toBe(doubt);
    expect(one.keys()).toEqual(['web/a']);
  });

  it('ends a watch that another cluster answers', async () => {
    const streams = [new Stream().send(created(10, '78')), new Stream().send(created(10))];
    const one = await follow(({ path }) =>
      path === '/v3/watch' ? { stream: streams.shift()! } : list(10, []),
    );
    await one.pass(500);
    expect(one.errors).toEqual(['cluster: another cluster answers']);
    expect(one.listings).toHaveLength(2);
  });

  it('finds out a watch that is silent about a key that was written', async () => {
    const streams = [new Stream().send(created(10)), new Stream().send(created(20))];
    let isLost = false;
    const one = await follow((asked) => {
      if (asked.path === '/v3/watch') return { stream: streams.shift()! };
      const changed = { header: header(20), kvs: [kv('web/a', 20)], count: '1' };
      if (isLost && isLook(asked)) return { body: changed };
      return isLost ? list(20, ['web/a']) : list(10, ['web/a']);
    });
    await one.pass(14_000);
    isLost = true;
    // The look, and the time that the watch has to deliver.
    await one.pass(18_000);
    expect(one.errors).toEqual(['silent: the watch is silent about keys that have changed']);
    expect(one.listings).toHaveLength(2);
  });

  it('finds out a watch that is silent about a key that went', async () => {
    const streams = [new Stream().send(created(10)), new Stream().send(created(20))];
    let isLost = false;
    const one = await follow(({ path }) => {
      if (path === '/v3/watch') return { stream: streams.shift()! };
      return isLost ? list(20, ['web/a']) : list(10, ['web/a', 'web/b']);
    });
    isLost = true;
    await one.pass(18_000);
    expect(one.errors).toEqual(['silent: the watch is silent about keys that have changed']);
    expect(one.keys()).toEqual(['web/a']);
  });

  it('lets a watch be that delivers in time what a look has seen', async () => {
    const stream = new Stream().send(created(10));
    const one = await follow((asked) => {
      if (asked.path === '/v3/watch') return { stream };
      if (!isLook(asked)) return list(10, ['web/a']);
      return { body: { header: header(20), kvs: [kv('web/b', 20)], count: '2' } };
    });
    await one.pass(12_600);
    expect(one.asked.filter(isLookAt)).toHaveLength(1);
    stream.send(events(20, put('web/b', 20)));
    await one.pass(30_000);
    expect(one.errors).toEqual([]);
    expect(one.watches()).toHaveLength(1);
  });

  it('leaves a member that answers no look in time', async () => {
    const one = await follow((asked) => {
      if (asked.path === '/v3/watch') return { stream: new Stream().send(created(10)) };
      return isLook(asked) && asked.address.includes('a:') ? null : list(10, []);
    });
    await one.pass(18_000);
    expect(one.errors).toEqual(['timeout: no answer within 5000 ms']);
    expect(one.watches().map(({ address }) => address)).toEqual(['http://a:2379', 'http://b:2379']);
  });

  it('leaves a member that has lost its leader', async () => {
    const noLeader = { grpc_code: 14, http_code: 503, message: 'etcdserver: no leader' };
    const streams = [new Stream().send(created(10)).send({ error: noLeader }), new Stream()];
    const one = await follow(({ path }) =>
      path === '/v3/watch' ? { stream: streams.shift()! } : list(10, []),
    );
    await one.pass(200);
    expect(one.errors).toEqual(['http-0: etcdserver: no leader']);
    expect(one.watches().at(-1)?.address).toBe('http://b:2379');
  });

  it.each([
    ['what is no JSON', '<html>nginx</html>\n', 'not-json'],
    ['a message without a header', '{"result":{}}\n', 'no-header'],
    // Bounds: etcdAnswer
    ['more than is taken', 'x'.repeat(17 * 1024 ** 2), 'too-large'],
  ])('survives %s in the stream', async (_, text, code) => {
    const second = new Stream().send(created(10));
    const streams = [new Stream().send(created(10)).write(text), second];
    const one = await follow(({ path }) =>
      path === '/v3/watch' ? { stream: streams.shift()! } : list(10, ['web/a']),
    );
    await one.pass(500);
    expect(one.errors[0]).toContain(code);
    second.send(events(11, put('web/b', 11)));
    await one.pass(10);
    expect(one.keys()).toEqual(['web/a', 'web/b']);
  });

  it.each([
    ['no JSON', { body: '<html>' }, 'not-json'],
    ['no header', { body: { kvs: [] } }, 'no-header'],
    ['an error of HTTP', { status: 503, body: 'unavailable' }, 'http-503: answered 503'],
    ['too many keys', { body: { header: header(1), count: '50001' } }, 'too-large: 50001 keys'],
  ])('tries again where the list is answered with %s', async (_, reply, told) => {
    let isBad = true;
    const one = await follow(({ path }) => {
      if (path === '/v3/watch') return { stream: new Stream().send(created(10)) };
      return isBad ? reply : list(10, ['web/a']);
    });
    expect(one.errors[0]).toContain(told);
    isBad = false;
    await one.pass(2000);
    expect(one.keys()).toEqual(['web/a']);
  });

  it('tries every member at once, and then ever more slowly', async () => {
    const one = await follow(() => new Error('refused'), {
      members: ['http://a:1', 'http://b:1', 'http://c:1'],
    });
    await one.pass(60);
    expect(one.asked.map(({ address }) => address)).toEqual([
      'http://a:1',
      'http://b:1',
      'http://c:1',
    ]);
    const before = one.asked.length;
    await one.pass(60_000);
    // Jitter is half of 250, 500, 1000 ... 10000 ms here.
    expect(one.asked.length - before).toBeGreaterThan(10);
    expect(one.asked.length - before).toBeLessThan(25);
  });

  it('sends a token, and asks for another one where it is refused', async () => {
    let token = 0;
    let isOld = false;
    const one = await follow(
      ({ path, headers }) => {
        if (path === '/v3/auth/authenticate') {
          token += 1;
          isOld = false;
          return { body: { header: header(1), token: `t${token}` } };
        }
        const isGood = !isOld && headers.authorization === `t${token}`;
        if (path === '/v3/watch') {
          const cancel_reason =
            'rpc error: code = Unauthenticated desc = etcdserver: invalid auth token';
          const canceled = {
            result: { header: header(1), created: true, canceled: true, cancel_reason },
          };
          return { stream: new Stream().send(isGood ? created(10) : canceled) };
        }
        const error = { error: 'etcdserver: invalid auth token', code: 16 };
        return isGood ? list(10, ['web/a']) : { status: 401, body: error };
      },
      { username: 'root', password: 'secret' },
    );
    expect(one.asked[0]?.body).toEqual({ name: 'root', password: 'secret' });
    expect(one.keys()).toEqual(['web/a']);
    isOld = true;
    // A look is refused, and made again with a new token: the watch stays.
    await one.pass(16_000);
    expect(token).toBe(2);
    expect(one.errors).toEqual([]);
    expect(one.watches()).toHaveLength(1);
  });

  it('stays with its member where the password is wrong, and says so', async () => {
    const error = {
      error: 'etcdserver: authentication failed, invalid user ID or password',
      code: 3,
    };
    const one = await follow(() => ({ status: 400, body: error }), { username: 'u' });
    expect(one.errors).toEqual([`refused: ${error.error}`]);
    await one.pass(3000);
    expect(new Set(one.asked.map(({ address }) => address))).toEqual(new Set(['http://a:2379']));
  });

  it('reports nothing after it was stopped', async () => {
    const stream = new Stream().send(created(10));
    const one = await follow(({ path }) => (path === '/v3/watch' ? { stream } : list(10, [])));
    running?.stop();
    stream.send(events(11, put('web/a', 11)));
    await one.pass(60_000);
    expect(one.steps).toEqual([]);
    expect(one.errors).toEqual([]);
    expect(one.clock.waiting).toBe(0);
  });
});

function isLookAt(asked: Asked): boolean {
  return asked.path === '/v3/kv/range' && isLook(asked);
}
