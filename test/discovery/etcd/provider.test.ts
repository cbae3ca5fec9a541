// What the provider makes of lists and events, whichever watch they come from: who is served, what is
// in doubt, and when that ends.
import { afterEach, describe, expect, it } from 'vitest';
import { EtcdError } from '../../../src/discovery/etcd/error.ts';
import { EtcdProvider } from '../../../src/discovery/etcd/provider.ts';
import type { Api, Entry } from '../../../src/discovery/etcd/stock.ts';
import type { Known } from '../../../src/discovery/provider.ts';
import type { EtcdSettings } from '../../../src/model/registries/etcd.ts';
import { ManualClock } from '../../support/clock.ts';
import { etcdSettings, keepingLogger, Receiver } from '../../support/discovery.ts';
import { etcdSource } from '../../support/etcd-provider.ts';
import { scriptEtcd } from '../../support/scripted-etcd.ts';

let running: EtcdProvider | null = null;
afterEach(() => running?.stop());

interface Options extends Partial<EtcdSettings> {
  readonly follow?: readonly string[];
  readonly isHeld?: boolean;
}

function start({ follow = [], isHeld = false, ...more }: Options = {}) {
  const clock = new ManualClock();
  const { log, lines } = keepingLogger();
  // Members that never answer: the test says what the watches report.
  const { open } = scriptEtcd(() => null);
  const settings = etcdSettings('http://a:2379', { api: 'v3', ...more });
  const resolve = (name: string) =>
    name === 'bad' ? Promise.reject(new Error('no such name')) : Promise.resolve(TWO);
  const known = (): Known => ({ endpoints: [], isHeld });
  const provider = new EtcdProvider({
    ...{ settings, clock, random: () => 0.5, log, open, resolve, known },
  });
  running = provider;
  const receiver = new Receiver();
  provider.follow(follow.map(etcdSource));
  provider.start(receiver.take);
  const word = () => ({ change: 'test', receivedMs: clock.nowMs() });
  return {
    ...{ clock, provider, receiver, lines },
    list: (keys: Keys, { api = 'v3' as Api, doubt = '' } = {}) => {
      const entries = entriesOf(keys);
      provider.onListing(api, { entries, dirs: new Map(), doubt, ...word() });
    },
    step: (puts: Keys, removals: readonly string[] = [], isMeant: boolean | null = null) => {
      const none = { lostDirs: [], dirs: new Map(), doubt: '', isMeant };
      provider.onStep('v3', { puts: entriesOf(puts), removals, ...none, ...word() });
    },
    outage: (ms: number) => {
      provider.onError('v3', new EtcdError('failed', 'refused'), 'http://a:2379');
      clock.advance(ms);
      provider.onAnswer('v3', 'http://a:2379', ms);
    },
    ids: (service: string) => receiver.ids(service).join(),
    doubt: (service: string) => receiver.last(service)?.service.doubt,
    settings: (service: string) => receiver.last(service)?.service.settings,
    isGone: (service: string) => receiver.about(service).at(-1)?.update.kind === 'remove',
  };
}

const TWO = { addresses: ['10.0.0.8', '10.0.0.9'], ttlMs: 60_000 };

type Keys = Readonly<Record<string, string | Partial<Entry>>>;

/** Mortal, unless told otherwise. */
function entriesOf(keys: Keys): Map<string, Entry> {
  const usual = { value: '10.0.0.1:80', created: 1, isMortal: true };
  return new Map(
    Object.entries(keys).map(([key, given]) => [
      key,
      typeof given === 'string' ? { ...usual, value: given } : { ...usual, ...given },
    ]),
  );
}

const A = '10.0.0.1:80';

describe('services', () => {
  it('that are configured are answered for, also where there is nothing of them', () => {
    const { provider, receiver, list, ids } = start({ follow: ['web', 'none', '/deep//api/'] });
    expect(provider.status().isSynced).toBe(false);
    expect(receiver.all).toEqual([]);
    list({ 'web/a': A, 'web/b': '10.0.0.2:81', 'deep/api/x': A, 'other/x': A });
    expect(provider.status().isSynced).toBe(true);
    expect([ids('web'), ids('none'), ids('/deep//api/')]).toEqual(['a,b', '', 'x']);
    expect(receiver.about('other')).toEqual([]);
    expect(receiver.endpoints('web')[1]).toEqual({
      ...{ id: 'b', address: '10.0.0.2', port: 81, weight: 1, status: 'passing', statusText: '' },
    });
  });

  it('with a port describe themselves as docker-discover served them', () => {
    const { list, settings } = start();
    list({ 'web/a': A, 'web/port': { value: '8000', created: 7 } });
    expect(settings('web')).toEqual({
      listen: '8000',
      protocol: 'tcp',
      'health.type': 'tcp',
      'health.interval': '2s',
      'health.rise': '3',
      'health.fall': '2',
    });
  });

  it('say more of themselves by keys of their own', () => {
    const { list, settings, receiver } = start();
    const more = { 'web/upriver.protocol': 'http', 'web/upriver.health.path': '/ok' };
    list({ 'web/a': A, 'web/port': { value: '8000', created: 7 }, ...more });
    expect(settings('web')).toMatchObject({ protocol: 'http', 'health.path': '/ok' });
    expect(receiver.last('web')?.service.order).toBe(7);
    expect(receiver.ids('web')).toEqual(['a']);
  });

  it('do not describe themselves where that is off', () => {
    const { list, receiver } = start({ selfDescribed: false });
    list({ 'web/a': A, 'web/port': '8000' });
    expect(receiver.all).toEqual([]);
    running?.follow([etcdSource('web')]);
    expect(receiver.last('web')?.service).toMatchObject({
      settings: null,
      endpoints: [{ id: 'a' }],
    });
  });

  it('keep their port for a moment when its key goes, and then are served no more', () => {
    const { clock, list, step, settings, isGone, ids } = start();
    list({ 'web/a': A, 'web/port': '8000', 'web/b': A });
    step({}, ['web/port']);
    expect(settings('web')?.listen).toBe('8000');
    clock.advance(4000);
    step({ 'web/port': '8000' });
    clock.advance(4000);
    expect(isGone('web')).toBe(false);
    step({}, ['web/port', 'web/b']);
    expect(ids('web')).toBe('a');
    clock.advance(5001);
    expect(isGone('web')).toBe(true);
  });

  it('that are configured as well are followed on without their port', () => {
    const { clock, list, step, settings, ids } = start({ follow: ['web'] });
    list({ 'web/a': A, 'web/port': '8000' });
    step({}, ['web/port']);
    clock.advance(5001);
    expect(settings('web')).toBeNull();
    step({ 'web/b': A });
    expect(ids('web')).toBe('a,b');
  });

  it('keep their port where its value turns wrong, and say so', () => {
    const { clock, list, step, settings, receiver } = start();
    list({ 'web/a': A, 'web/port': '8000' });
    step({ 'web/port': 'eighty', 'web/b': 'nonsense' });
    clock.advance(60_000);
    expect(settings('web')?.listen).toBe('8000');
    expect(receiver.ids('web')).toEqual(['a']);
    expect(receiver.last('web')?.service.problems).toEqual([
      expect.stringContaining("key 'b': 'nonsense': expected IP:PORT"),
      "key 'port': 'eighty': expected a port",
    ]);
    step({ 'web/port': '9000', 'web/b': A });
    expect(settings('web')?.listen).toBe('9000');
    expect(receiver.last('web')?.service.problems).toBeUndefined();
  });

  it('that never had a good port are told all the same', () => {
    const { list, settings, receiver } = start();
    list({ 'web/a': A, 'web/port': 'eighty' });
    expect(settings('web')).toBeNull();
    expect(receiver.last('web')?.service.problems).toEqual([
      "key 'port': 'eighty': expected a port",
    ]);
  });

  it('have an endpoint for each address of a host name', async () => {
    const { list, receiver, ids } = start({ follow: ['web'] });
    list({ 'web/a': 'web.example:80', 'web/b': 'bad:80', 'web/c': A });
    await new Promise((resolve) => setImmediate(resolve));
    expect(ids('web')).toBe('a@10.0.0.8,a@10.0.0.9,c');
    const { doubt, problems } = receiver.last('web')!.service;
    expect(doubt).toContain("bad can't be resolved");
    expect(problems).toEqual([expect.stringContaining('host name bad')]);
  });

  it('of a domain have the instances of all below it', () => {
    const { list, ids, step } = start({ layout: 'skydns', follow: ['web.cluster.local', 'local'] });
    const at = (host: string) => JSON.stringify({ host, port: 80 });
    list({ 'local/cluster/web/a': at('10.0.0.1'), 'local/other/b': at('10.0.0.2') });
    expect(ids('web.cluster.local')).toBe('a');
    expect(ids('local')).toBe('cluster/web/a,other/b');
    step({ 'local/cluster/web': at('10.0.0.3') });
    expect(ids('web.cluster.local')).toBe('@,a');
  });

  it('that flap are handed on together', () => {
    const { clock, list, step, receiver, ids } = start({ follow: ['web'] });
    list({ 'web/a': A });
    for (let i = 0; i < 1000; i += 1) {
      step({ 'web/b': `10.0.0.2:${i + 1}` });
      clock.advance(1);
    }
    expect(receiver.about('web').length).toBeLessThan(300);
    clock.advance(20);
    expect(receiver.endpoints('web').at(-1)?.port).toBe(1000);
    step({}, ['web/b'], true);
    clock.advance(20);
    expect(ids('web')).toBe('a');
  });

  it('say nothing where nothing has changed', () => {
    const { list, step, receiver } = start({ follow: ['web'] });
    list({ 'web/a': A });
    list({ 'web/a': A });
    step({ 'web/a': { value: A, created: 9 } });
    step({ 'other/a': A });
    expect(receiver.all).toHaveLength(1);
  });
});

describe('what goes', () => {
  it('is gone when etcd says so', () => {
    const { list, step, ids, doubt } = start({ follow: ['web'] });
    list({ 'web/a': A, 'web/b': A });
    step({}, ['web/a']);
    expect([ids('web'), doubt('web')]).toEqual(['b', '']);
  });

  it('is in doubt for a while after an outage, unless somebody took it out', () => {
    const { clock, list, step, outage, ids, doubt } = start({ follow: ['web', 'api'] });
    list({ 'web/a': A, 'web/b': A, 'web/c': A, 'api/a': A });
    outage(20_000);
    step({}, ['web/a']);
    expect(doubt('web')).toBe('first answers after an outage: refused');
    step({}, ['web/b'], true);
    expect([ids('web'), doubt('web')]).toEqual(['c', '']);
    step({}, ['web/c'], false);
    expect(doubt('web')).not.toBe('');
    clock.advance(30_100);
    expect([ids('web'), doubt('web')]).toEqual(['', '']);
    step({}, ['api/a'], true);
    expect(doubt('api')).toBe('');
  });

  it.each([true, false])('is told of each outage while something is held (%s)', (isHeld) => {
    const { clock, list, outage, receiver } = start({ follow: ['web'], isHeld });
    list({ 'web/a': A });
    clock.advance(31_000);
    const outages = [4000, 5000].map((ms) => {
      outage(ms);
      return receiver.last('web')!.service;
    });
    const told = outages.map(({ isLasting, sinceMs }) => (isLasting ? sinceMs : undefined));
    const nowMs = clock.nowMs();
    expect(told).toEqual(isHeld ? [nowMs - 5000, nowMs] : [undefined, undefined]);
  });

  it('is in no doubt after a moment without etcd', () => {
    const { list, step, outage, doubt } = start({ follow: ['web'] });
    list({ 'web/a': A, 'web/b': A });
    outage(2000);
    step({}, ['web/a']);
    expect(doubt('web')).toBe('');
  });

  it('is in doubt where the list itself is', () => {
    const { clock, list, ids, doubt } = start({ follow: ['web'] });
    list({ 'web/a': A, 'web/b': A });
    list({ 'web/a': A }, { doubt: 'revision 10 -> 4 went backwards' });
    expect([ids('web'), doubt('web')]).toEqual(['a', 'revision 10 -> 4 went backwards']);
    clock.advance(30_100);
    expect(doubt('web')).toBe('');
  });

  it('is in doubt for as long as there is no key at all, and keeps its port', () => {
    const { clock, list, step, ids, doubt, settings, isGone } = start();
    list({ 'web/a': A, 'web/port': '8000' });
    step({}, ['web/port']);
    step({}, ['web/a']);
    expect(doubt('web')).toBe('every key is gone: the registrar may be');
    clock.advance(600_000);
    expect(isGone('web')).toBe(false);
    expect(settings('web')?.listen).toBe('8000');
    // The registrar is back: the other services have a while to be written again.
    step({ 'api/a': A, 'api/port': '9000' });
    clock.advance(20_000);
    expect(isGone('web')).toBe(false);
    step({ 'web/port': '8000', 'web/z': A });
    expect(ids('web')).toBe('z');
    clock.advance(60_000);
    expect(doubt('web')).toBe('');
    expect(isGone('web')).toBe(false);
  });

  it('is gone where the last keys were taken out', () => {
    const { clock, list, step, doubt, isGone } = start();
    list({ 'web/a': A, 'web/port': '8000' });
    step({}, ['web/port', 'web/a'], true);
    expect(doubt('web')).toBe('');
    clock.advance(5001);
    expect(isGone('web')).toBe(true);
    // By v3 as well, where no lease ended.
    const plain = { value: A, isMortal: false };
    list({ 'web/a': plain, 'web/port': { value: '8000', isMortal: false } });
    step({}, ['web/port', 'web/a']);
    expect(doubt('web')).toBe('');
  });

  it('that described itself may be yet to be written again where its endpoints are held', () => {
    const { list, step, provider, clock } = start({ isHeld: true });
    provider.inherit([etcdSource('shop')]);
    // The first list comes late: what is held by then is as doubtful.
    clock.advance(60_000);
    list({});
    expect(provider.hasNamedAll()).toBe(false);
    step({ 'other/a': A });
    clock.advance(29_999);
    expect(provider.hasNamedAll()).toBe(false);
    clock.advance(1);
    expect(provider.hasNamedAll()).toBe(true);
  });

  it('are all named by the first list where nothing is held', () => {
    const { list, provider } = start();
    provider.inherit([etcdSource('shop')]);
    expect(provider.hasNamedAll()).toBe(false);
    list({ 'other/a': A });
    expect(provider.hasNamedAll()).toBe(true);
  });

  it('is in doubt at first where endpoints are held', () => {
    const { list, doubt, clock } = start({ follow: ['web'], isHeld: true });
    list({ 'web/a': A });
    expect(doubt('web')).toBe('first answer while endpoints are held');
    clock.advance(30_100);
    expect(doubt('web')).toBe('');
  });
});
