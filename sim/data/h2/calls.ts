// Calls of gRPC: what a client asks, and how an endpoint answers it. The messages of each side are ranges of its
// body; in some calls each message waits for the other side's.
import type { Chance } from '../../kernel/chance.ts';
import type { EndpointHabits } from '../answer-script.ts';
import { type Attempt, IN_STREAM, type Request } from '../book.ts';
import { marked } from '../request-script.ts';
import { type StreamAnswer, spoil } from './answer-script.ts';
import type { Field } from './hpack.ts';
import { extra, pseudo, type StreamFault, type StreamScript } from './request-script.ts';

/** Share of a client's requests in worlds with calls. */
const OF_REQUESTS = 0.35;

const KINDS = ['unary', 'client', 'server', 'bidi', 'bidi'] as const;

export interface Call {
  readonly kind: (typeof KINDS)[number];
  /** Where the client's messages end in its body. */
  readonly ends: readonly number[];
  /** Message by message, one side after the other. */
  readonly takesTurns: boolean;
  /** Between two messages, ms. */
  readonly pauseMs: number;
  /** What grpc-timeout says, and in ms; '' and 0: nothing. */
  readonly timeout: string;
  readonly deadlineMs: number;
  /** The client itself cancels at its deadline, as any does that is no other's proxy. */
  readonly isOwnDeadline: boolean;
}

const FAULTS: readonly StreamFault[] = [
  ...(['cancels', 'cancels', 'cancels', 'leaves-answer', 'leaves-answer'] as const),
  ...(['stops', 'stops-reading', 'closes', 'resets', 'breaks'] as const),
];

interface CallOptions {
  readonly id: string;
  readonly host: string;
  readonly faultShare: number;
  readonly bodyMax: number;
}

/** Null: the request is no call. */
export function drawCall(chance: Chance, options: CallOptions): StreamScript | null {
  if (!chance.happens(OF_REQUESTS)) return null;
  const { id, host, bodyMax } = options;
  const fault = chance.happens(options.faultShare) ? chance.pick(FAULTS) : '';
  const kind = chance.pick(KINDS);
  const isStream = kind === 'client' || kind === 'bidi';
  const ends = drawMessages(chance, isStream ? drawCount(chance) : 1, bodyMax);
  const deadline = chance.happens(0.25) ? drawDeadline(chance) : null;
  const call: Call = {
    kind,
    ends,
    takesTurns: kind === 'bidi' && chance.happens(0.7),
    pauseMs: chance.happens(0.4) ? 0 : chance.between(0, 60),
    timeout: deadline?.text ?? '',
    deadlineMs: deadline?.ms ?? 0,
    isOwnDeadline: deadline !== null && chance.happens(0.3),
  };
  const body = marked(ends.at(-1)!, `>${id}.`);
  const fields: Field[] = [
    ...pseudo(chance, 'POST', { id, host }),
    ...extra(chance).filter(([name]) => name !== 'te'),
    ['content-type', chance.pick(['application/grpc', 'application/grpc+proto'])],
    ['te', 'trailers'],
    ...(deadline === null ? [] : [['grpc-timeout', deadline.text] as const]),
  ];
  return {
    ...{ method: 'POST', fields, body, asked: body, trailers: [], isHeadAll: false },
    ...{ expects: false, fault, isForbidden: false, isBroken: false, call },
    faultAt: chance.int(0, fault === 'leaves-answer' ? 400 : body.length - 1),
    faultMs: chance.happens(0.3) ? 0 : chance.between(0, 100),
  };
}

function drawCount(chance: Chance): number {
  return chance.happens(0.1) ? chance.int(10, 40) : chance.int(1, 8);
}

/** Of the sizes at which frames and windows end as well. */
function drawMessages(chance: Chance, count: number, bodyMax: number): readonly number[] {
  const most = Math.max(2, Math.floor(Math.min(bodyMax, 200_000) / 4 / count));
  let at = 0;
  return Array.from({ length: count }, () => {
    // By windows that open slowly many large ones would take longer than anybody waits.
    const isEdge = bodyMax > LARGE_BYTES && chance.happens(0.05);
    const largest = chance.happens(0.05) ? most : Math.min(most, 600);
    at += isEdge ? chance.pick(EDGES) : chance.size(1, largest);
    return at;
  });
}

const LARGE_BYTES = 100_000;
const EDGES = [16_383, 16_384, 16_385, 65_535, 65_536] as const;

/** In the units of grpc-timeout. */
function drawDeadline(chance: Chance): { readonly text: string; readonly ms: number } {
  const ms = chance.pick([chance.int(1, 60), chance.int(30, 400), chance.int(300, 4000)]);
  const unit = chance.pick(['m', 'm', 'u', 'n', 'S']);
  if (unit === 'u') return { text: `${ms * 1000}u`, ms };
  // Eight digits are the most.
  if (unit === 'n' && ms < 100) return { text: `${ms * 1e6}n`, ms };
  if (unit === 'S') return { text: `${Math.ceil(ms / 1000)}S`, ms: Math.ceil(ms / 1000) * 1000 };
  return { text: `${ms}m`, ms };
}

/** How an endpoint answers a call. */
export function drawCallAnswer(
  chance: Chance,
  { request, tag, habits }: { request: Request; tag: string; habits: EndpointHabits },
): StreamAnswer {
  const call = request.call!;
  const drawn = chance.happens(habits.faultShare) ? chance.pick(habits.faults) : '';
  // Content has no announced length here.
  const fault = drawn === 'wrong-length' ? 'cancels' : drawn;
  const isCut = IN_STREAM.has(fault);
  const isStream = call.kind === 'server' || call.kind === 'bidi';
  const isRefused = fault === '' && chance.happens(0.15);
  const isAlone = isRefused && chance.happens(0.5);
  const count = drawAnswers(chance, call, isRefused && !isAlone);
  const ends = isAlone ? [] : drawMessages(chance, count, habits.bodyMax);
  const body = marked(ends.at(-1) ?? 0, `<${tag}.`);
  const status = isRefused ? chance.int(1, 16) : 0;
  const ending: Field[] = [
    ['grpc-status', String(status)],
    ...(chance.happens(0.5) ? [['grpc-message', `of ${tag}`] as const] : []),
  ];
  const fields: Field[] = [
    [':status', '200'],
    ['x-tag', tag],
    ['content-type', 'application/grpc'],
    ...(isAlone ? ending : []),
  ];
  return {
    ...{ status: 200, body, fault, ends, hasInterim: false, sends100: false },
    fields: spoil(chance, fault, fields),
    trailers: isAlone ? [] : ending,
    ending,
    thinkMs: chance.happens(habits.slowShare) ? chance.between(0, habits.slowMs) : 0,
    pieces: Math.max(1, ends.length),
    pauseMs: isStream && chance.happens(0.6) ? chance.between(0, 60) : 0,
    isEarly: call.takesTurns || (isRefused || call.kind === 'bidi' ? chance.happens(0.7) : false),
    isHeadLate: chance.happens(0.6),
    isEnough: chance.happens(0.5),
    faultAt: isCut && chance.happens(0.8) ? chance.int(0, body.length - 1) : -1,
  };
}

function drawAnswers(chance: Chance, call: Call, isRefused: boolean): number {
  const asked = call.ends.length;
  if (call.kind === 'unary' || call.kind === 'client') return 1;
  // One that ends early leaves the rest unanswered; otherwise both sides take part to the end.
  if (call.takesTurns) return isRefused ? chance.int(1, asked) : asked + chance.int(0, 1);
  return drawCount(chance);
}

/** Throws where an endpoint is not asked as the client has asked. */
export function checkAsked({ id, call }: Request, head: ReadonlyMap<string, string>): void {
  if (!call) return;
  const { timeout } = call;
  const said = head.get('grpc-timeout') ?? '';
  if (said !== timeout) throw new Error(`${id} with grpc-timeout ${said}, not ${timeout}`);
  if (head.get('te') !== 'trailers') throw new Error(`${id}, a call, without te: trailers`);
}

/** grpc-status of an answer of the product's own with this HTTP status (docs/http2.md). */
const OWN_CODES: Readonly<Record<number, number>> = {
  ...{ 400: 13, 500: 13, 404: 12, 405: 12, 501: 12, 408: 4, 504: 4 },
  ...{ 413: 8, 431: 8, 429: 14, 502: 14, 503: 14 },
};

/** Throws where a failure of the product's own is not said as gRPC says it. */
export function checkOwn(head: ReadonlyMap<string, string>, status: number, isLast: boolean): void {
  const said = head.get('grpc-status');
  if (!isLast || head.get(':status') !== '200' || head.get('content-type') !== 'application/grpc')
    throw new Error(`a failure of a call as ${head.get(':status')}`);
  if (said !== String(OWN_CODES[status]))
    throw new Error(`grpc-status ${said} for ${head.get('x-upriver-reason')}`);
}

/** Throws where a call does not end as the endpoint has ended it. */
export function checkEnding(
  { ending, tag }: Attempt,
  fields: ReadonlyMap<string, string> | null,
): void {
  if (ending === undefined) return;
  for (const [name, value] of ending) {
    const said = fields?.get(name);
    if (said !== value) throw new Error(`the call of ${tag} ends with ${name} ${said}`);
  }
}
