// Providers over a reload: each is made when its settings come, replaced when they change, and ended
// only once what replaces it is in force.
import { beforeEach, describe, expect, it } from 'vitest';
import { silentLogger } from '../src/base/log.ts';
import type { Provider, ProviderStatus, Update } from '../src/discovery/provider.ts';
import { type Doors, nodeDoors } from '../src/doors.ts';
import type { Settings } from '../src/model/settings.ts';
import { onlySource, plainSource, type ServiceSource } from '../src/model/source.ts';
import { Providers, sourcesOf } from '../src/providers.ts';
import { settingsOf } from './support/config.ts';
import { consulSettings } from './support/discovery.ts';

/** Answers with one endpoint for each service that it follows, named by its number. */
class FakeProvider implements Provider {
  readonly name = 'consul';
  readonly number: number;
  isStopped = false;
  private onUpdate: ((update: Update) => void) | null = null;
  private sources: readonly ServiceSource[] = [];

  constructor() {
    made.push(this);
    this.number = made.length;
  }

  follow(sources: readonly ServiceSource[]): void {
    this.sources = sources;
    this.say();
  }

  start(onUpdate: (update: Update) => void): void {
    this.onUpdate = onUpdate;
    this.say();
  }

  status(): ProviderStatus {
    const plain = { isSynced: true, lastSyncMs: 1, errors: 0, lastError: '', watches: 0 };
    return { name: this.name, address: '', ...plain };
  }

  stop(): Promise<void> {
    this.isStopped = true;
    this.onUpdate = null;
    return Promise.resolve();
  }

  private say(): void {
    for (const source of this.sources) {
      const address = `10.0.0.${this.number}`;
      const plain = { port: 80, weight: 1, status: 'passing', statusText: '' } as const;
      this.onUpdate?.({
        ...{ kind: 'upsert', provider: this.name, receivedMs: 0 },
        cause: { kind: 'registry', text: 'fake' },
        service: {
          source,
          endpoints: [{ id: address, address, ...plain }],
          settings: null,
          doubt: '',
        },
      });
    }
  }
}

const made: FakeProvider[] = [];
/** Addresses by the name in the registry, as the table would have them. */
const seen = new Map<string, string[]>();
let settings: Settings;
let providers: Providers;

beforeEach(async () => {
  made.length = 0;
  seen.clear();
  settings = settingsOf({ file: FIXED });
  const doors: Doors = {
    ...nodeDoors,
    // Of all that speaks with Consul only its provider is made here.
    loadConsul: () => Promise.resolve({ ConsulProvider: FakeProvider } as never),
  };
  providers = new Providers({
    ...{ doors, log: silentLogger, settings: () => settings },
    isGoodSetting: () => true,
    known: () => ({ endpoints: [], isHeld: false }),
    onLock: () => {},
    onOverlay: () => {},
    onUpdate: (update) => {
      const { registry, service } =
        update.kind === 'upsert' ? update.service.source : update.source;
      const endpoints = update.kind === 'upsert' ? update.service.endpoints : [];
      seen.set(
        `${registry}/${service}`,
        endpoints.map(({ address }) => address),
      );
    },
  });
  providers.set.follow(sourcesOf(settings));
  await providers.begin(settings);
  await providers.set.synced(1000);
});

const FIXED = 'static: { web: [10.9.9.9:80] }\nservices: { web: { listen: 80 } }';
const followConsul = (token = '') => ({
  consul: consulSettings('http://127.0.0.1:1', { token, kvKey: '' }),
});

/** As main does it. */
async function reload(after: Settings, between: () => void = () => {}): Promise<void> {
  const before = settings;
  settings = after;
  await providers.change(before, after);
  providers.set.follow([...sourcesOf(before), ...sourcesOf(after)]);
  await providers.set.synced(1000);
  between();
  providers.settle(after);
  providers.set.follow(sourcesOf(after));
}

function following(from: string, registries: Settings['registries']): Settings {
  const [web] = settings.services;
  const fixed = from === 'static' ? settings.static : {};
  return {
    ...settings,
    registries,
    static: fixed,
    services: [{ ...web!, from: onlySource(plainSource(from, 'web')) }],
  };
}

describe('a registry', () => {
  it('has a provider exactly while it is configured, and another one when its settings change', async () => {
    expect(made).toEqual([]);
    await reload(following('consul', followConsul()));
    expect(made.map(({ isStopped }) => isStopped)).toEqual([false]);
    await reload(following('consul', followConsul()));
    expect(made).toHaveLength(1);
    await reload(following('consul', followConsul('other')));
    expect(made.map(({ isStopped }) => isStopped)).toEqual([true, false]);
    expect(seen.get('consul/web')).toEqual(['10.0.0.2']);
    await reload(settingsOf({ file: FIXED }));
    expect(made.map(({ isStopped }) => isStopped)).toEqual([true, true]);
    expect(providers.statuses().map(({ name }) => name)).toEqual(['static']);
  });

  it('keeps its endpoints until a service has those of another, whichever way it moves', async () => {
    expect(seen.get('static/web')).toEqual(['10.9.9.9']);
    await reload(following('consul', followConsul()), () => {
      expect(seen.get('static/web'), 'not in force yet').toEqual(['10.9.9.9']);
      expect(seen.get('consul/web')).toEqual(['10.0.0.1']);
    });
    expect(seen.get('static/web')).toEqual([]);
    await reload(settingsOf({ file: FIXED }), () => {
      expect(seen.get('consul/web'), 'not in force yet').toEqual(['10.0.0.1']);
      expect(seen.get('static/web')).toEqual(['10.9.9.9']);
    });
    expect(seen.get('consul/web')).toEqual([]);
  });
});
