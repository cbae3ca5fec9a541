import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Api, type Entry, Stock } from '../../../src/discovery/etcd/stock.ts';

const rules = { layout: 'backends', tagPrefix: 'upriver' } as const;
const entry = (value: string, created = 1): Entry => ({ value, created, isMortal: true });

const hosts = (stock: Stock, service: string) =>
  [...stock.recordsOf(service)].map(([leaf, { reading }]) =>
    reading.kind === 'instance' ? `${leaf}=${reading.host}` : `${leaf}:${reading.kind}`,
  );

describe('the stock', () => {
  it('says whom a change concerns, and none where a value is written again', () => {
    const stock = new Stock(rules);
    expect([...stock.put('v2', 'web/a', entry('10.0.0.1:80'))]).toEqual(['web']);
    expect([...stock.put('v2', 'web/a', entry('10.0.0.1:80', 2))]).toEqual([]);
    expect([...stock.put('v2', 'web/a', entry('10.0.0.2:80', 3))]).toEqual(['web']);
    expect([...stock.put('v2', 'alone', entry('10.0.0.2:80'))]).toEqual([]);
    const { entries, changed } = stock.remove('v2', ['web/a', 'web/b']);
    expect([entries.length, ...changed]).toEqual([1, 'web']);
    expect([...stock.services()]).toEqual([]);
  });

  it('has the record of v3 where both APIs have it, and the other when that goes', () => {
    const stock = new Stock(rules);
    stock.put('v2', 'web/a', entry('10.0.0.1:80'));
    stock.put('v2', 'web/b', entry('10.0.0.2:80'));
    stock.put('v3', 'web/a', entry('10.0.0.9:80'));
    expect(hosts(stock, 'web')).toEqual(['a=10.0.0.9', 'b=10.0.0.2']);
    stock.remove('v3', ['web/a']);
    expect(hosts(stock, 'web')).toEqual(['a=10.0.0.1', 'b=10.0.0.2']);
  });

  it('orders services by their directories in v2, and by their port keys in v3', () => {
    const stock = new Stock(rules);
    stock.noteDirs('web', 5);
    stock.put('v2', 'web/port', entry('80', 5));
    stock.put('v2', 'web/port', entry('81', 90));
    expect(stock.orderOf('web')).toBe(5);
    stock.noteDirs('web', 91);
    expect(stock.orderOf('web')).toBe(5);
    stock.put('v3', 'api/port', entry('82', 7));
    expect(stock.orderOf('api')).toBe(7);
    expect(stock.orderOf('none')).toBeNull();
    expect(stock.clearDir('web')).toEqual(['web/port']);
    stock.noteDirs('web', 92);
    expect(stock.orderOf('web')).toBe(92);
  });

  it('finds the keys in a directory by whole parts', () => {
    const stock = new Stock(rules);
    for (const path of ['web/a', 'web/b/c', 'web2/a']) stock.put('v2', path, entry('x'));
    expect(stock.clearDir('web').sort()).toEqual(['web/a', 'web/b/c']);
    expect(stock.clearDir('')).toHaveLength(3);
  });

  it('is the same however it came to be', () => {
    const path = fc.constantFrom('web/a', 'web/b', 'api/a', 'deep/api/a', 'port');
    const value = fc.constantFrom('10.0.0.1:80', '10.0.0.2:80', 'bad', null);
    const api = fc.constantFrom<Api>('v2', 'v3');
    fc.assert(
      fc.property(fc.array(fc.tuple(api, path, value), { maxLength: 40 }), (changes) => {
        const stock = new Stock(rules);
        const wanted = { v2: new Map<string, Entry>(), v3: new Map<string, Entry>() };
        for (const [one, key, text] of changes) {
          if (text === null) {
            stock.remove(one, [key]);
            wanted[one].delete(key);
          } else {
            stock.put(one, key, entry(text));
            wanted[one].set(key, entry(text));
          }
        }
        const listed = new Stock(rules);
        for (const one of ['v2', 'v3'] as const) {
          // Over what was there before.
          listed.put(one, 'gone/x', entry('10.0.0.9:80'));
          listed.reset(one, wanted[one]);
          expect(listed.count(one)).toBe(stock.count(one));
        }
        expect(listed.services()).toEqual(stock.services());
        for (const service of stock.services()) {
          const sorted = (from: Stock) => [...from.recordsOf(service)].sort();
          expect(sorted(listed)).toEqual(sorted(stock));
        }
      }),
    );
  });
});
