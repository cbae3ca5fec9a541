// Which fields no rule of the configuration may touch: what frames a message, or belongs to a
// connection, is decided by the proxy alone (RFC 9112 sections 6 and 9, RFC 9110 section 7.6.1).
// The Host that an endpoint gets has a setting of its own on routes.

/** Lower-case names. */
export const UNRULED_FIELDS: ReadonlySet<string> = new Set([
  'host',
  'content-length',
  'transfer-encoding',
  'connection',
  'upgrade',
  'te',
  'trailer',
  'keep-alive',
  'proxy-connection',
  'expect',
]);
