// Protocols as ALPN has them on the wire.

const lists = new WeakMap<readonly string[], Buffer>();

/** RFC 7301 section 3.1: each name behind its length; null for none. */
export function protocolList(protocols: readonly string[]): Buffer | null {
  if (protocols.length === 0) return null;
  let list = lists.get(protocols);
  if (list === undefined) {
    list = Buffer.from(protocols.map((one) => `${String.fromCharCode(one.length)}${one}`).join(''));
    lists.set(protocols, list);
  }
  return list;
}
