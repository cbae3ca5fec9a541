// Registers in Consul's key-value store. What is out of service has no key.
import { encodeSegment } from '../base/path-text.ts';
import type { ConsulApi } from './consul-api.ts';
import { unfitKey, unfitService } from './fitness.ts';
import { entriesOf, keyOf, registeredIn } from './key-layout.ts';
import type { Registered, Registration, Registry } from './registry.ts';

export class ConsulKvRegistry implements Registry {
  private readonly api: ConsulApi;
  /** Without slashes around it. */
  private readonly prefix: string;

  constructor(api: ConsulApi, prefix: string) {
    this.api = api;
    this.prefix = prefix.replace(/^\/+|\/+$/g, '');
  }

  get label(): string {
    return `consulkv ${this.api.address}`;
  }

  unfit(service: Registration): string {
    return unfitService(service) || unfitKey(service);
  }

  ping(signal: AbortSignal): Promise<void> {
    return this.api.ping(signal);
  }

  async register(service: Registration, signal: AbortSignal): Promise<void> {
    const [entry] = entriesOf('registrator', this.prefix, service);
    const { key, value: body } = entry!;
    await this.api.call({ method: 'PUT', path: pathOf(key), body, signal });
  }

  async deregister(service: Pick<Registration, 'id' | 'name'>, signal: AbortSignal): Promise<void> {
    const path = pathOf(keyOf(this.prefix, service));
    await this.api.call({ method: 'DELETE', path, signal });
  }

  suspend(service: Registration, _reason: string, signal: AbortSignal): Promise<void> {
    return this.deregister(service, signal);
  }

  refresh(): Promise<readonly string[]> {
    return Promise.resolve([]);
  }

  async list(signal: AbortSignal): Promise<Registered[]> {
    const path = `${pathOf(this.prefix)}/?keys`;
    const keys = await this.api.json(path, signal, [404]).catch((error: unknown) => {
      // Without a key, 404 has no body, or one that is no JSON.
      if (error instanceof Error && 'status' in error && error.status === 200) return [];
      throw error;
    });
    const names = Array.isArray(keys) ? keys.filter((key) => typeof key === 'string') : [];
    return registeredIn(this.prefix, names);
  }

  close(): Promise<void> {
    return this.api.close();
  }
}

function pathOf(key: string): string {
  return `/v1/kv/${key.split('/').map(encodeSegment).join('/')}`;
}
