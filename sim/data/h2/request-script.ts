// What a client asks on one stream, drawn by the id of the request.
import type { Chance } from '../../kernel/chance.ts';
import { drawSize, marked } from '../request-script.ts';
import type { Call } from './calls.ts';
import type { Field } from './hpack.ts';

/** How a client misbehaves with one request; '' is not at all. */
export type StreamFault =
  | ''
  | 'malformed'
  | 'wrong-length'
  | 'bad-trailers'
  | 'window'
  | 'cancels'
  | 'leaves-answer'
  | 'stops'
  | 'stops-reading'
  // These end the connection, and all that is on it.
  | 'closes'
  | 'resets'
  | 'breaks';

const FAULTS: readonly StreamFault[] = [
  'malformed',
  'malformed',
  'wrong-length',
  'wrong-length',
  'bad-trailers',
  'window',
  'cancels',
  'cancels',
  'cancels',
  'leaves-answer',
  'leaves-answer',
  'stops',
  'stops-reading',
  'closes',
  'resets',
  'breaks',
  'breaks',
];

/** Whoever does this with one stream does it to all of the connection. */
export const ENDS_CONNECTION: ReadonlySet<StreamFault> = new Set(['closes', 'resets', 'breaks']);

export interface StreamScript {
  readonly method: string;
  readonly fields: readonly Field[];
  /** What is sent, and what of it an endpoint may get. */
  readonly body: Buffer;
  readonly asked: Buffer;
  readonly trailers: readonly Field[];
  /** Nothing follows the head. */
  readonly isHeadAll: boolean;
  readonly expects: boolean;
  readonly fault: StreamFault;
  /** Bytes of the body, or of the answer, at which the fault comes; and when, ms after the head. */
  readonly faultAt: number;
  readonly faultMs: number;
  readonly isForbidden: boolean;
  readonly isBroken: boolean;
  /** Of a call of gRPC. */
  readonly call: Call | null;
  /** Of an extended CONNECT. */
  readonly tunnel?: {
    /** What is for the tunnel is sent before that is open. */
    readonly isEarly: boolean;
    /** Neither side ends it. */
    readonly rests: boolean;
  };
}

export interface StreamOptions {
  readonly id: string;
  readonly host: string;
  readonly faultShare: number;
  readonly bodyMax: number;
  /** Share of bodies that may be as large. */
  readonly large: number;
  /** Its bodies are large, one like the other. */
  readonly isHeavy: boolean;
}

const METHODS = ['GET', 'GET', 'GET', 'GET', 'POST', 'POST', 'PUT', 'HEAD', 'DELETE', 'OPTIONS'];
export const TRAILERS: readonly Field[] = [['x-trailer', 'end']];

export function drawStream(chance: Chance, options: StreamOptions): StreamScript {
  const { id } = options;
  const fault = chance.happens(options.faultShare) ? chance.pick(FAULTS) : '';
  const isBad = fault === 'wrong-length' || fault === 'bad-trailers';
  const usual = options.isHeavy ? 'PUT' : chance.pick(METHODS);
  const method = fault === 'malformed' ? 'GET' : isBad ? 'POST' : usual;
  const hasBody = method === 'POST' || method === 'PUT';
  const size = hasBody ? drawBody(chance, options) : 0;
  const body = marked(isBad || fault === 'stops' ? size + 5 : size, `>${id}.`);
  // With a length the body is whole before its trailers come.
  const isSized = fault === 'wrong-length' || (fault !== 'bad-trailers' && chance.happens(0.5));
  const trailers = body.length > 0 && chance.happens(0.3) ? TRAILERS : [];
  const expects = body.length > 0 && fault === '' && chance.happens(0.15);
  const length = fault === 'wrong-length' ? wrongLength(chance, body.length) : body.length;
  const plain: Field[] = [...pseudo(chance, method, options), ...extra(chance)];
  if (expects) plain.push(['expect', '100-continue']);
  if (isSized && body.length > 0) plain.push(['content-length', String(length)]);
  const fields = fault === 'malformed' ? chance.pick(MALFORMED)(plain) : plain;
  return {
    method,
    fields,
    body,
    trailers: fault === 'bad-trailers' ? chance.pick(BAD_TRAILERS) : trailers,
    isHeadAll: body.length === 0 && (fault === 'malformed' || chance.happens(0.8)),
    expects,
    fault,
    faultAt: chance.int(0, fault === 'leaves-answer' ? 400 : Math.max(0, body.length - 1)),
    faultMs: chance.happens(0.3) ? 0 : chance.between(0, 40),
    isForbidden: fault === 'malformed',
    // What is announced may be whole, by HTTP/1.1; and no byte more.
    asked: length < body.length ? body.subarray(0, length) : body,
    isBroken: isBad && length >= body.length,
    call: null,
  };
}

function drawBody(chance: Chance, { bodyMax, isHeavy, large }: StreamOptions): number {
  return isHeavy ? chance.int(bodyMax >> 3, bodyMax >> 2) : drawSize(chance, bodyMax, large);
}

function wrongLength(chance: Chance, length: number): number {
  return chance.happens(0.5) ? length + chance.int(1, 1000) : chance.int(0, length - 1);
}

/** In any order (RFC 9113 section 8.3). */
export function pseudo(
  chance: Chance,
  method: string,
  { id, host }: Pick<StreamOptions, 'id' | 'host'>,
): Field[] {
  const list: Field[] = [
    [':method', method],
    [':scheme', 'http'],
    [':authority', host],
    [':path', `/${id}`],
  ];
  const at = chance.int(0, 3);
  return [...list.slice(at), ...list.slice(0, at)];
}

export function extra(chance: Chance): Field[] {
  const list: Field[] = [['user-agent', 'sim']];
  if (chance.happens(0.1)) list.push(['te', 'trailers']);
  if (chance.happens(0.1)) list.push(['cookie', 'a=1'], ['cookie', 'b=2']);
  if (chance.happens(0.05)) list.push(['x-pad', 'p'.repeat(chance.size(1, 6000))]);
  return chance.happens(0.5) ? list : [];
}

const without = (plain: readonly Field[], name: string): Field[] =>
  plain.filter((field) => field[0] !== name);
const after =
  (...more: Field[]) =>
  (plain: readonly Field[]): Field[] => [...plain, ...more];
const instead =
  (name: string, value: string) =>
  (plain: readonly Field[]): Field[] =>
    plain.map((field) => (field[0] === name ? [name, value] : field));

/** Heads that must be refused, before an endpoint sees them (RFC 9113 section 8). */
const MALFORMED: readonly ((plain: readonly Field[]) => Field[])[] = [
  (plain) => without(plain, ':method'),
  (plain) => without(plain, ':path'),
  (plain) => without(plain, ':scheme'),
  (plain) => [[':path', '/other'], ...plain],
  (plain) => [[':status', '200'], ...plain],
  (plain) => [[':unknown', 'x'], ...plain],
  (plain) => [...plain, ['x-a', 'b'], [':method', 'GET']],
  (plain) => [['x-a', 'b'], ...plain],
  instead(':path', ''),
  instead(':path', 'no-slash'),
  instead(':path', '/with blank'),
  instead(':authority', 'user@host'),
  instead(':method', 'BAD METHOD'),
  instead(':method', 'CONNECT'),
  instead(':method', 'TRACE'),
  after(['X-Capital', 'a']),
  after(['x a', 'b']),
  after(['x-a', 'b\r\nx-c: d']),
  after(['x-a', 'b\0']),
  after(['x-a', ' b']),
  after(['connection', 'close']),
  after(['transfer-encoding', 'chunked']),
  after(['keep-alive', 'timeout=5']),
  after(['upgrade', 'h2c']),
  after(['te', 'gzip']),
  after(['host', 'other.sim']),
  after(['content-length', '5']),
  after(['content-length', '0x5']),
  after(['content-length', '5'], ['content-length', '6']),
  after(['x-a', 'a'.repeat(70_000)]),
  after(['expect', '200-ok']),
];

const BAD_TRAILERS: readonly (readonly Field[])[] = [
  [[':path', '/']],
  [['X-Capital', 'a']],
  [['connection', 'close']],
  [['x-a', 'b\n']],
];
