// How the stats port answers: bodies with their length, never stored, never guessed at.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { safeJson } from '../base/safe-text.ts';
import type { Connection } from './connections.ts';
import type { Outbox } from './outbox.ts';
import type { Asset } from './page.ts';
import { partsOf } from './parts.ts';
import { Rendering } from './renderer.ts';

const RETRY_AFTER_S = '5';

/** One request with what is left of it to say. */
export interface Call {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly connection: Connection;
  readonly outbox: Outbox;
  readonly path: string;
  readonly query: URLSearchParams;
  /** The response stays open: it is given no time to end in. */
  readonly hold: () => void;
}

export const PLAIN = 'text/plain; charset=utf-8';
export const JSON_TYPE = 'application/json; charset=utf-8';
export const HTML = 'text/html; charset=utf-8';

/** Sends what was made for this call alone. */
function send(call: Call, status: number, body: { type: string; text: string }): Promise<void> {
  return sendRendering(call, status, new Rendering(body.type, partsOf(body.text)));
}

/** Large bodies are packed for those who take that. */
export async function sendRendering(
  call: Call,
  status: number,
  rendering: Rendering,
): Promise<void> {
  const { request, response } = call;
  let { parts } = rendering;
  response.setHeader('content-type', rendering.type);
  response.setHeader('cache-control', 'no-store');
  response.setHeader('x-content-type-options', 'nosniff');
  if (rendering.isLarge) {
    response.setHeader('vary', 'accept-encoding');
    if (takesGzip(request)) {
      parts = await rendering.packed();
      response.setHeader('content-encoding', 'gzip');
    }
  }
  // The client may have gone meanwhile.
  if (response.destroyed) return;
  if (call.connection.isReserved) response.setHeader('connection', 'close');
  response.statusCode = status;
  response.setHeader('content-length', parts.length);
  if (request.method === 'HEAD') response.end();
  else if (!call.outbox.send(response, parts, call.connection)) refuseForRoom(response);
}

/** Too much is held for clients that don't read. */
function refuseForRoom(response: ServerResponse): void {
  for (const name of response.getHeaderNames()) response.removeHeader(name);
  response.writeHead(503, {
    'content-length': 0,
    'retry-after': RETRY_AFTER_S,
    connection: 'close',
  });
  response.end();
}

export function sendText(call: Call, status: number, text: string): Promise<void> {
  return send(call, status, { type: PLAIN, text });
}

export function sendJson(call: Call, status: number, body: unknown): Promise<void> {
  return send(call, status, jsonBody(body));
}

function jsonBody(body: unknown) {
  return { type: JSON_TYPE, text: `${safeJson(JSON.stringify(body, null, 2))}\n` };
}

export function sendError(call: Call, status: number, error: string): Promise<void> {
  return sendJson(call, status, { error });
}

/** Also answers 304 where the client has it already. */
export function sendAsset({ request, response }: Call, asset: Asset): void {
  response.setHeader('etag', asset.etag);
  // Asked for again each time, and not sent again while it is the same.
  response.setHeader('cache-control', 'no-cache');
  response.setHeader('x-content-type-options', 'nosniff');
  if (request.headers['if-none-match']?.split(/, */).includes(asset.etag)) {
    response.writeHead(304).end();
    return;
  }
  response.writeHead(200, { 'content-type': asset.type, 'content-length': asset.bytes.length });
  response.end(asset.bytes);
}

function takesGzip(request: IncomingMessage): boolean {
  const accepted = request.headers['accept-encoding'] ?? '';
  return /\bgzip\b/.test(accepted) && !/\bgzip *; *q=0(?:\.0*)?(?:,|$)/.test(accepted);
}
