// Which APIs are followed: what members of each age say of themselves, and what an upgrade changes.
import { afterEach, describe, expect, it } from 'vitest';
import { EtcdProvider } from '../../../src/discovery/etcd/provider.ts';
import { ManualClock } from '../../support/clock.ts';
import { etcdSettings, keepingLogger, Receiver } from '../../support/discovery.ts';
import { etcdSource } from '../../support/etcd-provider.ts';
import { type Reply, type Script, Stream, scriptEtcd } from '../../support/scripted-etcd.ts';

const header = { cluster_id: '77', member_id: '1', revision: '10' };
const at = { 'x-etcd-index': '10', 'x-etcd-cluster-id': 'c1' };
const b64 = (text: string) => Buffer.from(text).toString('base64');

/** A member of this version, with an instance `two` by v2 and `three` by v3. */
interface Member {
  version: string;
  hasV2: boolean;
  hasV3: boolean;
  /** Of v2. */
  isRefused?: boolean;
  /** Ends the watches that are open. */
  readonly streams: Stream[];
}

const NO_PAGE: Reply = { status: 404, body: '404 page not found\n' };

function memberScript(member: Member): Script {
  return ({ path, query, body }) => {
    if (path === '/version') return { body: { etcdserver: member.version, etcdcluster: '3' } };
    if (path.startsWith('/v2/')) {
      if (!member.hasV2) return NO_PAGE;
      if (member.isRefused)
        return { status: 401, body: { errorCode: 110, message: 'Insufficient' } };
      if (query.has('wait')) return null;
      const two = { key: '/backends/web/two', value: '10.0.0.2:80', createdIndex: 3 };
      const web = { key: '/backends/web', dir: true, nodes: [two], createdIndex: 3 };
      return { headers: at, body: { node: { key: '/backends', dir: true, nodes: [web] } } };
    }
    if (!member.hasV3) return NO_PAGE;
    if (path === '/v3/watch') {
      const stream = new Stream().send({ result: { header, created: true } });
      member.streams.push(stream);
      return { stream };
    }
    const isProbe = (body as { key: string }).key === 'AA==';
    const key = b64('/backends/web/three');
    const kv = { key, value: b64('10.0.0.3:80'), create_revision: '2', mod_revision: '2' };
    return { body: { header, kvs: isProbe ? [] : [kv], count: isProbe ? '0' : '1' } };
  };
}

let running: EtcdProvider | null = null;
afterEach(() => running?.stop());

async function start(more: Partial<Member>, api: 'auto' | 'v2' | 'v3' = 'auto') {
  const member: Member = { version: '3.4.23', hasV2: true, hasV3: true, streams: [], ...more };
  const clock = new ManualClock();
  const { log, lines } = keepingLogger();
  const { open, asked } = scriptEtcd(memberScript(member));
  const settings = etcdSettings('http://a:2379', { api });
  const resolve = () => Promise.reject(new Error('no names here'));
  const options = { settings, clock, random: () => 0.5, log, open, resolve };
  const provider = new EtcdProvider(options);
  running = provider;
  const receiver = new Receiver();
  provider.follow([etcdSource('web')]);
  provider.start(receiver.take);
  const pass = async (ms: number): Promise<void> => {
    for (let now = 0; now <= ms; now += 50) {
      clock.advance(now === 0 ? 0 : 50);
      await new Promise((done) => setImmediate(done));
    }
  };
  await pass(500);
  return { member, provider, receiver, lines, asked, pass, ids: () => receiver.ids('web').join() };
}

describe('api: auto', () => {
  it.each([
    ['2.3.8', true, false, 'two', 1],
    ['3.3.27', true, false, 'two', 1],
    ['3.4.23', true, true, 'three,two', 2],
    ['3.5.16', false, true, 'three', 1],
    ['3.6.0', false, true, 'three', 1],
  ])(
    'of etcd %s with v2 %s and the gateway %s follows %s',
    async (version, hasV2, hasV3, ids, n) => {
      const one = await start({ version, hasV2, hasV3 });
      expect(one.provider.status()).toMatchObject({ isSynced: true, watches: n, lastError: '' });
      expect(one.ids()).toBe(ids);
      // What both have is told once, when all is known.
      expect(one.receiver.about('web')).toHaveLength(1);
    },
  );

  it('says what is missing where a member speaks neither', async () => {
    const one = await start({ version: '3.5.0', hasV2: false, hasV3: false });
    expect(one.provider.status().isSynced).toBe(false);
    expect(one.provider.status().lastError).toContain(
      'etcd 3.5.0 answers neither by v2 (--enable-v2) nor by v3',
    );
    one.member.hasV3 = true;
    await one.pass(10_000);
    expect(one.provider.status()).toMatchObject({ isSynced: true, lastError: '' });
  });

  it('shows no error of the search any more where v2 alone was found in the end', async () => {
    const one = await start({ version: '3.5.0', hasV2: false, hasV3: false });
    expect(one.provider.status().lastError).toContain('keys by v3: ');
    one.member.hasV2 = true;
    await one.pass(10_000);
    expect(one.provider.status()).toMatchObject({ isSynced: true, lastError: '' });
    expect(one.lines.map(({ message }) => message)).toContain('the registry answers again');
  });

  it('is not kept waiting by an API that is refused', async () => {
    const one = await start({ isRefused: true });
    expect(one.provider.status().isSynced).toBe(true);
    expect(one.ids()).toBe('three');
    expect(one.provider.status().lastError).toContain('Insufficient');
    one.member.isRefused = false;
    await one.pass(15_000);
    expect(one.ids()).toBe('three,two');
    expect(one.provider.status().lastError).toBe('');
  });

  it('lets go, in doubt, what only an API had that is gone with an upgrade', async () => {
    const one = await start({});
    Object.assign(one.member, { version: '3.6.0', hasV2: false });
    await one.pass(40_000);
    expect(one.ids()).toBe('three');
    const doubts = one.receiver.about('web').map(({ update }) => {
      return update.kind === 'upsert' ? update.service.doubt : '';
    });
    expect(doubts).toContain('etcd does not speak v2 any more');
    await one.pass(40_000);
    expect(one.provider.status()).toMatchObject({ watches: 1, lastError: '', isSynced: true });
    expect(one.lines.at(-1)?.message).toBe('etcd does not speak v2 any more');
  });

  it('follows an API that is there after an outage', async () => {
    const one = await start({ hasV2: false });
    expect(one.ids()).toBe('three');
    one.member.hasV2 = true;
    for (const stream of one.member.streams) stream.end(new Error('restarted'));
    await one.pass(5000);
    expect(one.ids()).toBe('three,two');
  });
});

describe('one API alone', () => {
  it.each(['v2', 'v3'] as const)('%s is followed without being looked for', async (api) => {
    const one = await start({}, api);
    expect(one.ids()).toBe(api === 'v2' ? 'two' : 'three');
    expect(one.asked.some(({ path }) => path === '/version')).toBe(false);
  });

  it('stays asked for where it is missing', async () => {
    const one = await start({ hasV2: false }, 'v2');
    expect(one.provider.status()).toMatchObject({ isSynced: false, watches: 1 });
    expect(one.provider.status().lastError).toContain('--enable-v2');
  });
});
