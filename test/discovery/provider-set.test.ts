import { expect, it } from 'vitest';
import type { Provider, ProviderStatus, Update } from '../../src/discovery/provider.ts';
import { ProviderSet } from '../../src/discovery/provider-set.ts';
import { plainSource, type ServiceSource } from '../../src/model/source.ts';
import { ManualClock } from '../support/clock.ts';

/** A provider that says what the test tells it to. */
class ScriptedProvider implements Provider {
  readonly name: string;
  followed: readonly ServiceSource[] = [];
  isSynced = false;
  lastError = '';
  isStopped = false;
  say: (update: Update) => void = () => {};

  constructor(name: string) {
    this.name = name;
  }

  follow(sources: readonly ServiceSource[]): void {
    this.followed = sources;
  }

  start(onUpdate: (update: Update) => void): void {
    this.say = onUpdate;
  }

  status(): ProviderStatus {
    const { name, isSynced, lastError } = this;
    return { name, isSynced, lastError, lastSyncMs: 0, errors: 0, address: '', watches: 0 };
  }

  stop(): Promise<void> {
    this.isStopped = true;
    return Promise.resolve();
  }

  upsert(source: ServiceSource): void {
    this.say({
      kind: 'upsert',
      provider: this.name,
      service: { source, endpoints: [], settings: null, doubt: '' },
      cause: { kind: 'registry', text: '' },
      receivedMs: 0,
    });
  }
}

function source(registry: string, service: string): ServiceSource {
  return plainSource(registry, service);
}

function makeSet() {
  const updates: Update[] = [];
  const clock = new ManualClock();
  const set = new ProviderSet({ clock, onUpdate: (update) => void updates.push(update) });
  return { set, updates, clock };
}

it('each provider follows the sources that name it, each once', () => {
  const { set } = makeSet();
  const a = new ScriptedProvider('a');
  const b = new ScriptedProvider('b');
  set.follow([source('a', 'one'), source('a', 'one'), source('b', 'two')]);
  set.add(a);
  set.add(b);
  expect(a.followed).toEqual([source('a', 'one')]);
  expect(b.followed).toEqual([source('b', 'two')]);
  set.follow([source('b', 'three')]);
  expect(a.followed).toEqual([]);
  expect(b.followed).toEqual([source('b', 'three')]);
});

it('a provider that is replaced keeps what it said until the new one speaks', () => {
  const { set, updates } = makeSet();
  const old = new ScriptedProvider('a');
  set.add(old);
  old.upsert(source('a', 'one'));
  const later = new ScriptedProvider('a');
  set.replace('a', later);
  expect(old.isStopped).toBe(true);
  expect(updates.map((update) => update.kind)).toEqual(['upsert']);
  // A late word of the old one is nobody's.
  old.upsert(source('a', 'one'));
  later.upsert(source('a', 'one'));
  expect(updates).toHaveLength(2);
});

it('what a provider said goes when it goes', () => {
  const { set, updates } = makeSet();
  const provider = new ScriptedProvider('a');
  set.add(provider);
  provider.upsert(source('a', 'one'));
  provider.upsert(source('a', 'two'));
  provider.say({
    kind: 'remove',
    provider: 'a',
    source: source('a', 'two'),
    cause: { kind: 'registry', text: '' },
    receivedMs: 0,
  });
  set.replace('a', null);
  expect(updates.at(-1)).toMatchObject({ kind: 'remove', source: source('a', 'one') });
  expect(updates).toHaveLength(4);
  expect(set.statuses()).toEqual([]);
});

it('waits for the slowest registry, and no longer than told', async () => {
  const { set, clock } = makeSet();
  const a = new ScriptedProvider('a');
  const b = new ScriptedProvider('b');
  a.isSynced = true;
  b.lastError = 'connection refused';
  set.add(a);
  set.add(b);
  expect(set.unsynced).toBe('b (connection refused)');
  const inVain = set.synced(15);
  for (let i = 0; i < 3; i += 1) {
    clock.advance(10);
    await Promise.resolve();
  }
  expect(await inVain).toBe(false);
  const waited = set.synced(1000);
  b.isSynced = true;
  clock.advance(10);
  expect(await waited).toBe(true);
});

it('what a new provider does not provide goes once it has answered for everything', () => {
  const { set, updates, clock } = makeSet();
  const old = new ScriptedProvider('a');
  set.follow([source('a', 'wanted')]);
  set.add(old);
  for (const name of ['wanted', 'kept', 'gone']) old.upsert(source('a', name));
  // Another is put in its place before the next one has spoken: it inherits what is left.
  set.replace('a', new ScriptedProvider('a'));
  const later = new ScriptedProvider('a');
  set.replace('a', later);
  clock.advance(1000);
  expect(updates).toHaveLength(3);
  later.upsert(source('a', 'kept'));
  later.isSynced = true;
  clock.advance(1000);
  expect(updates.slice(4)).toMatchObject([{ kind: 'remove', source: source('a', 'gone') }]);
  expect(clock.waiting).toBe(0);
});
