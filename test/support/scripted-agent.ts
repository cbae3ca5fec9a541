// A Consul agent of which each answer is written by the test: for what no real agent can be made
// to do. It records what it was asked and when.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Asked {
  readonly path: string;
  readonly query: URLSearchParams;
  readonly token: string;
  /** performance.now(). */
  readonly atMs: number;
}

/** What an answer is made of; a string body is sent as it is, anything else as JSON. */
export interface Scripted {
  readonly status?: number;
  readonly index?: number | string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  /** Sends half of the body and cuts the connection. */
  readonly isCut?: boolean;
  /** Never answers. */
  readonly hangs?: boolean;
}

export interface ScriptedAgent {
  readonly url: string;
  readonly asked: readonly Asked[];
  /** Resolves when it has been asked so often. */
  askedTimes(count: number): Promise<void>;
  stop(): Promise<void>;
}

/** Answers question number `n` (from 0) with what `answer` returns; hangs where that is null. */
export async function startScriptedAgent(
  answer: (asked: Asked, n: number) => Scripted | null,
): Promise<ScriptedAgent> {
  const asked: Asked[] = [];
  const waiting = new Set<() => void>();
  const server = createServer((request, response) => {
    const one = read(request);
    asked.push(one);
    reply(response, answer(one, asked.length - 1));
    for (const look of [...waiting]) look();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    asked,
    askedTimes: (count) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (asked.length < count) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function read(request: IncomingMessage): Asked {
  const url = new URL(request.url!, 'http://agent');
  const token = request.headers['x-consul-token'];
  return {
    path: url.pathname,
    query: url.searchParams,
    token: typeof token === 'string' ? token : '',
    atMs: performance.now(),
  };
}

function reply(response: ServerResponse, scripted: Scripted | null): void {
  if (scripted === null || scripted.hangs === true) return;
  const { status = 200, index, headers = {}, body = [], isCut = false } = scripted;
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  response.statusCode = status;
  response.setHeader('content-type', 'application/json');
  if (index !== undefined) response.setHeader('x-consul-index', String(index));
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  response.setHeader('content-length', Buffer.byteLength(text));
  if (!isCut) return void response.end(text);
  response.write(text.slice(0, text.length / 2), () => response.destroy());
}
