// What all HTTP connections of one worker share, so that an idle connection owns next to nothing:
// the parser of request heads, the writer of response heads, and requests with their exchanges for reuse.
import { assert } from '../../base/assert.ts';
import { type HeadLimits, HeadParser } from '../../http1/head-parser.ts';
import { HeadWriter } from '../../http1/head-writer.ts';
import { HeadText } from '../../http2/head-text.ts';
import type { WorkerContext } from '../context.ts';
import type { LiveEndpoint } from '../live-endpoint.ts';
import { Introduced } from '../proxy-protocol/introduced.ts';
import type { Exchange } from './exchange.ts';
import { Http1Request } from './http1/http1-request.ts';
import { Http2Request } from './http2/http2-request.ts';
import { Turn } from './turn.ts';

const SPARES_MAX = 256;
/** Room for a response head with a small body. */
const RESPONSE_BYTES = 8192;
/** What an endpoint may send as a head. */
const RESPONSE_LIMITS: HeadLimits = { headBytes: 65_536, fieldCount: 200, targetBytes: 0 };

export class HttpPlane {
  readonly context: WorkerContext;
  /** For response heads; what it holds is sent, copied or abandoned before another uses it. */
  readonly responseWriter = new HeadWriter(RESPONSE_BYTES);
  /** For header blocks of HTTP/2; what it holds is used before another comes. */
  readonly headText = new HeadText();
  /** Connections to endpoints that speak for one client connection. */
  readonly introduced = new Introduced();
  /** When connections of HTTP/2, and requests to endpoints, leave. */
  readonly turns: Turn;
  private readonly parsers: HeadParser[] = [];
  private readonly responseParsers: HeadParser[] = [];
  private readonly spares: Http1Request[] = [];
  private readonly http2Spares: Http2Request[] = [];
  /** Exchanges in use, in no order: each knows its place. */
  private readonly active: Exchange[] = [];
  private requestNumber = 0;
  private readonly idPrefix: string;

  constructor(context: WorkerContext) {
    this.context = context;
    this.turns = new Turn((run) => context.clock.nextTurn(run));
    const chance = Math.floor(context.random() * 0x1_0000_0000).toString(16);
    this.idPrefix = `${context.clock.wallMs().toString(16)}-${context.index}${chance}`;
  }

  /** A parser of request heads with these limits; kept by a connection while a head is in pieces. */
  takeParser(limits: HeadLimits): HeadParser {
    const parser = this.parsers.pop() ?? new HeadParser('request', limits);
    parser.reset(limits);
    return parser;
  }

  giveParser(parser: HeadParser): void {
    parser.letGo();
    if (this.parsers.length < SPARES_MAX) this.parsers.push(parser);
  }

  /** A parser of response heads; kept by an upstream connection while a head is in pieces. */
  takeResponseParser(): HeadParser {
    const parser = this.responseParsers.pop() ?? new HeadParser('response', RESPONSE_LIMITS);
    parser.reset();
    return parser;
  }

  giveResponseParser(parser: HeadParser): void {
    parser.letGo();
    if (this.responseParsers.length < SPARES_MAX) this.responseParsers.push(parser);
  }

  /** A request with its exchange; whoever takes it begins it, and its last call gives it back. */
  takeRequest(): Http1Request {
    const request = this.spares.pop() ?? new Http1Request(this);
    assert(request.isFree, 'what is taken is held by no connection');
    return request;
  }

  giveRequest(request: Http1Request): void {
    assert(request.isFree, 'what is given back is held by no connection');
    if (this.spares.length < SPARES_MAX) this.spares.push(request);
  }

  /** As takeRequest, for a stream of HTTP/2. */
  takeHttp2Request(): Http2Request {
    const request = this.http2Spares.pop() ?? new Http2Request(this);
    assert(request.isFree, 'what is taken is held by no stream');
    return request;
  }

  giveHttp2Request(request: Http2Request): void {
    assert(request.isFree, 'what is given back is held by no stream');
    if (this.http2Spares.length < SPARES_MAX) this.http2Spares.push(request);
  }

  /** The exchange has begun. */
  enter(exchange: Exchange): void {
    exchange.activeIndex = this.active.length;
    this.active.push(exchange);
  }

  /** The exchange has ended. */
  leave(exchange: Exchange): void {
    const last = this.active.pop()!;
    if (last !== exchange) {
      this.active[exchange.activeIndex] = last;
      last.activeIndex = exchange.activeIndex;
    }
    exchange.activeIndex = -1;
  }

  /** An endpoint went down by its check: exchanges that wait for it may go elsewhere. */
  endpointWentDown(endpoint: LiveEndpoint): void {
    for (const exchange of [...this.active]) exchange.onEndpointDown(endpoint);
  }

  /** An endpoint is the primary no more: exchanges and tunnels on it end, or go to the new one. */
  readonly endpointLostRole = (endpoint: LiveEndpoint): void => {
    for (const exchange of [...this.active]) {
      try {
        exchange.onNotPrimary(endpoint);
      } catch (error) {
        // One that breaks a rule must not keep the others.
        exchange.onBug(error);
      }
    }
  };

  /** An id for a request that brought none: unique over workers and restarts. */
  readonly makeRequestId = (): string => {
    this.requestNumber += 1;
    return `${this.idPrefix}-${this.requestNumber.toString(16)}`;
  };
}
