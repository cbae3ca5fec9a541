import { describe, expect, it } from 'vitest';
import { StaticProvider } from '../../src/discovery/static.ts';
import type { StaticEndpoint } from '../../src/model/settings.ts';
import { ManualClock } from '../support/clock.ts';
import { Receiver, source } from '../support/discovery.ts';

const web = source('web', { registry: 'static' });
const api = source('api', { registry: 'static' });
const turn = () => new Promise((resolve) => setImmediate(resolve));

async function make(endpoints: Record<string, readonly StaticEndpoint[]>) {
  const receiver = new Receiver();
  const addresses = new Map([['db.example', ['10.0.0.7']]]);
  const clock = new ManualClock();
  const provider = new StaticProvider({
    clock,
    endpoints,
    resolve: (name) => Promise.resolve({ addresses: addresses.get(name) ?? [], ttlMs: 10_000 }),
  });
  provider.follow([web]);
  provider.start(receiver.take);
  expect(receiver.all).toEqual([]);
  await turn();
  return { provider, receiver, clock, addresses };
}

describe('fixed endpoints', () => {
  it('pass, and are named by their address', async () => {
    const { provider, receiver } = await make({
      web: [
        { address: '10.0.0.1', port: 80, weight: 1 },
        { address: '::1', port: 81, weight: 5 },
      ],
    });
    expect(provider.status()).toMatchObject({ isSynced: true, watches: 1, lastError: '' });
    expect(receiver.last('web')!.service.endpoints).toEqual([
      {
        id: '10.0.0.1:80',
        address: '10.0.0.1',
        port: 80,
        weight: 1,
        status: 'passing',
        statusText: '',
      },
      { id: '[::1]:81', address: '::1', port: 81, weight: 5, status: 'passing', statusText: '' },
    ]);
  });

  it('that nobody configured are none', async () => {
    const { receiver } = await make({});
    expect(receiver.endpoints('web')).toEqual([]);
    expect(receiver.all).toHaveLength(1);
  });

  it('are others after a reload, and gone when nobody follows them', async () => {
    const { provider, receiver } = await make({
      web: [{ address: '10.0.0.1', port: 80, weight: 1 }],
    });
    provider.setEndpoints({
      web: [{ address: '10.0.0.2', port: 80, weight: 1 }],
      api: [{ address: '10.0.0.3', port: 80, weight: 1 }],
    });
    provider.follow([web, api]);
    expect(receiver.ids('web')).toEqual(['10.0.0.2:80']);
    expect(receiver.ids('api')).toEqual(['10.0.0.3:80']);
    provider.follow([api]);
    expect(receiver.last('web')).toBeNull();
    expect(receiver.ids('api')).toEqual(['10.0.0.3:80']);
  });

  it('with a new host name take nothing away before it is resolved', async () => {
    const { provider, receiver } = await make({
      web: [{ address: '10.0.0.1', port: 80, weight: 1 }],
    });
    provider.setEndpoints({ web: [{ address: 'db.example', port: 80, weight: 1 }] });
    provider.follow([web]);
    expect(receiver.last('web')!.service.doubt).toBe('db.example is not resolved yet');
    await turn();
    expect(receiver.ids('web')).toEqual(['db.example:80@10.0.0.7']);
    expect(receiver.last('web')!.service).toMatchObject({ doubt: '', isConfirmed: true });
  });

  it('may be host names, which are resolved again and again', async () => {
    const { receiver, clock, addresses, provider } = await make({
      web: [{ address: 'db.example', port: 5432, weight: 1 }],
    });
    expect(receiver.ids('web')).toEqual(['db.example:5432@10.0.0.7']);
    expect(provider.status().isSynced).toBe(true);
    addresses.set('db.example', ['10.0.0.8', '10.0.0.9']);
    clock.advance(10_000);
    await turn();
    expect(receiver.endpoints('web').map(({ address }) => address)).toEqual([
      '10.0.0.8',
      '10.0.0.9',
    ]);
    await provider.stop();
    expect(clock.waiting).toBe(0);
  });

  it('a host name that fails is an error until it resolves', async () => {
    const clock = new ManualClock();
    let addresses: string[] = [];
    const provider = new StaticProvider({
      clock,
      endpoints: { web: [{ address: 'db.example', port: 80, weight: 1 }] },
      resolve: () =>
        addresses.length > 0
          ? Promise.resolve({ addresses, ttlMs: 10_000 })
          : Promise.reject(new Error('ENOTFOUND')),
    });
    const receiver = new Receiver();
    provider.follow([web]);
    provider.start(receiver.take);
    await turn();
    expect(provider.status()).toMatchObject({ lastError: 'db.example: ENOTFOUND', errors: 1 });
    addresses = ['10.0.0.1'];
    clock.advance(5000);
    await turn();
    expect(provider.status()).toMatchObject({ lastError: '', errors: 1 });
    addresses = [];
    clock.advance(10_000);
    await turn();
    // What was resolved last stays in use.
    expect(receiver.ids('web')).toEqual(['db.example:80@10.0.0.1']);
    expect(provider.status().lastError).toBe('db.example: ENOTFOUND');
    await provider.stop();
  });
});
