// What the fields of a message must be, whoever gets them from the product (RFC 9113 section 8).
import type { Field } from './hpack.ts';

const NAME = /^:?[!#$%&'*+\-.^_`|~0-9a-z]+$/;
const VALUE = /^(?:[^\0\r\n \t](?:[^\0\r\n]*[^\0\r\n \t])?)?$/;
const OF_HTTP1 = new Set([
  'connection',
  'proxy-connection',
  'keep-alive',
  'transfer-encoding',
  'upgrade',
]);
const PSEUDO = {
  request: new Set([':method', ':scheme', ':authority', ':path', ':protocol']),
  response: new Set([':status']),
  trailers: new Set<string>(),
} as const;

export type MessageKind = keyof typeof PSEUDO;

/** The fields of one message, by name; what comes twice is the last. Throws where they are malformed. */
export function readFields(fields: readonly Field[], kind: MessageKind): Map<string, string> {
  const known = PSEUDO[kind];
  const all = new Map<string, string>();
  let hasPlain = false;
  for (const [name, value] of fields) {
    if (!NAME.test(name)) throw new Error(`a field named ${JSON.stringify(name)}`);
    if (!VALUE.test(value)) throw new Error(`${name} with ${JSON.stringify(value.slice(0, 80))}`);
    if (OF_HTTP1.has(name)) throw new Error(`${name} in HTTP/2`);
    if (name === 'te' && value !== 'trailers') throw new Error(`te: ${value}`);
    if (name.startsWith(':')) {
      if (hasPlain || !known.has(name) || all.has(name)) throw new Error(`${name} in ${kind}`);
    } else hasPlain = true;
    if (name === 'content-length' && all.has(name)) throw new Error('two lengths');
    all.set(name, value);
  }
  checkWhole(all, kind);
  return all;
}

function checkWhole(all: ReadonlyMap<string, string>, kind: MessageKind): void {
  const needed =
    kind === 'request' ? [':method', ':scheme', ':path'] : kind === 'response' ? [':status'] : [];
  for (const name of needed) if (!all.has(name)) throw new Error(`a ${kind} without ${name}`);
  const length = all.get('content-length');
  if (length !== undefined && !/^\d+$/.test(length)) throw new Error(`length ${length}`);
}
