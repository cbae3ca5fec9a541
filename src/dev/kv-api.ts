// /v1/kv/*: keys and values (Consul API, "KV Store").
import {
  BadRequest,
  type Call,
  type Registry,
  type Reply,
  type Route,
} from './embedded-registry.ts';
import { KEYS, type StoredKey } from './store.ts';

const PATH = '/v1/kv/';

export function kvRoutes(registry: Registry): Route[] {
  const { store } = registry;
  return [
    { method: 'GET', path: PATH, topic: () => KEYS, answer: (call) => read(registry, call) },
    { method: 'PUT', path: PATH, answer: (call) => write(registry, call) },
    {
      method: 'DELETE',
      path: PATH,
      answer: ({ rest, query }) => {
        const keys = query.has('recurse') ? below(registry, rest).map(({ key }) => key) : [rest];
        for (const key of keys) store.removeKey(key);
        return { body: true };
      },
    },
  ];
}

function read(registry: Registry, { rest, query }: Call): Reply {
  if (query.has('keys')) {
    const keys = [
      ...new Set(below(registry, rest).map(({ key }) => upTo(key, rest, query.get('separator')))),
    ];
    return keys.length === 0 ? { status: 404 } : { body: keys };
  }
  if (query.has('recurse')) {
    const entries = below(registry, rest);
    return entries.length === 0 ? { status: 404 } : { body: entries.map(shape) };
  }
  const entry = registry.store.keys.get(rest);
  if (entry === undefined) return { status: 404 };
  return { body: query.has('raw') ? entry.value : [shape(entry)] };
}

function write(registry: Registry, { rest, query, body }: Call): Reply {
  if (rest === '') throw new BadRequest('Missing key name');
  const flags = Number(query.get('flags') ?? 0);
  if (!Number.isSafeInteger(flags) || flags < 0) throw new BadRequest('Invalid flags');
  const cas = query.get('cas');
  const current = registry.store.keys.get(rest)?.modifyIndex ?? 0;
  if (cas !== null && Number(cas) !== current) return { body: false };
  registry.store.putKey(rest, body, flags);
  return { body: true };
}

function below(registry: Registry, prefix: string): StoredKey[] {
  return [...registry.store.keys.values()]
    .filter(({ key }) => key.startsWith(prefix))
    .sort((a, b) => (a.key < b.key ? -1 : 1));
}

/** The key up to the first separator after the prefix, as `?separator=` asks. */
function upTo(key: string, prefix: string, separator: string | null): string {
  if (separator === null || separator === '') return key;
  const at = key.indexOf(separator, prefix.length);
  return at < 0 ? key : key.slice(0, at + separator.length);
}

function shape({ key, value, flags, createIndex, modifyIndex }: StoredKey) {
  return {
    LockIndex: 0,
    Key: key,
    Flags: flags,
    Value: value.length === 0 ? null : value.toString('base64'),
    CreateIndex: createIndex,
    ModifyIndex: modifyIndex,
  };
}
