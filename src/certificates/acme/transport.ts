// How the ACME library reaches a CA: by the pools that registries are reached by, in the place of its
// own HTTP client. So the CA's answers are bounded in bytes and time, nothing is followed or sent by a
// proxy unasked, and what the CA says of a failure and of patience (Retry-After) is not lost.
import { AsyncLocalStorage } from 'node:async_hooks';
import { axios } from 'acme-client';
import { type BodyLimit, readWhole } from '../../base/body.ts';
import type { Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/coded-error.ts';
import { BOUNDS } from '../../model/bounds.ts';
import { HttpPools, type PoolRequest, type PoolResponse } from '../../reach/http-pools.ts';
import { AcmeError, readProblem, refusalOf } from './problem.ts';

/** axios' types, as the library gives them on. */
type Adapter = Extract<NonNullable<typeof axios.defaults.adapter>, (config: never) => unknown>;
type Answer = Awaited<ReturnType<Adapter>>;

const METHODS: readonly PoolRequest['method'][] = ['GET', 'HEAD', 'POST'];
const LIMIT: BodyLimit = {
  max: BOUNDS.acmeAnswer.max,
  excess: () => new AcmeError(`the CA's answer is larger than ${BOUNDS.acmeAnswer.max} bytes`),
};

/** Exchanges with one CA. */
export class Transport {
  /** What the latest answer asked for by Retry-After, ms; 0 where it did not. */
  retryAfterMs = 0;
  readonly clock: Clock;
  private readonly pools: HttpPools;
  private readonly isSecure: boolean;
  private readonly signal: AbortSignal;

  /** `signal`: gives everything up. */
  constructor(
    { directory, caFile }: { readonly directory: string; readonly caFile: string },
    clock: Clock,
    signal: AbortSignal,
  ) {
    this.clock = clock;
    this.signal = signal;
    this.isSecure = directory.startsWith('https:');
    const tls = { caFile, certFile: '', keyFile: '', serverName: '', verify: true };
    this.pools = new HttpPools(tls);
  }

  /** Runs calls of the library, whose requests go by this transport. */
  run<T>(calls: () => Promise<T>): Promise<T> {
    axios.defaults.adapter = byTransport;
    return current.run(this, calls);
  }

  /** Throws AcmeError where the CA is not reached, or its answer is too large. */
  async exchange(
    request: Pick<PoolRequest, 'method' | 'headers'> & { url: string; body: string | null },
  ): Promise<{ response: PoolResponse; text: string }> {
    const { url, body, ...rest } = request;
    const place = this.placeOf(url);
    const signal = AbortSignal.any([this.signal, AbortSignal.timeout(BOUNDS.acmeExchange.max)]);
    try {
      const response = await (await this.pools.to(place.origin)).request({
        ...rest,
        ...(body === null ? {} : { body }),
        path: `${place.pathname}${place.search}`,
        signal,
      });
      this.retryAfterMs = retryAfterOf(response, this.clock.wallMs());
      // Of an account or an order, which are kept by it.
      const { location } = response.headers;
      if (location !== undefined) this.placeOf(String(location));
      const text = (await readWhole(response.body, LIMIT)).toString();
      return { response, text };
    } catch (error) {
      if (error instanceof AcmeError) throw error;
      const why = causeOf(error);
      throw new AcmeError(`${place.host} is not reached: ${why}`, { isUnreached: true });
    }
  }

  /** Where a URL of the CA leads to. Throws AcmeError for one that is not followed. */
  private placeOf(url: string): URL {
    if (url.length > BOUNDS.acmeUrl.max) {
      throw new AcmeError(`the CA names a URL of more than ${BOUNDS.acmeUrl.max} characters`);
    }
    const place = URL.parse(url);
    // A CA that is reached by TLS must not redirect to a URL without it.
    const isHttp = place?.protocol === 'https:' || (place?.protocol === 'http:' && !this.isSecure);
    if (place === null || !isHttp) {
      throw new AcmeError(`the CA names a URL that is not https: ${url.slice(0, 200)}`);
    }
    return place;
  }

  close(): Promise<void> {
    return this.pools.close();
  }
}

const current = new AsyncLocalStorage<Transport>();

/** In the place of axios' own way to the network. */
const byTransport: Adapter = async (config): Promise<Answer> => {
  const transport = current.getStore();
  if (transport === undefined) throw new Error('requests to a CA are made within Transport.run');
  const url = config.url ?? '';
  const method = METHODS.find((one) => one === config.method?.toUpperCase());
  if (method === undefined) throw new Error(`no request to a CA is a ${config.method}`);
  const body = typeof config.data === 'string' ? config.data : null;
  const headers: Record<string, string> = { 'user-agent': 'upriver', 'accept-language': 'en' };
  if (body !== null) headers['content-type'] = 'application/jose+json';
  const { response, text } = await transport.exchange({ url, method, headers, body });
  const { status } = response;
  const data = jsonOf(response, text);
  // The library answers a refused nonce by itself, at once and with a new one.
  if (status >= 300 && !(status === 400 && readProblem(data).type === 'badNonce')) {
    const { retryAfterMs } = transport;
    throw refusalOf(`${method} ${url}`, { status, body: data, retryAfterMs });
  }
  const fields = response.headers as Answer['headers'];
  return { data, status, statusText: '', headers: fields, config };
};

function jsonOf({ headers }: PoolResponse, text: string): unknown {
  const isJson = /[/+]json\b/.test(String(headers['content-type'] ?? ''));
  if (!isJson || text === '') return text;
  try {
    return JSON.parse(text);
  } catch {
    throw new AcmeError("the CA's answer is not JSON, though it says so");
  }
}

/** Seconds, or a date (RFC 9110 section 10.2.3), as ms from `wallMs`. */
function retryAfterOf({ headers }: PoolResponse, wallMs: number): number {
  const text = String(headers['retry-after'] ?? '').trim();
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  const date = text === '' ? Number.NaN : Date.parse(text);
  return Number.isNaN(date) ? 0 : Math.max(0, date - wallMs);
}

/** What undici was told by the system or by TLS, not that it was told something. */
function causeOf(error: unknown): string {
  const { cause } = error as { readonly cause?: unknown };
  if (error instanceof Error && error.name === 'TimeoutError') {
    return `no answer within ${BOUNDS.acmeExchange.max / 1000} s`;
  }
  return cause instanceof Error ? messageOf(cause) : messageOf(error);
}
