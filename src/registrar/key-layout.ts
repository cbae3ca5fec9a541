// Which keys a service has in a store of keys, and what stands in them. Pure.
//   registrator      PREFIX/SERVICE/ID = ip:port
//   docker-register  the same, and PREFIX/SERVICE/port = the port within the container
//   skydns           /skydns/DOMAIN REVERSED/SERVICE/ID = {"host":"ip","port":n}
import { formatHostPort } from '../base/host-text.ts';
import type { KeyLayout } from '../model/register.ts';
import type { Registered, Registration } from './registry.ts';

export interface KeyEntry {
  readonly key: string;
  readonly value: string;
}

/** The key of the service itself; PREFIX has no slash at its end. */
export function keyOf(prefix: string, { name, id }: Pick<Registration, 'name' | 'id'>): string {
  return `${prefix}/${name}/${id}`;
}

/** Its own key first, then those that it shares with others of its name. */
export function entriesOf(layout: KeyLayout, prefix: string, service: Registration): KeyEntry[] {
  const { ip, port, name, exposedPort } = service;
  const isSky = layout === 'skydns';
  const value = isSky ? JSON.stringify({ host: ip, port }) : formatHostPort(ip, port);
  const own = { key: keyOf(prefix, service), value };
  if (layout !== 'docker-register') return [own];
  return [own, { key: `${prefix}/${name}/${PORT}`, value: String(exposedPort) }];
}

const PORT = 'port';

/** The services among these keys: the last part is the id, what is before it the name. */
export function registeredIn(prefix: string, keys: Iterable<string>): Registered[] {
  const found: Registered[] = [];
  for (const key of keys) {
    if (!key.startsWith(`${prefix}/`)) continue;
    const parts = key.slice(prefix.length + 1).split('/');
    const id = parts.pop() ?? '';
    if (parts.length === 0 || id === '' || id === PORT) continue;
    found.push({ id, name: parts.join('/'), isSuspended: false });
  }
  return found;
}
