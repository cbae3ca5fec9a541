// Members of etcd of which each answer is written by the test: for what no real one can be made to do.
// Nothing is a socket; time is the test's clock.
import type { EtcdRequest, EtcdResponse, OpenEtcd } from '../../src/discovery/etcd/transport.ts';

/** A body that the test writes bit by bit. */
export class Stream implements AsyncIterable<Buffer> {
  private readonly chunks: (Buffer | Error | null)[] = [];
  private wake: () => void = () => {};

  /** A message of its own, as a line. */
  send(message: unknown): this {
    return this.write(`${JSON.stringify(message)}\n`);
  }

  write(text: string): this {
    return this.push(Buffer.from(text));
  }

  /** In order, or by an error. */
  end(error: Error | null = null): this {
    return this.push(error);
  }

  private push(chunk: Buffer | Error | null): this {
    this.chunks.push(chunk);
    this.wake();
    return this;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    for (;;) {
      const chunk = this.chunks.shift();
      if (chunk === null) return;
      if (chunk instanceof Error) throw chunk;
      if (chunk !== undefined) yield chunk;
      else {
        await new Promise<void>((resolve) => {
          this.wake = resolve;
        });
      }
    }
  }
}

export interface Asked {
  readonly address: string;
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: Readonly<Record<string, string>>;
  /** Parsed; null for a GET. */
  readonly body: unknown;
}

export interface Reply {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON; text is sent as it is. */
  readonly body?: unknown;
  readonly stream?: Stream;
}

/** What a question is answered with; null hangs, an Error breaks the connection. */
export type Script = (asked: Asked) => Reply | Error | null;

export interface ScriptedEtcd {
  readonly open: OpenEtcd;
  readonly asked: Asked[];
  /** Every question to this path. */
  to(path: string): Asked[];
}

export function scriptEtcd(script: Script): ScriptedEtcd {
  const asked: Asked[] = [];
  const request =
    (address: string) =>
    async (given: EtcdRequest): Promise<EtcdResponse> => {
      const one = readRequest(address, given);
      asked.push(one);
      const reply = script(one);
      if (reply instanceof Error) throw reply;
      if (reply === null) return aborted(given.signal);
      const { status = 200, headers = {}, body, stream } = reply;
      const text = typeof body === 'string' ? body : JSON.stringify(body ?? {});
      const whole = stream ?? new Stream().write(text).end();
      return { status, headers, body: untilAborted(whole, given.signal) };
    };
  const transport = {
    to: (address: string) => ({ request: request(address), recycle: () => {} }),
    close: () => Promise.resolve(),
  };
  return { open: () => transport, asked, to: (path) => asked.filter((one) => one.path === path) };
}

function readRequest(address: string, { method, path, headers, body }: EtcdRequest): Asked {
  const url = new URL(path, 'http://etcd');
  const parsed: unknown = body === undefined ? null : JSON.parse(body);
  return {
    ...{ address, method, headers, body: parsed },
    path: decodeURIComponent(url.pathname),
    query: url.searchParams,
  };
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const end = (): void => reject(new Error('aborted'));
    if (signal.aborted) end();
    signal.addEventListener('abort', end, { once: true });
  });
}

async function* untilAborted(stream: Stream, signal: AbortSignal): AsyncGenerator<Buffer> {
  const end = (): void => void stream.end(new Error('aborted'));
  signal.addEventListener('abort', end, { once: true });
  yield* stream;
}
