// How the stats port answers: bodies with their length, never stored, never guessed at.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { Asset } from './page.ts';

/** Below this, packing costs more than it saves. */
const GZIP_BYTES_MIN = 16 * 1024;
const pack = promisify(gzip);

/** One request with what is left of it to say. */
export interface Call {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly path: string;
  readonly query: URLSearchParams;
  /** The response stays open: it is given no time to end in. */
  readonly hold: () => void;
}

export interface Body {
  readonly type: string;
  readonly text: string;
}

export const PLAIN = 'text/plain; charset=utf-8';
export const HTML = 'text/html; charset=utf-8';

/** Large bodies are packed for those who take that. */
export async function send(call: Call, status: number, { type, text }: Body): Promise<void> {
  const { request, response } = call;
  let bytes: Buffer = Buffer.from(text);
  response.setHeader('content-type', type);
  response.setHeader('cache-control', 'no-store');
  response.setHeader('x-content-type-options', 'nosniff');
  if (bytes.length >= GZIP_BYTES_MIN) {
    response.setHeader('vary', 'accept-encoding');
    if (takesGzip(request)) {
      bytes = await pack(bytes, { level: 1 });
      response.setHeader('content-encoding', 'gzip');
    }
  }
  response.writeHead(status, { 'content-length': bytes.length });
  // Node leaves the body out where the method is HEAD.
  response.end(bytes);
}

export function sendText(call: Call, status: number, text: string): Promise<void> {
  return send(call, status, { type: PLAIN, text });
}

export function sendJson(call: Call, status: number, body: unknown): Promise<void> {
  const text = `${JSON.stringify(body, null, 2)}\n`;
  return send(call, status, { type: 'application/json; charset=utf-8', text });
}

export function sendError(call: Call, status: number, error: string): Promise<void> {
  return sendJson(call, status, { error });
}

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
