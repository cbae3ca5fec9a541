import { describe, expect, it } from 'vitest';
import {
  type Check,
  type Entry,
  instancesOf,
  listOf,
} from '../../../src/discovery/consul/translate.ts';
import { describeEntries } from '../../../src/discovery/self-description.ts';

const check = (Status: string, more: Check = {}): Check => ({ CheckID: 'c', Status, ...more });

function entry(service: NonNullable<Entry['Service']> = {}, checks: readonly Check[] = []): Entry {
  return {
    Node: { Node: 'n1', Address: '10.0.0.1' },
    Service: { ID: 'web1', Address: '10.1.0.1', Port: 8000, ...service },
    Checks: checks,
  };
}

const one = (of: Entry) => instancesOf([of], 'upriver')[0];

describe('an instance', () => {
  it.each([
    ['has its own address before that of its node', entry(), { host: '10.1.0.1' }],
    [
      'has the address of its node where it names none',
      entry({ Address: '' }),
      { host: '10.0.0.1' },
    ],
    ['may name a host', entry({ Address: 'db.example.com' }), { host: 'db.example.com' }],
    ['may write an IPv6 address in brackets', entry({ Address: '[::1]' }), { host: '::1' }],
    ['is named by node and service id', entry({ ID: 'web/2' }), { id: 'n1/web/2' }],
    ['weighs 1 where it says nothing', entry(), { weight: 1 }],
    ['weighs what it says', entry({ Weights: { Passing: 10, Warning: 2 } }), { weight: 10 }],
    [
      'weighs what its tag says before that',
      entry({ Tags: ['upriver.weight=5'], Weights: { Passing: 10 } }),
      { weight: 5 },
    ],
    ['weighs what its Meta says', entry({ Meta: { 'upriver-weight': '0' } }), { weight: 0 }],
    ['takes no nonsense from a tag', entry({ Tags: ['upriver.weight=-1'] }), { weight: 1 }],
    [
      'takes no weight without end',
      entry({ Tags: [`upriver.weight=${'9'.repeat(400)}`] }),
      { weight: 1 },
    ],
    ['weighs a million at most', entry({ Weights: { Passing: 1e300 } }), { weight: 1_000_000 }],
    ['may weigh 0', entry({ Weights: { Passing: 0 } }), { weight: 0 }],
    ['weighs 1 where it says nonsense', entry({ Weights: { Passing: -3 } }), { weight: 1 }],
    [
      'weighs otherwise while it warns',
      entry({ Weights: { Passing: 10, Warning: 2 } }, [check('warning')]),
      { weight: 2, status: 'warning' },
    ],
    [
      'is of UDP with the tag of that name, however many others it has',
      entry({ Tags: [...Array.from({ length: 30 }, (_, i) => `t${i}`), 'udp'] }),
      { transport: 'udp' },
    ],
    ['without checks passes', entry(), { status: 'passing', statusText: '' }],
  ])('%s', (_, given, expected) => {
    expect(one(given)).toMatchObject(expected);
  });

  it.each([
    ['has no port', entry({ Port: 0 })],
    ['has an impossible port', entry({ Port: 70_000 })],
    ['has no id', entry({ ID: '' })],
    ['has an id that is no text', entry({ ID: 7 as unknown as string })],
    ['has no address at all', { Node: { Node: 'n1' }, Service: { ID: 'a', Port: 1 } }],
    ['is nothing', {}],
    ['is null inside', { Node: null, Service: null, Checks: null }],
  ])('that %s is left out and spoils nothing', (_, odd: Entry) => {
    expect(instancesOf([odd, entry()], 'upriver').map((instance) => instance.id)).toEqual([
      'n1/web1',
    ]);
  });

  // Foreign data: whatever stands in a field, nothing is thrown, and the others are there.
  it.each([
    ['Checks', [null]],
    ['Checks', [7, 'x', [], { Status: 5, CheckID: {}, Output: [], Notes: 1, Name: null }]],
    ['Checks', 'passing'],
    ['Node', 'n1'],
    ['Node', { Node: {}, Address: 7 }],
    ['Service', { ID: 'web1', Port: 8000, Address: 9, Tags: [null, {}, 3], Meta: [1] }],
    ['Service', { ID: 'web1', Port: 8000, Tags: { a: 1 }, Meta: 'text', Weights: 'heavy' }],
    ['Service', { ID: 'web1', Port: 8000, Weights: { Passing: null, Warning: 'x' } }],
    ['Service', { ID: 'web1', Port: 8000, ModifyIndex: 'x' }],
  ])('with %s %j spoils nothing', (field, value) => {
    // What no agent should send.
    const odd = { ...entry(), [field]: value } as Entry;
    const ids = instancesOf([odd, entry({ ID: 'web2' })], 'upriver').map(({ id }) => id);
    expect(ids).toContain('n1/web2');
    expect(() => describeEntries([odd, entry()], { prefix: 'upriver' })).not.toThrow();
  });

  it('comes in the order of ids, whatever the order of the answer', () => {
    const ids = ['c', 'a', 'b'].map((ID) => entry({ ID }));
    expect(instancesOf(ids, 'upriver').map(({ id }) => id)).toEqual(['n1/a', 'n1/b', 'n1/c']);
  });
});

describe('the status', () => {
  const maintenance = (CheckID: string, Notes: string) => check('critical', { CheckID, Notes });
  it.each([
    ['passing', [check('passing')], 'passing', ''],
    [
      'the worst of two',
      [check('passing'), check('warning', { Output: 'slow' })],
      'warning',
      'slow',
    ],
    [
      'the worst, whatever the order',
      [check('critical', { Output: 'down' }), check('warning', { Output: 'slow' })],
      'critical',
      'down',
    ],
    [
      'that of the node as well',
      [check('critical', { CheckID: 'serfHealth', Output: 'Agent not live' })],
      'critical',
      'Agent not live',
    ],
    [
      'maintenance of the service',
      [check('critical', { Output: 'x' }), maintenance('_service_maintenance:web1', 'upgrade')],
      'maintenance',
      'upgrade',
    ],
    [
      'maintenance of the node',
      [maintenance('_node_maintenance', 'disks')],
      'maintenance',
      'disks',
    ],
    ['critical for an unknown word', [check('odd', { Name: 'c1' })], 'critical', 'c1'],
    ['on one line', [check('critical', { Output: 'a\n  b\n' })], 'critical', 'a b'],
  ] as const)('is %s', (_, checks, status, statusText) => {
    expect(one(entry({}, checks))).toMatchObject({ status, statusText });
  });

  it('tells no more than fits a line', () => {
    const text = one(entry({}, [check('critical', { Output: 'x'.repeat(5000) })]))!.statusText;
    expect(text.length).toBeLessThan(210);
  });
});

describe('a list', () => {
  it.each([[null], [{}], ['text'], [7]])('is not %j', (body) => {
    expect(() => listOf(body)).toThrow('no list');
  });

  it('leaves out what is no object', () => {
    expect(listOf([null, 1, { a: 1 }])).toEqual([{ a: 1 }]);
  });
});
