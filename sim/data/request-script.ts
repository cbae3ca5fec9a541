// What a client sends, drawn by the id of the request.
import { partOf, roomFor, textAnd } from '../kernel/bytes.ts';
import type { Chance } from '../kernel/chance.ts';

const NOTHING = Buffer.alloc(0);

/** How a client misbehaves with one request; '' is not at all. */
export type ClientFault =
  | ''
  | 'malformed'
  | 'half-close'
  | 'ends-early'
  | 'closes'
  | 'resets'
  | 'stops'
  | 'leaves-answer'
  | 'stops-reading';

const FAULTS: readonly ClientFault[] = [
  'malformed',
  'malformed',
  'half-close',
  'ends-early',
  'closes',
  'resets',
  'stops',
  'leaves-answer',
  'leaves-answer',
  'stops-reading',
];

export interface RequestScript {
  readonly method: string;
  readonly body: Buffer;
  readonly bytes: Buffer;
  /** Where the head ends. */
  readonly headBytes: number;
  readonly isUpgrade: boolean;
  readonly expects: boolean;
  readonly hasTrailers: boolean;
  readonly fault: ClientFault;
  /** Bytes of the request, or of its answer, after which the fault comes. */
  readonly faultAt: number;
  readonly isForbidden: boolean;
  readonly isBroken: boolean;
}

export interface RequestOptions {
  readonly id: string;
  readonly host: string;
  /** Speaks HTTP/1.0. */
  readonly isOld: boolean;
  readonly faultShare: number;
  readonly bodyMax: number;
  /** Share of bodies that may be as large. */
  readonly large: number;
  /** What it upgrades to is a WebSocket, with this key; '': it is none. */
  readonly websocketKey: string;
}

const METHODS = ['GET', 'GET', 'GET', 'GET', 'POST', 'POST', 'PUT', 'HEAD', 'DELETE', 'OPTIONS'];
const WITH_BODY = new Set(['POST', 'PUT']);
export const REQUEST_TRAILER = 'X-Trailer: end\r\n';

/** Bytes that name their message everywhere: one of another message shows wherever it stands. */
export function marked(size: number, mark: string): Buffer {
  if (size === 0) return NOTHING;
  const bytes = roomFor(size);
  let filled = Math.min(size, mark.length);
  bytes.write(mark, 0, filled, 'latin1');
  // What is filled is copied behind itself: twice as much each time.
  for (; filled < size; filled *= 2) bytes.copyWithin(filled, 0, Math.min(filled, size - filled));
  return bytes;
}

/** Share of bodies that are larger than that, where any are: they cost as much as a hundred others. */
const LARGE_SHARE = 0.015;
const HELD_BYTES = 256 * 1024;

/** A body's size: mostly small, sometimes none, seldom large. */
export function drawSize(chance: Chance, largest: number, largeShare = 0.04): number {
  if (chance.happens(0.1)) return 0;
  // More than the systems on the way hold.
  if (largest > HELD_BYTES && chance.happens(LARGE_SHARE)) return chance.int(largest >> 1, largest);
  return chance.size(1, chance.happens(largeShare) ? largest : 600);
}

export function drawRequest(chance: Chance, options: RequestOptions): RequestScript {
  const { id, isOld } = options;
  const fault = chance.happens(options.faultShare) ? chance.pick(FAULTS) : '';
  const wrong = fault === 'malformed' ? chance.pick(WRONGS) : null;
  const isUpgrade = !isOld && wrong === null && chance.happens(0.03);
  const method = isUpgrade || wrong !== null ? 'GET' : chance.pick(METHODS);
  const body = WITH_BODY.has(method)
    ? marked(drawSize(chance, options.bodyMax, options.large), `>${id}.`)
    : NOTHING;
  const isChunked = !isOld && body.length > 0 && chance.happens(0.4);
  const hasTrailers = isChunked && chance.happens(0.3);
  const expects = !isOld && body.length > 0 && chance.happens(0.15);
  const version = isOld ? 'HTTP/1.0' : 'HTTP/1.1';
  const padding = chance.happens(0.05) ? `X-Pad: ${'p'.repeat(chance.size(1, 6000))}\r\n` : '';
  const fields =
    `Host: ${options.host}\r\n${padding}` +
    (isUpgrade ? upgradeFields(options.websocketKey) : '') +
    (isOld && chance.happens(0.5) ? 'Connection: keep-alive\r\n' : '') +
    (expects ? 'Expect: 100-continue\r\n' : '') +
    framing(body, isChunked);
  const plain = {
    line: `${method} /${id} ${version}`,
    fields,
    body: send(body, chance, isChunked, hasTrailers),
  };
  const sent = wrong === null ? plain : wrong.make(plain);
  const head = `${sent.line}\r\n${sent.fields}\r\n`;
  const bytes = textAnd(head, sent.body);
  return {
    method,
    body,
    bytes,
    headBytes: head.length,
    isUpgrade,
    expects,
    hasTrailers,
    fault,
    faultAt: chance.int(fault === 'stops' ? 1 : 0, fault === 'leaves-answer' ? 400 : bytes.length),
    isForbidden: wrong !== null && !wrong.isInBody,
    isBroken: wrong?.isInBody === true,
  };
}

function upgradeFields(key: string): string {
  if (key === '') return 'Connection: upgrade\r\nUpgrade: sim\r\n';
  const fields = `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n`;
  return `Connection: upgrade\r\nUpgrade: websocket\r\n${fields}`;
}

function framing(body: Buffer, isChunked: boolean): string {
  if (isChunked) return 'Transfer-Encoding: chunked\r\n';
  return body.length === 0 ? '' : `Content-Length: ${body.length}\r\n`;
}

function send(body: Buffer, chance: Chance, isChunked: boolean, hasTrailers: boolean): Buffer {
  return isChunked ? chunked(body, chance, hasTrailers ? REQUEST_TRAILER : '') : body;
}

/** The body in chunks of drawn sizes, some with an extension. */
export function chunked(body: Buffer, chance: Chance, trailers: string): Buffer {
  const most = Math.max(1, Math.min(body.length, chance.size(1, 20_000)));
  const least = Math.max(1, Math.ceil(body.length / CHUNKS_MAX));
  const all = roomFor(body.length + CHUNKS_MAX * CHUNK_EXTRA_MAX + LAST_CHUNK_MAX);
  let end = 0;
  for (let at = 0; at < body.length; ) {
    const size = Math.min(body.length - at, Math.max(least, chance.int(1, most)));
    const extension = chance.happens(0.05) ? ';a=b' : '';
    end += all.write(`${size.toString(16)}${extension}\r\n`, end, 'latin1');
    all.set(partOf(body, at, at + size), end);
    end += size;
    all[end] = 13;
    all[end + 1] = 10;
    end += 2;
    at += size;
  }
  end += all.write(`0\r\n${trailers}\r\n`, end, 'latin1');
  return all.subarray(0, end);
}

const CHUNKS_MAX = 40;
/** Size line, extension and line ends of one. */
const CHUNK_EXTRA_MAX = 16;
const LAST_CHUNK_MAX = 64;

interface Parts {
  readonly line: string;
  readonly fields: string;
  readonly body: Buffer;
}

/** Requests that must be refused (RFC 9112): before an endpoint sees them, or in the body. */
const WRONGS: readonly { readonly isInBody: boolean; make(plain: Parts): Parts }[] = [
  { isInBody: false, make: (plain) => ({ ...plain, line: plain.line.replace(' ', '  ') }) },
  { isInBody: false, make: (plain) => ({ ...plain, line: `${plain.line}0` }) },
  {
    isInBody: false,
    make: (plain) => ({ ...plain, line: plain.line.replace('HTTP/1', 'HTTP/3') }),
  },
  { isInBody: false, make: (plain) => ({ ...plain, line: plain.line.replace(/^\w+/, 'TRACE') }) },
  { isInBody: false, make: (plain) => ({ ...plain, fields: `A : b\r\n${plain.fields}` }) },
  {
    isInBody: false,
    make: (plain) => ({ ...plain, fields: `A: b\r\n folded\r\n${plain.fields}` }),
  },
  { isInBody: false, make: (plain) => ({ ...plain, fields: `A: b\nX: c\r\n${plain.fields}` }) },
  { isInBody: false, make: (plain) => ({ ...plain, fields: `A: b\0c\r\n${plain.fields}` }) },
  { isInBody: false, make: (plain) => ({ ...plain, fields: `Host: other\r\n${plain.fields}` }) },
  {
    isInBody: false,
    make: (plain) => ({
      ...plain,
      fields: `Content-Length: 5\r\nTransfer-Encoding: chunked\r\n${plain.fields}`,
    }),
  },
  {
    isInBody: false,
    make: (plain) => ({ ...plain, fields: `Content-Length: 0x5\r\n${plain.fields}` }),
  },
  {
    isInBody: false,
    make: (plain) => ({ ...plain, fields: `Transfer-Encoding: gzip, chunked\r\n${plain.fields}` }),
  },
  {
    isInBody: false,
    make: (plain) => ({ ...plain, fields: `A: ${'a'.repeat(70_000)}\r\n${plain.fields}` }),
  },
  { isInBody: false, make: (plain) => ({ ...plain, fields: `Expect: 200-ok\r\n${plain.fields}` }) },
  { isInBody: true, make: broken('zz\r\n') },
  { isInBody: true, make: broken('5\r\nabcdeXX') },
  { isInBody: true, make: broken('-1\r\n') },
  { isInBody: true, make: broken('5;\0\r\nabcde\r\n0\r\n\r\n') },
  { isInBody: true, make: broken('0\r\nbad trailer\r\n\r\n') },
];

/** A POST whose chunked body begins well and goes wrong. */
function broken(rest: string): (plain: Parts) => Parts {
  return ({ line, fields }) => ({
    line: line.replace(/^\w+/, 'POST'),
    fields: `${fields.replace(/(Content-Length|Transfer-Encoding|Expect|Connection|Upgrade):.*\r\n/g, '')}Transfer-Encoding: chunked\r\n`,
    body: Buffer.from(`4\r\ngood\r\n${rest}`, 'latin1'),
  });
}
