import { describe, expect, it } from 'vitest';
import type { Verdict } from '../../../src/discovery/consul/brake.ts';
import { FollowedService } from '../../../src/discovery/consul/followed-service.ts';
import type { Entry } from '../../../src/discovery/consul/translate.ts';
import type { Resolved } from '../../../src/discovery/host-names.ts';
import type { Endpoint } from '../../../src/model/endpoint.ts';
import { ManualClock } from '../../support/clock.ts';
import { guardSettings, keepingLogger, Receiver, source } from '../../support/discovery.ts';

/** A resolver whose answers the test gives. */
class Names {
  private readonly waiting = new Map<string, (resolved: Resolved | Error) => void>();
  readonly resolve = (name: string): Promise<Resolved> =>
    new Promise((resolve, reject) => {
      this.waiting.set(name, (answer) => {
        this.waiting.delete(name);
        if (answer instanceof Error) reject(answer);
        else resolve(answer);
      });
    });

  /** Answers the question for `name` that is open, and lets its receiver run. */
  async answer(name: string, answer: readonly string[] | Error, ttlMs = 10_000): Promise<void> {
    const give = this.waiting.get(name);
    if (give === undefined) throw new Error(`nobody asks for ${name}`);
    give(answer instanceof Error ? answer : { addresses: answer, ttlMs });
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function make() {
  const clock = new ManualClock();
  const names = new Names();
  const receiver = new Receiver();
  const { log, lines } = keepingLogger();
  const service = new FollowedService({
    clock,
    log,
    source: source('web'),
    tagPrefix: 'upriver',
    onUpdate: receiver.take,
    resolve: names.resolve,
  });
  const take = (entries: readonly Entry[], doubt = '') =>
    service.take({ entries, doubt, change: 'index 1 -> 2', receivedMs: 7 });
  return { clock, names, receiver, lines, service, take };
}

const at = (ID: string, Address: string, more: Partial<NonNullable<Entry['Service']>> = {}) => ({
  Node: { Node: 'n' },
  Service: { ID, Address, Port: 80, ...more },
});

const held: Endpoint = {
  ...{ id: 'n/a', address: '10.0.0.1', port: 80, weight: 1, statusText: '' },
  status: 'passing',
};

describe('an instance that can not get a request', () => {
  it('is named with its fault, has no word in the settings, and spoils nothing else', () => {
    const { take, receiver } = make();
    const wishing = (listen: string) => ({ Tags: [`upriver.listen=${listen}`] });
    take([
      at('good', '10.0.0.1', wishing('8000')),
      at('a', '10.0.0.2', { ...wishing('9000'), Port: 0 }),
      at('b', '', { ...wishing('9000') }),
      at('c', '10.0.0.4', { ...wishing('9000'), Port: 'x' as never }),
    ]);
    expect(receiver.ids('web')).toEqual(['n/good']);
    expect(receiver.last('web')!.service).toMatchObject({
      settings: { listen: '8000' },
      problems: [
        'instance a is left out: port 0: expected 1 to 65535',
        'instance b is left out: it has no address',
        'instance c is left out: port x: expected 1 to 65535',
      ],
    });
  });
});

describe('instances that declare checks', () => {
  it('have them, and what is wrong is told once for all who say it', () => {
    const { take, receiver } = make();
    const declare = (Meta: Record<string, string>) => ({ Meta });
    take([
      at('a', '10.0.0.1', declare({ check_http: '/up', check_interval: 'soon' })),
      at('b', '10.0.0.2', declare({ check_script: 'x' })),
      at('c', '10.0.0.3', declare({ check_script: 'y' })),
      at('d', '10.0.0.4'),
    ]);
    expect(receiver.endpoints('web').map(({ check }) => check?.path)).toEqual([
      '/up',
      ...[undefined, undefined, undefined],
    ]);
    expect(receiver.last('web')!.service.problems).toEqual([
      "instance a: Meta check_interval 'soon': expected a duration such as 10s, from 1s to 1h",
      "instance b and 1 more: Meta check_script can't be run from here: no check is made of it",
    ]);
  });
});

describe('a followed service', () => {
  it('says what it was told, with cause, doubt and time', () => {
    const { take, receiver, service } = make();
    expect(service.isSynced).toBe(false);
    expect(take([at('a', '10.0.0.1')], 'no known leader')).toBe(true);
    expect(service.isSynced).toBe(true);
    expect(receiver.all.map(({ update }) => update)).toEqual([
      {
        kind: 'upsert',
        provider: 'consul',
        service: {
          source: source('web'),
          endpoints: [
            {
              id: 'n/a',
              address: '10.0.0.1',
              port: 80,
              weight: 1,
              status: 'passing',
              statusText: '',
            },
          ],
          settings: null,
          doubt: 'no known leader',
        },
        cause: { kind: 'registry', text: 'consul: index 1 -> 2' },
        receivedMs: 7,
      },
    ]);
  });

  it('says nothing where nothing has changed, in whatever order it comes', () => {
    const { take, receiver } = make();
    take([at('a', '10.0.0.1'), at('b', '10.0.0.2')]);
    expect(take([at('b', '10.0.0.2'), at('a', '10.0.0.1')])).toBe(false);
    expect(receiver.all).toHaveLength(1);
  });

  it('says that it has nothing, the first time too', () => {
    const { take, receiver } = make();
    expect(take([])).toBe(true);
    expect(receiver.endpoints('web')).toEqual([]);
  });

  it('keeps its settings when the last instance goes', () => {
    const { take, receiver } = make();
    take([at('a', '10.0.0.1', { Tags: ['upriver.listen=8000'] })]);
    take([]);
    expect(receiver.last('web')!.service).toMatchObject({
      endpoints: [],
      settings: { listen: '8000' },
    });
    take([at('a', '10.0.0.1')]);
    expect(receiver.last('web')!.service.settings).toBeNull();
  });

  it('doubts a first answer while endpoints are held, whatever the answer says of itself', () => {
    const receiver = new Receiver();
    let secondReads = 0;
    const service = new FollowedService({
      clock: new ManualClock(),
      log: keepingLogger().log,
      source: source('web'),
      tagPrefix: 'upriver',
      onUpdate: receiver.take,
      resolve: new Names().resolve,
      known: () => ({ endpoints: [held], isHeld: true }),
      brake: {
        random: () => 0,
        guard: guardSettings,
        askAgain: () => {
          secondReads += 1;
          return new Promise(() => {});
        },
        onSecondRead: () => {},
      },
    });
    const word = { change: 'index 1', receivedMs: 7 };
    service.take({ entries: [], doubt: 'no known leader', doubtKind: 'answer', ...word });
    expect(receiver.last('web')!.service).toMatchObject({
      doubt: 'no known leader',
      isLasting: true,
    });
    // A leader that is filling up again knows no better.
    expect(secondReads).toBe(0);
    service.close();
  });

  it('passes on what flaps, and is not hurried by it for ever', () => {
    const { take, receiver, clock } = make();
    const there = [at('a', '10.0.0.1')];
    const both = [at('a', '10.0.0.1'), at('b', '10.0.0.2')];
    let hurried = 0;
    for (let i = 0; i < 1000; i += 1) {
      if (take(i % 2 === 0 ? there : both)) hurried += 1;
      clock.advance(10);
    }
    expect(receiver.all).toHaveLength(1000);
    // 200 at once, and 5 a second over the ten seconds.
    expect(hurried).toBeLessThanOrEqual(255);
    expect(take([at('c', '10.0.0.3')])).toBe(true);
  });

  it('tells what its instances disagree about', () => {
    const { take, receiver } = make();
    const both = [
      at('a', '10.0.0.1', { Tags: ['upriver.listen=1'] }),
      at('b', '10.0.0.2', { Tags: ['upriver.listen=2'] }),
    ];
    take(both);
    expect(take(both)).toBe(false);
    expect(receiver.last('web')!.service.problems).toEqual([
      'instances disagree about listen, the first is used: 1 (1), 2 (1)',
    ]);
    take(both.slice(1));
    expect(receiver.last('web')!.service.problems).toBeUndefined();
  });
});

describe('a host name', () => {
  it('becomes an endpoint per address, again when its time is up', async () => {
    const { take, receiver, names, clock, service } = make();
    take([at('db', 'db.example')]);
    expect(service.isSynced).toBe(false);
    await names.answer('db.example', ['10.0.0.2', '10.0.0.1']);
    expect(service.isSynced).toBe(true);
    expect(receiver.ids('web')).toEqual(['n/db@10.0.0.1', 'n/db@10.0.0.2']);
    expect(receiver.endpoints('web').map(({ address }) => address)).toEqual([
      '10.0.0.1',
      '10.0.0.2',
    ]);

    clock.advance(10_000);
    await names.answer('db.example', ['10.0.0.1', '10.0.0.2']);
    const count = receiver.all.length;
    clock.advance(10_000);
    await names.answer('db.example', ['10.0.0.3']);
    expect(receiver.all).toHaveLength(count + 1);
    expect(receiver.ids('web')).toEqual(['n/db@10.0.0.3']);
    expect(receiver.last('web')!.cause.text).toContain('host name');
  });

  it('makes what is said doubtful until it is resolved, so that nothing is removed for it', async () => {
    const { take, receiver, names } = make();
    take([at('db', 'db.example'), at('ip', '10.0.0.9')]);
    expect(receiver.ids('web')).toEqual(['n/ip']);
    expect(receiver.last('web')!.service.doubt).toBe('db.example is not resolved yet');
    await names.answer('db.example', ['10.0.0.1']);
    expect(receiver.ids('web')).toEqual(['n/db@10.0.0.1', 'n/ip']);
    expect(receiver.last('web')!.service).toMatchObject({ doubt: '', isConfirmed: true });
  });

  it('confirms nothing by a second read before it is resolved', async () => {
    const { service, take, receiver, names } = make();
    take([at('a', 'db.example')]);
    await names.answer('db.example', ['10.0.0.1']);
    take([], 'no known leader');
    // With the instance its name was forgotten.
    const sure: Verdict = {
      ...{ entries: [at('a', 'db.example')], doubt: '', change: 'the registry is sure again' },
      ...{ receivedMs: 9, isConfirmed: true, isForced: true },
    };
    service.take(sure);
    const { doubt, isConfirmed } = receiver.last('web')!.service;
    expect({ doubt, isConfirmed }).toEqual({ doubt: 'db.example is not resolved yet' });
    await names.answer('db.example', ['10.0.0.1']);
    expect(receiver.last('web')!.service).toMatchObject({ doubt: '', isConfirmed: true });
    expect(receiver.ids('web')).toEqual(['n/a@10.0.0.1']);
  });

  it('that changes leaves the old endpoints until the new one is resolved', async () => {
    const { take, receiver, names } = make();
    take([at('db', 'old.example')]);
    await names.answer('old.example', ['10.0.0.1']);
    take([at('db', 'new.example'), at('ip', '10.0.0.9')]);
    expect(receiver.ids('web')).toEqual(['n/db@10.0.0.1', 'n/ip']);
    await names.answer('new.example', ['10.0.0.2']);
    expect(receiver.ids('web')).toEqual(['n/db@10.0.0.2', 'n/ip']);
  });

  it('that can not be resolved is said once, keeps what it had, and is tried again', async () => {
    const { take, receiver, names, clock, lines } = make();
    take([at('db', 'db.example')]);
    await names.answer('db.example', ['10.0.0.1']);
    for (let i = 0; i < 3; i += 1) {
      clock.advance(10_000);
      await names.answer('db.example', new Error('no such name'));
    }
    expect(receiver.ids('web')).toEqual(['n/db@10.0.0.1']);
    expect(lines.map(({ message }) => message)).toEqual([expect.stringContaining('no such name')]);
    clock.advance(5_000);
    await names.answer('db.example', ['10.0.0.2']);
    expect(receiver.ids('web')).toEqual(['n/db@10.0.0.2']);
  });

  it('is forgotten with its instance', async () => {
    const { take, names, clock, service } = make();
    take([at('db', 'db.example')]);
    await names.answer('db.example', ['10.0.0.1']);
    take([]);
    expect(clock.waiting).toBe(0);
    take([at('db', 'db.example')]);
    service.close();
    await names.answer('db.example', ['10.0.0.1']);
    expect(clock.waiting).toBe(0);
  });
});
