import { describe, expect, it } from 'vitest';
import type { Entry } from '../../src/discovery/consul/entry.ts';
import { describeEntries } from '../../src/discovery/self-description.ts';
import { parseListenRule } from '../../src/model/listener.ts';

const reading = { prefix: 'upriver' };

function entry(service: NonNullable<Entry['Service']> = {}): Entry {
  return {
    Node: { Node: 'n1', Address: '10.0.0.1' },
    Service: { ID: 'web1', Address: '10.1.0.1', Port: 8000, ...service },
    Checks: [],
  };
}

describe('settings of its own', () => {
  const tagged = (...Tags: string[]) => entry({ Tags });
  it.each([
    ['none', [tagged('v1', 'urlprefix-/x')], null],
    ['from tags', [tagged('upriver.listen=8000', 'v1')], { listen: '8000' }],
    [
      'with values that hold =',
      [tagged('upriver.health.path=/a?b=c')],
      { 'health.path': '/a?b=c' },
    ],
    ['true where a tag has no value', [tagged('upriver.http.via')], { 'http.via': 'true' }],
    [
      'from Meta',
      [entry({ Meta: { 'upriver-health-path': '/h', other: 'x' } })],
      { 'health.path': '/h' },
    ],
    [
      'from Meta before tags',
      [entry({ Tags: ['upriver.listen=1'], Meta: { 'upriver-listen': '2' } })],
      { listen: '2' },
    ],
    [
      'by majority',
      [tagged('upriver.balance=b'), tagged('upriver.balance=a'), tagged('upriver.balance=b')],
      { balance: 'b' },
    ],
    [
      'of the newest where nobody has a majority',
      [
        entry({ Tags: ['upriver.listen=1'], ModifyIndex: 7 }),
        entry({ Tags: ['upriver.listen=2'], ModifyIndex: 9 }),
      ],
      { listen: '2' },
    ],
    [
      'the lowest where nothing else decides',
      [tagged('upriver.listen=2'), tagged('upriver.listen=1')],
      { listen: '1' },
    ],
    ['of some instances only', [tagged(), tagged('upriver.listen=1')], { listen: '1' }],
  ] as const)('are %s', (_, entries, expected) => {
    expect(describeEntries(entries, reading).settings).toEqual(expected);
    expect(describeEntries(entries.toReversed(), reading).settings).toEqual(expected);
  });

  it('tell about what instances disagree', () => {
    const entries = [tagged('upriver.a=1', 'upriver.b=1'), tagged('upriver.a=1', 'upriver.b=2')];
    expect(describeEntries(entries, reading).problems).toEqual([
      'instances disagree about b, the first is used: 1 (1), 2 (1)',
    ]);
  });

  it('prefer a listener that the rules allow to one that they do not, whoever says it', () => {
    const wishes = (...listens: string[]) =>
      listens.map((listen, i) =>
        entry({ ID: `i${i}`, Tags: [`upriver.listen=${listen}`], ModifyIndex: i }),
      );
    const listenAllow = [parseListenRule('8000-9000')!, parseListenRule('127.0.0.0/8:80')!];
    const chosen = (...listens: string[]) =>
      describeEntries(wishes(...listens), { ...reading, listenAllow }).settings?.listen;
    expect(chosen('8000', '22', '22')).toBe('8000');
    expect(chosen('localhost:80', '22')).toBe('localhost:80');
    expect(chosen('8000', 'x')).toBe('8000');
    expect(chosen('22', '23'), 'it is told with its own reason').toBe('23');
    // However many say something else each.
    const others = Array.from({ length: 20 }, (_, i) => String(i + 1));
    expect(chosen('8000', ...others)).toBe('8000');
  });

  it('prefer a good value to one that is not, whoever says it', () => {
    const entries = [
      entry({ Tags: ['upriver.health.path=/h'], ModifyIndex: 1 }),
      entry({ Tags: ['upriver.health.path=h'], ModifyIndex: 9 }),
      entry({ Tags: ['upriver.health.path=h'], ModifyIndex: 8 }),
    ];
    const isGood = (_: string, value: string) => value.startsWith('/');
    const described = describeEntries(entries, { ...reading, isGood });
    expect(described.settings).toEqual({ 'health.path': '/h' });
    expect(described.problems).toHaveLength(1);
  });

  it('are as old as the instance that says the longest where to listen', () => {
    const entries = [
      entry({ Tags: ['upriver.listen=1'], ModifyIndex: 30 }),
      entry({ Tags: ['upriver.listen=1'], ModifyIndex: 20 }),
      entry({ Tags: ['upriver.balance=random'], ModifyIndex: 10 }),
    ];
    expect(describeEntries(entries, reading).order).toBe(20);
    expect(describeEntries([tagged('upriver.listen=1')], reading).order).toBe(0);
  });

  it('hold any key', () => {
    const { settings } = describeEntries([tagged('upriver.__proto__=x')], reading);
    expect(Object.keys(settings!)).toEqual(['__proto__']);
  });

  it.each([
    ['too many', Array.from({ length: 100 }, (_, i) => `upriver.k${i}=1`), 'more than 64 settings'],
    ['too long', [`upriver.k=${'x'.repeat(5000)}`], 'tag k: longer than 1024 characters'],
    [
      'no weight',
      [`upriver.weight=${'9'.repeat(400)}`],
      `weight: '${'9'.repeat(100)}...': expected a number from 0 to 1000000`,
    ],
  ])('that are %s are told, and bounded', (_, tags, problem) => {
    const { settings, problems } = describeEntries([tagged(...tags)], reading);
    expect(problems).toEqual([`instance web1: ${problem}`]);
    expect(Object.keys(settings ?? {}).length).toBeLessThanOrEqual(64);
  });

  it('of a thousand odd instances are few problems', () => {
    const many = Array.from({ length: 1000 }, (_, i) =>
      entry({ ID: `web${i}`, Tags: ['upriver.weight=x', `upriver.listen=${i}`] }),
    );
    const { problems } = describeEntries(many, reading);
    expect(problems).toHaveLength(20);
  });
});
