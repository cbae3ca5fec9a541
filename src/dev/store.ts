// What the embedded registry holds: services, their checks and keys, in memory. Every change raises
// one index, as in Consul, and each answer knows the index of what it tells; a blocking query waits
// for that to rise (Consul API, "Blocking Queries").

export interface StoredService {
  readonly node: string;
  readonly nodeAddress: string;
  readonly id: string;
  readonly name: string;
  readonly tags: readonly string[];
  readonly address: string;
  readonly port: number;
  readonly meta: Readonly<Record<string, string>>;
  readonly weights: { readonly Passing: number; readonly Warning: number };
  readonly createIndex: number;
  readonly modifyIndex: number;
}

export type CheckStatus = 'passing' | 'warning' | 'critical';

export interface StoredCheck {
  readonly node: string;
  readonly id: string;
  readonly name: string;
  readonly status: CheckStatus;
  readonly notes: string;
  readonly output: string;
  readonly serviceId: string;
  readonly serviceName: string;
  readonly createIndex: number;
  readonly modifyIndex: number;
}

export interface StoredKey {
  readonly key: string;
  readonly value: Buffer;
  readonly flags: number;
  readonly createIndex: number;
  readonly modifyIndex: number;
}

/** What a blocking query waits on: a service by name, the catalog, the checks or the keys. */
export type Topic = string;

export const CATALOG: Topic = 'catalog';
export const CHECKS: Topic = 'checks';
export const KEYS: Topic = 'keys';
export const serviceTopic = (name: string): Topic => `service:${name}`;

export class Store {
  readonly services = new Map<string, StoredService>();
  readonly checks = new Map<string, StoredCheck>();
  readonly keys = new Map<string, StoredKey>();
  /** The first index of a fresh agent is above 1, so that clients see it rise. */
  private index = 10;
  private readonly indexes = new Map<Topic, number>();
  private readonly waiting = new Map<Topic, Set<() => void>>();

  /** The index of what a topic tells. */
  indexOf(topic: Topic): number {
    return this.indexes.get(topic) ?? 10;
  }

  /** Resolves when the topic's index is above `index`, `signal` fires, or `ms` have passed. */
  waitFor(
    topic: Topic,
    index: number,
    options: { ms: number; signal: AbortSignal },
  ): Promise<void> {
    if (this.indexOf(topic) > index) return Promise.resolve();
    return new Promise((resolve) => {
      const waiters = this.waiting.get(topic) ?? new Set();
      this.waiting.set(topic, waiters);
      const done = (): void => {
        clearTimeout(timer);
        options.signal.removeEventListener('abort', done);
        waiters.delete(done);
        resolve();
      };
      const timer = setTimeout(done, options.ms);
      options.signal.addEventListener('abort', done, { once: true });
      waiters.add(done);
    });
  }

  putService(service: Omit<StoredService, 'createIndex' | 'modifyIndex'>): void {
    const key = `${service.node}/${service.id}`;
    const before = this.services.get(key);
    if (before !== undefined && isSame(before, service)) return;
    const modifyIndex = this.touch(CATALOG, serviceTopic(service.name));
    if (before !== undefined && before.name !== service.name) this.wake(serviceTopic(before.name));
    const createIndex = before?.createIndex ?? modifyIndex;
    this.services.set(key, { ...service, createIndex, modifyIndex });
  }

  /** Removes the service and its checks; false when there is none. */
  removeService(node: string, id: string): boolean {
    const service = this.services.get(`${node}/${id}`);
    if (service === undefined) return false;
    this.services.delete(`${node}/${id}`);
    for (const [key, check] of this.checks) {
      if (check.node === node && check.serviceId === id) this.checks.delete(key);
    }
    this.touch(CATALOG, CHECKS, serviceTopic(service.name));
    return true;
  }

  putCheck(check: Omit<StoredCheck, 'createIndex' | 'modifyIndex'>): void {
    const key = `${check.node}/${check.id}`;
    const before = this.checks.get(key);
    if (before !== undefined && isSame(before, check)) return;
    const modifyIndex = this.touch(CHECKS, ...this.topicsOf(check));
    const createIndex = before?.createIndex ?? modifyIndex;
    this.checks.set(key, { ...check, createIndex, modifyIndex });
  }

  /** Removes a check; false when there is none. */
  removeCheck(node: string, id: string): boolean {
    const check = this.checks.get(`${node}/${id}`);
    if (check === undefined) return false;
    this.checks.delete(`${node}/${id}`);
    this.touch(CHECKS, ...this.topicsOf(check));
    return true;
  }

  putKey(key: string, value: Buffer, flags: number): void {
    const before = this.keys.get(key);
    if (before?.value.equals(value) && before.flags === flags) return;
    const modifyIndex = this.touch(KEYS);
    const createIndex = before?.createIndex ?? modifyIndex;
    this.keys.set(key, { key, value, flags, createIndex, modifyIndex });
  }

  removeKey(key: string): void {
    if (this.keys.delete(key)) this.touch(KEYS);
  }

  /** A check of the node concerns every service on it. */
  private topicsOf(check: { serviceName: string; node: string }): Topic[] {
    if (check.serviceName !== '') return [serviceTopic(check.serviceName)];
    const names = [...this.services.values()]
      .filter((service) => service.node === check.node)
      .map((service) => serviceTopic(service.name));
    return [...new Set(names)];
  }

  private touch(...topics: Topic[]): number {
    this.index += 1;
    for (const topic of topics) this.indexes.set(topic, this.index);
    // What waits is answered after the change is made.
    queueMicrotask(() => {
      for (const topic of topics) this.wake(topic);
    });
    return this.index;
  }

  private wake(topic: Topic): void {
    for (const resolve of [...(this.waiting.get(topic) ?? [])]) resolve();
  }
}

function isSame(before: object, after: object): boolean {
  const { createIndex, modifyIndex, ...rest } = before as StoredCheck;
  return createIndex <= modifyIndex && JSON.stringify(rest) === JSON.stringify(after);
}
