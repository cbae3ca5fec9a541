// What endpoints answer, by the number of the request: both the endpoint and the oracle read it
// here, so that the oracle knows every byte without asking the product.
import type { Chance } from '../kernel/chance.ts';
import type { Kernel } from '../kernel/kernel.ts';

/** How the end of a response's body is told. */
export type Framing = 'length' | 'chunked' | 'none';

export interface Script {
  readonly method: 'GET' | 'POST' | 'HEAD';
  readonly requestBody: Buffer;
  readonly isRequestChunked: boolean;
  readonly status: number;
  readonly framing: Framing;
  readonly body: Buffer;
  /** From the whole request to the response, ms. */
  readonly thinkMs: number;
}

const NOTHING = Buffer.alloc(0);
const BODY_MAX = 40_000;

/** The script of request `id`, always the same for a seed. */
export function scriptOf(kernel: Kernel, id: string): Script {
  const chance = kernel.chance(`script ${id}`);
  const method = chance.pick(['GET', 'GET', 'GET', 'POST', 'HEAD'] as const);
  const status = chance.pick([200, 200, 200, 201, 204, 304, 404]);
  const hasBody = method !== 'HEAD' && status !== 204 && status !== 304;
  return {
    method,
    requestBody: method === 'POST' ? bodyOf(chance, `>${id}.`) : NOTHING,
    isRequestChunked: chance.happens(0.3),
    status,
    framing: hasBody ? chance.pick(['length', 'length', 'chunked'] as const) : 'none',
    body: hasBody ? bodyOf(chance, `<${id}.`) : NOTHING,
    thinkMs: chance.happens(0.8) ? 0 : chance.between(0, 30),
  };
}

/** Bytes that name their message everywhere: one of another message is seen wherever it stands. */
function bodyOf(chance: Chance, mark: string): Buffer {
  const size = chance.happens(0.1) ? 0 : chance.size(1, chance.happens(0.1) ? BODY_MAX : 600);
  return Buffer.alloc(size, mark, 'latin1');
}

export function requestBytes(id: string, script: Script): Buffer {
  const { method, requestBody, isRequestChunked } = script;
  const framing =
    method !== 'POST'
      ? ''
      : isRequestChunked
        ? 'Transfer-Encoding: chunked\r\n'
        : `Content-Length: ${requestBody.length}\r\n`;
  const head = Buffer.from(`${method} /${id} HTTP/1.1\r\nHost: sim\r\n${framing}\r\n`, 'latin1');
  if (method !== 'POST') return head;
  return Buffer.concat([head, isRequestChunked ? chunked(requestBody) : requestBody]);
}

export function responseBytes(id: string, script: Script): Buffer {
  const { status, framing, body } = script;
  const line =
    framing === 'length'
      ? `Content-Length: ${body.length}\r\n`
      : framing === 'chunked'
        ? 'Transfer-Encoding: chunked\r\n'
        : '';
  const head = Buffer.from(`HTTP/1.1 ${status} Sim\r\nX-Id: ${id}\r\n${line}\r\n`, 'latin1');
  return Buffer.concat([head, framing === 'chunked' ? chunked(body) : body]);
}

const CHUNK_BYTES = 700;

function chunked(body: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < body.length; at += CHUNK_BYTES) {
    const piece = body.subarray(at, at + CHUNK_BYTES);
    parts.push(Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n'));
  }
  parts.push(Buffer.from('0\r\n\r\n'));
  return Buffer.concat(parts);
}
