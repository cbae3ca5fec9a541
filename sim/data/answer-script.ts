// How an endpoint answers one request, drawn by the request, the endpoint and how often it was asked.
import { textAnd } from '../kernel/bytes.ts';
import type { Chance } from '../kernel/chance.ts';
import type { AnswerFault, Request } from './book.ts';
import { acceptOf } from './h2/tunnels.ts';
import { chunked, drawSize, marked } from './request-script.ts';

export type AnswerFraming = 'length' | 'chunked' | 'close' | 'none';

export interface AnswerScript {
  readonly status: number;
  readonly body: Buffer;
  readonly fault: AnswerFault;
  /** What is written, one after the other; a broken answer is cut off or followed by something. */
  readonly bytes: Buffer;
  /** From the request to the first byte, ms. */
  readonly thinkMs: number;
  /** In how many pieces it is written, and what lies between two, ms. */
  readonly pieces: number;
  readonly pauseMs: number;
  /** It answers when the head has come, whatever is still missing of the body. */
  readonly isEarly: boolean;
  /** The endpoint closes after the answer: it said so, or the end of the body is the end. */
  readonly closes: boolean;
  /** Nothing but the end says that the answer is whole. */
  readonly endsByClose: boolean;
  /** A tunnel begins: `body` is what the endpoint sends in it. */
  readonly switches: boolean;
  /** It asks for the body with 100 first. */
  readonly sends100: boolean;
}

export interface EndpointHabits {
  readonly faultShare: number;
  readonly faults: readonly AnswerFault[];
  readonly slowShare: number;
  readonly slowMs: number;
  /** Share of answers 503. */
  readonly busyShare: number;
  readonly bodyMax: number;
  /** It closes connections that were idle for so long, which any server may; 0: it does not. */
  readonly idleCloseMs: number;
  /** Its connections are used for many requests: it seldom ends one with an answer. */
  readonly isLasting: boolean;
  readonly h2: {
    /** SETTINGS_MAX_CONCURRENT_STREAMS, which changes up to that; 0: none. */
    readonly streamsMax: number;
    /** It takes WebSockets. */
    readonly takesTunnels: boolean;
    /** A connection is given up in order within so long; 0: never. */
    readonly ageMs: number;
  };
}

const STATUSES = [200, 200, 200, 200, 201, 204, 304, 404, 500];
/** Bytes of nobody: no client may ever get one. */
export const SURPLUS = '!!surplus!!';

export function drawAnswer(
  chance: Chance,
  { request, tag, habits }: { request: Request; tag: string; habits: EndpointHabits },
): AnswerScript {
  const drawn = chance.happens(habits.faultShare) ? chance.pick(habits.faults) : '';
  const isBodiless = request.method === 'HEAD' || request.isUpgrade;
  const fault = isBodiless && IN_BODY.has(drawn) ? 'junk' : drawn;
  const isWebSocket = request.websocketKey !== undefined;
  // A WebSocket may be reset when it is open.
  const maySwitch = fault === '' || (isWebSocket && fault === 'resets');
  const switches = request.isUpgrade && maySwitch && chance.happens(0.8);
  const usual = IN_BODY.has(fault) ? 200 : chance.pick(STATUSES);
  const status = switches ? 101 : chance.happens(habits.busyShare) ? 503 : usual;
  const mayHaveBody = request.method !== 'HEAD' && status !== 204 && status !== 304;
  const framing = mayHaveBody ? drawFraming(chance, fault, habits.isLasting) : 'none';
  const size = drawSize(chance, habits.bodyMax);
  const isCutShort = fault === 'stalls' || fault === 'resets' || fault === 'closes';
  const body = mayHaveBody ? marked(isCutShort ? size + 20 : size, `<${tag}.`) : marked(0, '');
  const endShare = habits.isLasting ? 0.005 : 0.05;
  const saysClose = framing === 'close' || (!AFTERWARDS.has(fault) && chance.happens(endShare));
  const isHead = request.method === 'HEAD';
  const mayBeginEarly = !IN_BODY.has(fault);
  const sent = { tag, status, framing, body, saysClose, isHead, mayBeginEarly };
  const whole = switches ? switching(tag, '') : answerBytes(chance, sent);
  const { thinkMs, pieces, pauseMs } = drawPace(chance, habits, fault);
  return {
    status,
    body,
    fault,
    bytes: switches ? whole : spoil(chance, fault, whole, body),
    endsByClose: framing === 'close',
    thinkMs,
    pieces,
    pauseMs,
    isEarly: chance.happens(0.1) && !switches,
    closes: saysClose && !switches,
    switches,
    sends100: chance.happens(0.7),
  };
}

/** Faults that show in a body's framing alone. */
const IN_BODY: ReadonlySet<AnswerFault> = new Set<AnswerFault>([
  'both-lengths',
  'bad-length',
  'bad-chunk',
]);

/** Faults on a connection that is kept after the answer. */
const AFTERWARDS: ReadonlySet<AnswerFault> = new Set<AnswerFault>([
  'surplus',
  'closes-idle',
  'resets-idle',
  'surplus-idle',
]);

function drawFraming(chance: Chance, fault: AnswerFault, isLasting: boolean): AnswerFraming {
  if (fault === 'bad-chunk') return 'chunked';
  if (fault === 'both-lengths' || fault === 'bad-length') return 'length';
  // Nobody could tell the end of a body from these.
  if (fault === 'closes' || AFTERWARDS.has(fault)) return chance.pick(['length', 'chunked']);
  const framing = chance.pick<AnswerFraming>(FRAMINGS);
  const isKept = framing === 'close' && isLasting && !chance.happens(0.1);
  return isKept ? 'length' : framing;
}

const FRAMINGS = ['length', 'length', 'length', 'chunked', 'chunked', 'close'] as const;

function drawPace(chance: Chance, habits: EndpointHabits, fault: AnswerFault) {
  const isSlow = chance.happens(habits.slowShare);
  const isPieced = chance.happens(0.15) && fault !== 'surplus';
  return {
    thinkMs: isSlow
      ? chance.between(0, habits.slowMs)
      : chance.happens(0.7)
        ? 0
        : chance.between(0, 20),
    pieces: isPieced ? chance.int(2, 6) : 1,
    pauseMs: isPieced ? chance.between(0, 30) : 0,
  };
}

interface Sent {
  readonly tag: string;
  readonly status: number;
  readonly framing: AnswerFraming;
  readonly body: Buffer;
  readonly saysClose: boolean;
  readonly isHead: boolean;
  /** Interim responses may come first. */
  readonly mayBeginEarly: boolean;
}

function answerBytes(
  chance: Chance,
  { tag, status, framing, body, saysClose, isHead, mayBeginEarly }: Sent,
): Buffer {
  const interim =
    chance.happens(0.05) && mayBeginEarly ? 'HTTP/1.1 103 Early\r\nX-Early: yes\r\n\r\n' : '';
  const length = isHead ? chance.int(0, 5000) : body.length;
  const line =
    framing === 'length' || (framing === 'none' && isHead)
      ? `Content-Length: ${length}\r\n`
      : framing === 'chunked'
        ? 'Transfer-Encoding: chunked\r\n'
        : '';
  const close = saysClose && framing !== 'close' ? 'Connection: close\r\n' : '';
  const reason = chance.happens(0.9) ? ' Sim' : '';
  const head = `${interim}HTTP/1.1 ${status}${reason}\r\nX-Tag: ${tag}\r\n${line}${close}\r\n`;
  const content =
    framing === 'chunked' ? chunked(body, chance, chance.happens(0.2) ? 'X-T: end\r\n' : '') : body;
  return textAnd(head, content);
}

/** `key`: of the request for a WebSocket; ''. */
export function switching(tag: string, key: string): Buffer {
  const upgrade = key === '' ? 'sim' : `websocket\r\nSec-WebSocket-Accept: ${acceptOf(key)}`;
  return Buffer.from(
    `HTTP/1.1 101 Switching\r\nX-Tag: ${tag}\r\nConnection: upgrade\r\nUpgrade: ${upgrade}\r\n\r\n`,
  );
}

/** The answer as a broken endpoint writes it. */
function spoil(chance: Chance, fault: AnswerFault, whole: Buffer, body: Buffer): Buffer {
  const text = (change: (head: string) => string): Buffer => {
    const end = whole.indexOf('\r\n\r\n');
    return Buffer.concat([
      Buffer.from(change(whole.toString('latin1', 0, end)), 'latin1'),
      whole.subarray(end),
    ]);
  };
  switch (fault) {
    case 'silent':
      return whole.subarray(0, 0);
    case 'stalls':
    case 'resets':
    case 'closes':
      // Anywhere, but never the whole: within the head or the body.
      return whole.subarray(0, chance.int(0, whole.length - 1 - (body.length > 0 ? 6 : 0)));
    case 'surplus':
      return Buffer.concat([whole, Buffer.from(SURPLUS)]);
    case 'junk':
      return Buffer.from(`${SURPLUS}\r\n\r\n`);
    case 'both-lengths':
      return text((head) => `${head}\r\nTransfer-Encoding: chunked`);
    case 'bad-length':
      return text((head) => head.replace(/Content-Length: \d+/, 'Content-Length: 1x'));
    case 'bad-chunk':
      return Buffer.concat([whole.subarray(0, lastChunkAt(whole)), Buffer.from('xyz\r\n')]);
    case 'bad-switch':
      return Buffer.from('HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: evil\r\n\r\n');
    case 'huge-head':
      return text((head) => `${head}\r\nA: ${'a'.repeat(70_000)}`);
    default:
      return whole;
  }
}

function lastChunkAt(whole: Buffer): number {
  return whole.lastIndexOf('\r\n0\r\n') + 2;
}
