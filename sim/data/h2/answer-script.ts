// How an endpoint that speaks HTTP/2 answers one request, drawn by the request, the endpoint and how
// often it was asked.
import type { Chance } from '../../kernel/chance.ts';
import type { EndpointHabits } from '../answer-script.ts';
import { type AnswerFault, IN_STREAM, type Request } from '../book.ts';
import { drawSize, marked } from '../request-script.ts';
import type { Field } from './hpack.ts';

export interface StreamAnswer {
  readonly status: number;
  readonly body: Buffer;
  readonly fault: AnswerFault;
  readonly fields: readonly Field[];
  readonly trailers: readonly Field[];
  /** An interim response comes first. */
  readonly hasInterim: boolean;
  /** From the request to the head, ms. */
  readonly thinkMs: number;
  /** In how many pieces the body is written, and what lies between two, ms. */
  readonly pieces: number;
  readonly pauseMs: number;
  /** A tunnel begins: `body` is what the endpoint sends in it. */
  readonly switches?: boolean;
  /** Of a call of gRPC: where the messages end in the body, and what the client has to be told at the end. */
  readonly ends?: readonly number[];
  readonly ending?: readonly Field[];
  /** ... and the head comes with the first message. */
  readonly isHeadLate?: boolean;
  /** It answers when the head has come, whatever is still missing of the body ... */
  readonly isEarly: boolean;
  /** ... and wants no more of it when it has answered. */
  readonly isEnough: boolean;
  readonly sends100: boolean;
  /** A fault in the middle of the answer comes before the head (-1), or after so many bytes. */
  readonly faultAt: number;
}

/** Of an extended CONNECT, where any 2xx opens the tunnel. */
const REFUSALS = [403, 404, 500];
const STATUSES = [200, 200, 200, 200, 201, 204, 304, 404, 500];

export function drawStreamAnswer(
  chance: Chance,
  { request, tag, habits }: { request: Request; tag: string; habits: EndpointHabits },
): StreamAnswer {
  const drawn = chance.happens(habits.faultShare) ? chance.pick(habits.faults) : '';
  const isHead = request.method === 'HEAD';
  // Nothing can be cut where there is no content.
  const fault = isHead && IN_STREAM.has(drawn) ? 'bad-fields' : drawn;
  const isTunnel = request.websocketKey !== undefined;
  const list = isTunnel ? REFUSALS : STATUSES;
  const usual = IN_STREAM.has(fault) && !isTunnel ? 200 : chance.pick(list);
  const isBusy = chance.happens(habits.busyShare);
  const switches = isTunnel && maySwitch(fault) && chance.happens(0.85);
  const status = switches ? 200 : isBusy ? 503 : usual;
  const mayHaveBody = !isHead && status !== 204 && status !== 304;
  const size = drawSize(chance, habits.bodyMax);
  const body = marked(mayHaveBody ? (IN_STREAM.has(fault) ? size + 20 : size) : 0, `<${tag}.`);
  const hasLength = mayHaveBody && !switches && (fault === 'wrong-length' || chance.happens(0.6));
  // By HTTP/1.1 it would be whole where it has more than was announced.
  const wrong = request.isHttp2 ? chance.pick([-7, 9]) : 9;
  const more = fault === 'wrong-length' ? wrong : 0;
  const fields: Field[] = [
    [':status', String(status)],
    ['x-tag', tag],
    ...(hasLength ? [['content-length', String(body.length + more)] as const] : []),
    ...(chance.happens(0.3) ? [['server', 'sim'] as const] : []),
  ];
  const isSlow = chance.happens(habits.slowShare);
  const isPieced = chance.happens(0.15);
  const soonMs = chance.happens(0.7) ? 0 : chance.between(0, 20);
  return {
    status,
    body,
    fault,
    fields: spoil(chance, fault, fields),
    switches,
    trailers: mayHaveBody && chance.happens(0.2) && !switches ? [['x-t', 'end']] : [],
    hasInterim: chance.happens(0.05),
    thinkMs: isSlow ? chance.between(0, habits.slowMs) : soonMs,
    pieces: isPieced ? chance.int(2, 6) : 1,
    pauseMs: isPieced ? chance.between(0, 30) : 0,
    isEarly: chance.happens(0.1),
    isEnough: chance.happens(0.5),
    sends100: chance.happens(0.7),
    faultAt: chance.happens(0.3) ? -1 : chance.int(0, Math.max(0, body.length - 1)),
  };
}

/** Faults that may come when a WebSocket is open. */
function maySwitch(fault: AnswerFault): boolean {
  return fault === '' || fault === 'cancels' || fault === 'resets' || fault === 'breaks';
}

/** A head as a broken endpoint writes it. */
export function spoil(
  chance: Chance,
  fault: AnswerFault,
  fields: readonly Field[],
): readonly Field[] {
  if (fault === 'huge-head') return [...fields, ['x-a', 'a'.repeat(70_000)]];
  if (fault !== 'bad-fields') return fields;
  const [, ...rest] = fields;
  return chance.pick<readonly Field[]>([
    rest,
    [[':status', '2000'], ...rest],
    [[':status', '101'], ...rest],
    [...rest, [':status', '200']],
    [...fields, ['X-Capital', 'a']],
    [...fields, ['x-a', 'b\r\nx-c: d']],
    [...fields, [':path', '/']],
    [...fields, ['content-length', 'x']],
  ]);
}
