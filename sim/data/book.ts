// What the actors of a run did and saw, in one place: every request that a client sent, every attempt
// that an endpoint saw of it, and what is wrong. Oracles read it; nothing in it comes from the product.
import type { Kernel } from '../kernel/kernel.ts';
import type { Call } from './h2/calls.ts';
import type { Field } from './h2/hpack.ts';
import type { SecureFacts } from './tls/secure-client.ts';

/** What an endpoint does wrong with an answer; '' is nothing. */
export type AnswerFault =
  | ''
  | 'silent'
  | 'stalls'
  | 'resets'
  | 'closes'
  | 'surplus'
  | 'junk'
  | 'both-lengths'
  | 'bad-length'
  | 'bad-chunk'
  | 'bad-switch'
  | 'interim-flood'
  | 'huge-head'
  | 'closes-idle'
  | 'resets-idle'
  | 'surplus-idle'
  // Over TLS: the end of an answer that its connection ends, without close_notify.
  | 'truncates'
  // By HTTP/2: a stream that is refused, or above the last id of GOAWAY; one that is reset; a head that
  // is malformed; content of another length than announced; a broken rule of the connection; and what
  // was harmed by something else on its connection.
  | 'refuses'
  | 'goaway'
  | 'cancels'
  | 'bad-fields'
  | 'wrong-length'
  | 'breaks'
  | 'harmed';

/** Faults after which the answer itself is whole and right all the same. */
const HARMLESS: ReadonlySet<AnswerFault> = new Set<AnswerFault>([
  '',
  'surplus',
  'closes-idle',
  'resets-idle',
  'surplus-idle',
  'harmed',
]);

/** Faults by HTTP/2 in the middle of an answer. */
export const IN_STREAM: ReadonlySet<AnswerFault> = new Set<AnswerFault>([
  'stalls',
  'resets',
  'closes',
  'cancels',
  'wrong-length',
]);

/** One request as an endpoint saw it, or one TCP session. */
export interface Attempt {
  /** Unique; stands in every byte of the answer's body. */
  readonly tag: string;
  readonly endpoint: string;
  /** Null until a session has said whose it is. */
  request: Request | null;
  readonly atMs: number;
  readonly status: number;
  readonly body: Buffer;
  fault: AnswerFault;
  /** The endpoint has said that it did nothing for it. */
  isUnprocessed?: boolean;
  /** How a call of gRPC ends: what the client has to be told. */
  readonly ending?: readonly Field[] | undefined;
  /** By HTTP/2, with a length: by HTTP/1.1 it is whole before its stream has ended. */
  isWholeByLength?: boolean;
  /** The whole request has arrived. */
  hasWhole: boolean;
  /** When the first and the last byte of the answer were written; -1: not. */
  answeredMs: number;
  doneMs: number;
  /** When a session was broken off that its client had not ended here; undefined: it was not. */
  cutMs?: number;
}

/** Whether what the client gets of this attempt may be whole. */
export function mayBeWhole({ fault, doneMs, isWholeByLength }: Attempt): boolean {
  return HARMLESS.has(fault) && (doneMs >= 0 || fault === 'surplus' || isWholeByLength === true);
}

/**
 * The earliest moment at which the product may have handed the last byte of an answer to its system. By a narrow link
 * the client reads it long after that.
 */
export function soonestSentMs({ attempts, startMs }: Request): number {
  return Math.max(startMs, ...attempts.map(({ doneMs }) => doneMs));
}

export type RequestEnd = 'open' | 'answered' | 'own' | 'cut' | 'gone' | 'quit' | 'unanswered';

/** One request of a client, or one TCP session. */
export interface Request {
  readonly id: string;
  readonly client: string;
  /** Who the product must take the client for. */
  readonly address: string;
  readonly sourcePort: number;
  /** The port that it was sent to. */
  readonly port: number;
  /** The service that it is for. */
  readonly service: string;
  /** Since when nothing has happened on its connection; by a narrow link, how early the product may see it so. */
  readonly idleSinceMs: number;
  readonly method: string;
  /** The client's connection has TLS; null: it is plain. */
  readonly secure?: SecureFacts | null;
  /** It is a stream of HTTP/2. */
  readonly isHttp2?: boolean;
  /** It is a call of gRPC. */
  readonly call?: Call | null;
  readonly body: Buffer;
  /** By HTTP/2, trailers follow the body: endpoints by HTTP/2 get them. */
  readonly hasTrailers?: boolean;
  readonly isUpgrade: boolean;
  /** It asks for a WebSocket: the key of HTTP/1.1; '' by HTTP/2. */
  readonly websocketKey?: string | undefined;
  /** Neither side ends the tunnel. */
  readonly rests?: boolean;
  /** When the client broke its tunnel off; undefined: it did not. */
  brokeOffMs?: number;
  /** No endpoint may ever see it. */
  readonly isForbidden: boolean;
  /** Its body never becomes whole. */
  readonly isBroken: boolean;
  /** The client behaves: whatever happens to the request is the product's or an endpoint's doing. */
  isOrderly: boolean;
  startMs: number;
  /** When the last byte was written; -1: it was not. */
  wholeMs: number;
  /** In a session or tunnel: when the client ended its direction; -1: it did not. */
  endedMs: number;
  /** When the request before it on the connection was answered; 0: it is the first. */
  turnMs: number;
  readonly attempts: Attempt[];
  end: RequestEnd;
  /** Of the answer that the client saw; 0: none. */
  status: number;
  /** X-Upriver-Reason of an answer of the product's own. */
  reason: string;
  /** Tag of the attempt that the client got, and how many bytes of its body; '': none. */
  answeredBy: string;
  gotBytes: number;
  endMs: number;
}

export class Book {
  readonly requests = new Map<string, Request>();
  readonly attempts: Attempt[] = [];
  /** TCP sessions by tag: the endpoint does not know yet whose they are. */
  readonly sessions = new Map<string, Attempt>();
  /** What is wrong with the product. */
  readonly faults: string[] = [];
  /** By port: client connections that the network opened. */
  readonly dials = new Map<number, number>();
  /** Endpoints that were out of order for a time. */
  readonly unsteady = new Set<string>();
  /** Told of each attempt that an endpoint has seen. */
  onSeen: (attempt: Attempt) => void = () => {};
  /** Services whose messages were read in another protocol for a time: nothing is said of those. */
  private readonly forgiven = new Set<string>();
  private readonly kernel: Kernel;

  constructor(kernel: Kernel) {
    this.kernel = kernel;
  }

  /** `service`: the one that it happened to, where that is one. */
  fault(text: string, service = ''): void {
    if (this.forgiven.has(service)) return;
    // One broken rule shows in many places; the first tell enough.
    if (this.faults.length < 20) this.faults.push(`${this.kernel.nowMs.toFixed(3)} ms: ${text}`);
    this.note(`FAULT: ${text}`);
  }

  get nowMs(): number {
    return this.kernel.nowMs;
  }

  note(text: string): void {
    const { trace, nowMs } = this.kernel;
    if (trace.isOn) trace.add(nowMs, text);
  }

  forgive(service: string): void {
    this.forgiven.add(service);
  }

  isForgiven(service: string): boolean {
    return this.forgiven.has(service);
  }

  get hasForgiven(): boolean {
    return this.forgiven.size > 0;
  }

  /** The world is over and judged: nothing is kept that V8 would have to copy when it collects. */
  forget(): void {
    this.requests.clear();
    this.sessions.clear();
    this.attempts.length = 0;
  }

  open(request: Request): void {
    this.requests.set(request.id, request);
  }

  see(attempt: Attempt): void {
    this.attempts.push(attempt);
    if (attempt.request === null) this.sessions.set(attempt.tag, attempt);
    else attempt.request.attempts.push(attempt);
    this.onSeen(attempt);
  }
}
