// /v1/kv/*: keys and values (Consul API, "KV Store"). No sessions, so no locks.
import type { KeyStore } from './key-store.ts';
import { type Call, isOn, Refusal, type Reply, type Route } from './routes.ts';
import { keyShape } from './shapes.ts';

const PATH = '/v1/kv/';
const VALUE_BYTES_MAX = 512 * 1024;

export function kvRoutes(keys: KeyStore): Route[] {
  return [
    {
      method: 'GET',
      path: PATH,
      index: ({ rest, query }) => (isList(query) ? keys.listIndex(rest) : keys.indexOf(rest)),
      answer: (call) => read(keys, call),
    },
    { method: 'PUT', path: PATH, answer: (call) => ({ json: write(keys, call) }) },
    { method: 'DELETE', path: PATH, answer: (call) => ({ json: remove(keys, call) }) },
  ];
}

function isList(query: URLSearchParams): boolean {
  return query.has('keys') || query.has('recurse');
}

function read(keys: KeyStore, { rest, query }: Call): Reply {
  if (isList(query)) {
    const found = keys.list(rest);
    // The list of all keys may be empty; a prefix without keys is missing.
    if (found.length === 0)
      return rest === '' && query.has('keys') ? { json: [] } : { status: 404 };
    if (!query.has('keys')) return { json: found.map(keyShape) };
    const separator = query.get('separator') ?? '';
    const names = found.map(({ key }) => upTo(key, rest, separator));
    return { json: [...new Set(names)] };
  }
  if (rest === '') throw new Refusal(400, 'Missing key name');
  const found = keys.get(rest);
  if (found === undefined) return { status: 404 };
  if (!isOn(query, 'raw')) return { json: [keyShape(found)] };
  const headers = { 'X-Content-Type-Options': 'nosniff', 'Content-Security-Policy': 'sandbox' };
  return { bytes: found.value, headers };
}

/** The key up to the first separator after the prefix. */
function upTo(key: string, prefix: string, separator: string): string {
  const at = separator === '' ? -1 : key.indexOf(separator, prefix.length);
  return at < 0 ? key : key.slice(0, at + separator.length);
}

/** False where `?cas=` names another index than the key's. */
function write(keys: KeyStore, { rest, query, body }: Call): boolean {
  if (rest === '') throw new Refusal(400, 'Missing key name');
  refuseLocks(query);
  const flags = unsigned(query.get('flags') ?? '0');
  const cas = query.get('cas');
  if (body.length > VALUE_BYTES_MAX) {
    const limit = `max size: ${VALUE_BYTES_MAX} bytes`;
    throw new Refusal(413, `Request body(${body.length} bytes) too large, ${limit}.`);
  }
  if (cas !== null && unsigned(cas) !== (keys.get(rest)?.modifyIndex ?? 0)) return false;
  keys.put(rest, body, flags);
  return true;
}

function remove(keys: KeyStore, { rest, query }: Call): boolean {
  const cas = query.get('cas');
  if (query.has('recurse')) {
    if (cas !== null) throw new Refusal(400, `Conflicting flags: cas=${cas}&recurse=`);
    for (const { key } of keys.list(rest)) keys.delete(key);
    return true;
  }
  if (rest === '') throw new Refusal(400, 'Missing key name');
  if (cas !== null) {
    const index = unsigned(cas);
    if (index === 0 || index !== (keys.get(rest)?.modifyIndex ?? 0)) return false;
  }
  keys.delete(rest);
  return true;
}

function refuseLocks(query: URLSearchParams): void {
  if (!query.has('acquire') && !query.has('release')) return;
  throw new Refusal(400, 'The embedded registry has no sessions, so no locks');
}

function unsigned(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new Refusal(500, `strconv.ParseUint: parsing "${text}": invalid syntax`);
}
