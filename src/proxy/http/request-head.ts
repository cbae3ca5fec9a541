// The request head as it goes to the endpoint, written from what was decided about the received
// one: same method, target and fields, without what belongs to the client's connection, and with
// what the endpoint should know of the client.
import { FIELD_IDS, FieldId, LOOKALIKE } from '../../http1/fields.ts';
import { type Head, HeadFlag, Target } from '../../http1/head.ts';
import { copyFields, type HeadWriter } from '../../http1/head-writer.ts';
import type { Route } from '../../model/route.ts';
import type { HttpPolicy } from '../../model/service.ts';

/** What frames a message, or belongs to a connection, is decided here, and by no rule. */
const UNRULED = new Set([
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

/** Who sent the request, as far as the endpoint is told. */
export interface ClientFacts {
  readonly address: string;
  readonly localPort: number;
  /** A proxy of ours in front: what it says of its client is believed and extended. */
  readonly isTrusted: boolean;
}

const idsOf = (names: readonly (keyof typeof FieldId)[]): Uint8Array => {
  const set = new Uint8Array(FIELD_IDS);
  for (const name of names) set[FieldId[name]] = 1;
  return set;
};

const FORWARDED = [
  'forwarded',
  'x-forwarded-for',
  'x-forwarded-proto',
  'x-forwarded-host',
  'x-forwarded-port',
  'x-real-ip',
] as const;

/** Host is written by us: first, and from the target where that has an authority. */
const DROP_UNTRUSTED = idsOf(['host', 'content-length', ...FORWARDED, 'x-request-id']);
DROP_UNTRUSTED[LOOKALIKE] = 1;
const DROP_TRUSTED = idsOf(['host', 'content-length', 'forwarded', 'x-forwarded-for']);

/** Our name in Via, by which a request that comes round again is known. */
export const VIA_NAME = 'upriver';

export interface RequestHeadOptions {
  readonly head: Head;
  readonly client: ClientFacts;
  readonly policy: HttpPolicy;
  readonly route: Route | null;
  /** The request asks for an upgrade that is passed on. */
  readonly isUpgrade: boolean;
  /** An id for requests that bring none. */
  readonly makeRequestId: () => string;
}

/** Writes the whole head, empty line included. */
export function writeRequestHead(out: HeadWriter, options: RequestHeadOptions): void {
  const { head, client, policy, route } = options;
  dropRuled(head, policy.headers.request);
  const maxForwards = takeMaxForwards(head);
  out.reset();
  out.text(head.method);
  out.text(' ');
  writeTarget(out, head, route);
  out.text(' HTTP/1.1\r\nHost: ');
  writeHost(out, head, route);
  out.text('\r\n');
  copyFields(out, head, client.isTrusted ? DROP_TRUSTED : DROP_UNTRUSTED);
  writeFraming(out, head);
  if (maxForwards > 0) out.text(`Max-Forwards: ${maxForwards - 1}\r\n`);
  if (options.isUpgrade) {
    out.text('Connection: upgrade\r\nUpgrade: ');
    out.copy(head.bytes, head.upgradeStart, head.upgradeEnd);
    out.text('\r\n');
  } else if (head.has(HeadFlag.teTrailers)) {
    out.text('Connection: te\r\nTE: trailers\r\n');
  }
  writeForwarded(out, options);
  if (policy.via) out.text(`Via: 1.${head.minorVersion} ${VIA_NAME}\r\n`);
  const hasRule = policy.headers.request['x-request-id'] !== undefined;
  if (policy.requestId && !hasRule && !(client.isTrusted && head.has(HeadFlag.requestId))) {
    out.text(`X-Request-Id: ${options.makeRequestId()}\r\n`);
  }
  writeRules(out, policy.headers.request);
  out.text('\r\n');
}

/**
 * Takes out the fields that configuration sets or removes; to be called before the fields are
 * copied. Few services have rules, so names are compared one by one.
 */
export function dropRuled(head: Head, rules: Readonly<Record<string, string>>): void {
  for (const name in rules) if (!UNRULED.has(name)) head.dropNamed(name);
}

/** Field lines that configuration sets; those it removes have an empty value. */
export function writeRules(out: HeadWriter, rules: Readonly<Record<string, string>>): void {
  for (const name in rules) {
    const value = rules[name]!;
    if (value !== '' && !UNRULED.has(name)) out.text(`${name}: ${value}\r\n`);
  }
}

/** RFC 9110 section 7.6.2: counts down for OPTIONS (TRACE is not served). 0 where it does not apply. */
function takeMaxForwards(head: Head): number {
  if (head.method !== 'OPTIONS' || !head.has(HeadFlag.maxForwards)) return 0;
  const hops = Number(head.valueOf(FieldId['max-forwards']));
  head.dropNamed('max-forwards');
  return Number.isSafeInteger(hops) ? hops : 0;
}

// RFC 9112 section 3.2: to an endpoint goes the origin form, or the asterisk.
function writeTarget(out: HeadWriter, head: Head, route: Route | null): void {
  let start = head.targetStart;
  if (head.target === Target.absolute) {
    start = head.authorityEnd;
    // An absolute target without a path asks for the root, or with OPTIONS for the server.
    const hasPath = start < head.targetEnd && head.bytes[start] === 47;
    if (start === head.targetEnd && head.method === 'OPTIONS') return out.text('*');
    if (!hasPath && (route === null || route.addPrefix === '')) out.text('/');
  }
  if (route === null || head.target === Target.asterisk) {
    out.copy(head.bytes, start, head.targetEnd);
    return;
  }
  if (route.addPrefix !== '') out.text(route.addPrefix);
  const { stripPrefix } = route;
  if (stripPrefix !== '' && head.text(start, start + stripPrefix.length) === stripPrefix) {
    start += stripPrefix.length;
    const next = start < head.targetEnd ? head.bytes[start] : 0;
    if (next !== 47 && route.addPrefix === '') out.text('/');
  }
  out.copy(head.bytes, start, head.targetEnd);
}

// RFC 9112 section 3.2.2: the authority of an absolute target wins over Host.
function writeHost(out: HeadWriter, head: Head, route: Route | null): void {
  if (route !== null && route.rewriteHost !== '') out.text(route.rewriteHost);
  else writeClientHost(out, head);
}

function writeClientHost(out: HeadWriter, head: Head): void {
  if (head.target === Target.absolute) out.copy(head.bytes, head.authorityStart, head.authorityEnd);
  else if (head.hostStart >= 0) out.copy(head.bytes, head.hostStart, head.hostEnd);
}

function writeFraming(out: HeadWriter, head: Head): void {
  if (head.isChunked) out.text('Transfer-Encoding: chunked\r\n');
  else if (head.contentLength >= 0) out.text(`Content-Length: ${head.contentLength}\r\n`);
  else if (head.method === 'POST' || head.method === 'PUT' || head.method === 'PATCH') {
    // RFC 9110 section 8.6: these have a meaning for content, so its absence is said.
    out.text('Content-Length: 0\r\n');
  }
}

function writeForwarded(out: HeadWriter, options: RequestHeadOptions): void {
  const { head, client, policy } = options;
  const isExtended = client.isTrusted && head.has(HeadFlag.forwarded);
  const before = isExtended ? joined(head, FieldId['x-forwarded-for']) : '';
  const rules = policy.headers.request;
  const lacks = (name: (typeof FORWARDED)[number]) =>
    rules[name] === undefined && (!isExtended || head.valueOf(FieldId[name]) === null);
  if (rules['x-forwarded-for'] === undefined) {
    out.text('X-Forwarded-For: ');
    if (before !== '') out.text(`${before}, `);
    out.text(client.address);
    out.text('\r\n');
  }
  if (lacks('x-forwarded-proto')) out.text('X-Forwarded-Proto: http\r\n');
  if (lacks('x-forwarded-port')) {
    out.text('X-Forwarded-Port: ');
    out.text(String(client.localPort));
    out.text('\r\n');
  }
  if (lacks('x-forwarded-host')) {
    out.text('X-Forwarded-Host: ');
    writeClientHost(out, head);
    out.text('\r\n');
  }
  if (policy.forwarded) writeRfc7239(out, head, client);
}

// RFC 7239 section 4: one element per hop.
function writeRfc7239(out: HeadWriter, head: Head, client: ClientFacts): void {
  const before = client.isTrusted ? joined(head, FieldId.forwarded) : '';
  const address = client.address.includes(':') ? `"[${client.address}]"` : client.address;
  out.text(`Forwarded: ${before === '' ? '' : `${before}, `}for=${address};proto=http;host="`);
  writeClientHost(out, head);
  out.text('"\r\n');
}

/** The values of all fields with this id as one list (RFC 9110 section 5.3). */
function joined(head: Head, id: number): string {
  const values: string[] = [];
  head.forEachField((fieldId, _name, start, end) => {
    if (fieldId === id && end > start) values.push(head.text(start, end));
  });
  return values.join(', ');
}
