// The request head as it goes to the endpoint, written from what was decided about the received
// one: same method, target and fields, without what belongs to the client's connection, and with
// what the endpoint should know of the client.
import { FIELD_IDS, FieldId, LOOKALIKE } from '../../http1/fields.ts';
import { type Head, HeadFlag, Target } from '../../http1/head.ts';
import { copyFields, type HeadWriter } from '../../http1/head-writer.ts';
import type { Route } from '../../model/route.ts';
import type { UpstreamPolicy } from '../../model/service.ts';
import { authorityOf, type ClientFacts, portLine, shownAddress } from './client-facts.ts';
import type { HeaderPolicy } from './header-policy.ts';
import { hopsOf } from './max-forwards.ts';
import { endsSegment } from './target.ts';
import { receivedVersion, VIA_NAME } from './via.ts';

const SLASH = 47;

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

/** What a client's certificate says of it is ours to say, whoever trusts whom. */
const CERTIFICATE = ['x-client-cert-subject', 'x-client-cert-fingerprint'] as const;

/** Host is written by us: first, and from the target where that has an authority. */
const DROP_UNTRUSTED = idsOf([
  'host',
  'content-length',
  ...FORWARDED,
  ...CERTIFICATE,
  'x-request-id',
]);
DROP_UNTRUSTED[LOOKALIKE] = 1;
const DROP_TRUSTED = idsOf([
  ...(['host', 'content-length', 'forwarded', 'x-forwarded-for'] as const),
  ...CERTIFICATE,
]);
const DROP_TRUSTED_ID = DROP_TRUSTED.slice();
DROP_TRUSTED_ID[FieldId['x-request-id']] = 1;

export interface RequestHeadOptions {
  readonly head: Head;
  readonly client: ClientFacts;
  readonly policy: HeaderPolicy;
  readonly route: Route | null;
  /** The Host that the service's endpoints get; '' for the client's. */
  readonly upstreamHost: string;
  /** The request asks for an upgrade that is passed on. */
  readonly isUpgrade: boolean;
  /** What it goes by; '' leaves it to a trusted proxy's. */
  readonly requestId: string;
  /** In place of the client's own; ''. */
  readonly websocketKey: string;
}

/** Whether each endpoint gets its own Host. */
export function wantsOwnHost(route: Route | null, { host }: UpstreamPolicy): boolean {
  const rewriteHost = route === null ? '' : route.rewriteHost;
  return (rewriteHost === '' ? host : rewriteHost) === 'endpoint';
}

/** Writes the whole head, empty line included. */
export function writeRequestHead(out: HeadWriter, options: RequestHeadOptions): void {
  const { head, client, policy, route } = options;
  const renamed = policy.request.takeFrom(head);
  const maxForwards = takeMaxForwards(head);
  if (options.websocketKey !== '') head.dropNamed('sec-websocket-key');
  out.reset();
  out.text(head.method);
  out.text(' ');
  writeTarget(out, head, route);
  out.text(' HTTP/1.1\r\nHost: ');
  writeHost(out, options);
  out.text('\r\n');
  const dropTrusted = options.requestId === '' ? DROP_TRUSTED : DROP_TRUSTED_ID;
  copyFields(out, head, client.isTrusted ? dropTrusted : DROP_UNTRUSTED);
  writeFraming(out, head);
  if (maxForwards > 0) out.text(`Max-Forwards: ${maxForwards - 1}\r\n`);
  if (options.isUpgrade) {
    out.text('Connection: upgrade\r\nUpgrade: ');
    out.copy(head.bytes, head.upgradeStart, head.upgradeEnd);
    out.text('\r\n');
    if (options.websocketKey !== '') out.text(`Sec-WebSocket-Key: ${options.websocketKey}\r\n`);
  } else if (head.has(HeadFlag.teTrailers)) {
    out.text('Connection: te\r\nTE: trailers\r\n');
  }
  writeForwarded(out, options);
  if (client.certificateLines !== '' && !policy.rulesCertificates) {
    out.text(client.certificateLines);
  }
  if (policy.via) out.text(`Via: ${receivedVersion(head)} ${VIA_NAME}\r\n`);
  if (options.requestId !== '') out.text(`X-Request-Id: ${options.requestId}\r\n`);
  if (renamed !== '') out.text(renamed);
  out.text(policy.request.lines);
  out.text('\r\n');
}

/** RFC 9110 section 7.6.2: counts down for OPTIONS (TRACE is not served). 0 where it does not apply. */
function takeMaxForwards(head: Head): number {
  if (head.method !== 'OPTIONS' || !head.has(HeadFlag.maxForwards)) return 0;
  const hops = hopsOf(head);
  head.dropNamed('max-forwards');
  return hops;
}

// RFC 9112 section 3.2: to an endpoint goes the origin form, or the asterisk.
function writeTarget(out: HeadWriter, head: Head, route: Route | null): void {
  let start = head.targetStart;
  if (head.target === Target.absolute) {
    start = head.authorityEnd;
    // An absolute target without a path asks for the root, or with OPTIONS for the server.
    const hasPath = start < head.targetEnd && head.bytes[start] === SLASH;
    if (start === head.targetEnd && head.method === 'OPTIONS') return out.text('*');
    if (!hasPath && (route === null || route.addPrefix === '')) out.text('/');
  }
  if (route === null || head.target === Target.asterisk) {
    out.copy(head.bytes, start, head.targetEnd);
    return;
  }
  if (route.addPrefix !== '') out.text(route.addPrefix);
  const rest = start + stripped(head, start, route.stripPrefix);
  const hasPath = rest < head.targetEnd && head.bytes[rest] === SLASH;
  if (rest > start && !hasPath && route.addPrefix === '') out.text('/');
  out.copy(head.bytes, rest, head.targetEnd);
}

/** Bytes of the prefix at `start`, which ends where a segment does; 0 where it does not stand. */
function stripped(head: Head, start: number, prefix: string): number {
  const end = start + prefix.length;
  if (prefix === '' || end > head.targetEnd || head.text(start, end) !== prefix) return 0;
  const isWhole = prefix.endsWith('/') || end === head.targetEnd || endsSegment(head.bytes[end]!);
  // A slash at its end is the next segment's first.
  if (!isWhole) return 0;
  return prefix.endsWith('/') ? prefix.length - 1 : prefix.length;
}

// RFC 9112 section 3.2.2: the authority of an absolute target wins over Host. A client of HTTP/1.0 may have
// named none; endpoints refuse HTTP/1.1 without a Host, and most of them an empty one, so it is the address
// that the client has asked (RFC 9112 section 3.3).
function writeHost(out: HeadWriter, options: RequestHeadOptions): void {
  const { head, client, route, upstreamHost } = options;
  const rewriteHost = route === null ? '' : route.rewriteHost;
  const given = rewriteHost === '' ? upstreamHost : rewriteHost;
  // Each endpoint's own is put in the place of the client's when it is known.
  const isGiven = given !== '' && given !== 'client' && given !== 'endpoint';
  if (isGiven) out.text(given);
  else if (hasHost(head)) writeClientHost(out, head);
  else out.text(authorityOf(client));
}

const hasHost = (head: Head) => head.target === Target.absolute || head.hostEnd > head.hostStart;

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
  if (isExtended || !policy.isForwardedPlain) writeUnusualForwarded(out, options, isExtended);
  else {
    out.text(client.lines);
    writeForwardedHost(out, head);
  }
  if (policy.forwarded) writeRfc7239(out, head, client);
}

/** A trusted proxy's word goes on, and a rule's value stands instead of ours. */
function writeUnusualForwarded(
  out: HeadWriter,
  { head, client, policy }: RequestHeadOptions,
  isExtended: boolean,
): void {
  const { request } = policy;
  const isOurs = (name: (typeof FORWARDED)[number]) =>
    !request.has(name) && (!isExtended || head.valueOf(FieldId[name]) === null);
  if (!request.has('x-forwarded-for')) {
    const before = isExtended ? joined(head, FieldId['x-forwarded-for']) : '';
    const address = shownAddress(client.address);
    out.text(`X-Forwarded-For: ${before === '' ? '' : `${before}, `}${address}\r\n`);
  }
  if (isOurs('x-forwarded-proto')) out.text(`X-Forwarded-Proto: ${client.scheme}\r\n`);
  if (isOurs('x-forwarded-port')) out.text(portLine(client.localPort));
  if (isOurs('x-forwarded-host')) writeForwardedHost(out, head);
}

function writeForwardedHost(out: HeadWriter, head: Head): void {
  // An HTTP/1.0 client may have named none.
  if (!hasHost(head)) return;
  out.text('X-Forwarded-Host: ');
  writeClientHost(out, head);
  out.text('\r\n');
}

// RFC 7239 section 4: one element per hop.
function writeRfc7239(out: HeadWriter, head: Head, client: ClientFacts): void {
  const before = client.isTrusted ? joined(head, FieldId.forwarded) : '';
  const plain = shownAddress(client.address);
  const address = plain.includes(':') ? `"[${plain}]"` : plain;
  out.text(`Forwarded: ${before === '' ? '' : `${before}, `}for=${address};`);
  out.text(`proto=${client.scheme};host="`);
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
