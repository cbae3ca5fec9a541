// Settings, sources and a receiver of updates for tests of providers.

import type { LogFields, Logger } from '../../src/base/log.ts';
import type { Provider, Update } from '../../src/discovery/provider.ts';
import { nodeDoors } from '../../src/doors.ts';
import type { Endpoint } from '../../src/model/endpoint.ts';
import type { ConsulSettings } from '../../src/model/registries/consul.ts';
import type { EtcdSettings } from '../../src/model/registries/etcd.ts';
import type { GuardSettings } from '../../src/model/settings.ts';
import { plainSource, type ServiceSource } from '../../src/model/source.ts';

export function consulSettings(
  address: string | readonly string[],
  more: Partial<ConsulSettings> = {},
): ConsulSettings {
  return {
    addresses: typeof address === 'string' ? [address] : address,
    token: '',
    tokenFile: '',
    httpAuth: '',
    datacenter: '',
    namespace: '',
    partition: '',
    stale: true,
    waitMs: 60_000,
    queryIntervalMs: 1000,
    tls: { caFile: '', certFile: '', keyFile: '', serverName: '', verify: true },
    declaredChecks: true,
    selfDescribed: false,
    tagPrefix: 'upriver',
    listenAllow: [{ kind: 'tcp', network: '', from: 1, to: 65_535 }],
    endpointDeny: [],
    kvKey: 'upriver/config',
    ...more,
  };
}

const { open } = await nodeDoors.loadConsul();

/** What a Consul provider reaches the outside by, as in the program. */
export const consulDoors = { open, resolve: nodeDoors.resolve };

export function etcdSettings(
  address: string | readonly string[],
  more: Partial<EtcdSettings> = {},
): EtcdSettings {
  return {
    addresses: typeof address === 'string' ? [address] : address,
    api: 'auto',
    prefix: '/backends',
    layout: 'backends',
    username: '',
    password: '',
    passwordFile: '',
    tls: { caFile: '', certFile: '', keyFile: '', serverName: '', verify: true },
    selfDescribed: true,
    tagPrefix: 'upriver',
    listenAllow: [{ kind: 'tcp', network: '', from: 1, to: 65_535 }],
    endpointDeny: [],
    ...more,
  };
}

export function guardSettings(): GuardSettings {
  return { enabled: true, holdMs: 30_000, maxRemovedShare: 0.5 };
}

export function source(service: string, more: Partial<ServiceSource> = {}): ServiceSource {
  return { ...plainSource('consul', service), ...more };
}

export interface Received {
  readonly update: Update;
  /** performance.now(). */
  readonly atMs: number;
}

/** Takes the updates of a provider, keeps them, and lets a test wait for one. */
export class Receiver {
  readonly all: Received[] = [];
  private readonly waiting = new Set<() => void>();

  readonly take = (update: Update): void => {
    this.all.push({ update, atMs: performance.now() });
    for (const look of [...this.waiting]) look();
  };

  /** The last update about a service, if it is there still. */
  last(service: string): Extract<Update, { kind: 'upsert' }> | null {
    const update = this.about(service).at(-1)?.update;
    return update?.kind === 'upsert' ? update : null;
  }

  endpoints(service: string): readonly Endpoint[] {
    return this.last(service)?.service.endpoints ?? [];
  }

  ids(service: string): string[] {
    return this.endpoints(service).map((endpoint) => endpoint.id);
  }

  about(service: string): Received[] {
    return this.all.filter(({ update }) => serviceOf(update) === service);
  }

  /** Resolves when `holds` does, looked at after each update; rejects after `withinMs`. */
  until(holds: () => boolean, what: string, withinMs = 90_000): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.waiting.delete(look);
        reject(new Error(`${what}: not within ${withinMs} ms; last: ${this.tail()}`));
      }, withinMs);
      const look = (): void => {
        if (!holds()) return;
        clearTimeout(timer);
        this.waiting.delete(look);
        resolve();
      };
      this.waiting.add(look);
      look();
    });
  }

  private tail(): string {
    return this.all
      .slice(-5)
      .map(({ update }) => JSON.stringify(update))
      .join('\n');
  }
}

/** Starts the provider and resolves when it has answered for everything that it follows. */
export async function startSynced(provider: Provider): Promise<Receiver> {
  const receiver = new Receiver();
  provider.start(receiver.take);
  await untilTrue(
    () => provider.status().isSynced,
    () => JSON.stringify(provider.status()),
  );
  return receiver;
}

/** Looks every few ms. Rejects with `what` after a while. */
export async function untilTrue(
  holds: () => boolean | Promise<boolean>,
  what: () => string,
  withinMs = 90_000,
): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`not within ${withinMs} ms: ${what()}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export interface Logged {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly fields: LogFields;
  readonly message: string;
}

/** A logger that keeps what it is told. */
export function keepingLogger(): { log: Logger; lines: Logged[] } {
  const lines: Logged[] = [];
  const at = (level: Logged['level']) => (fields: LogFields, message: string) =>
    void lines.push({ level, fields, message });
  return {
    log: { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') },
    lines,
  };
}

function serviceOf(update: Update): string {
  return update.kind === 'upsert' ? update.service.source.service : update.source.service;
}
