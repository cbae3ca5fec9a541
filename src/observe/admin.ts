// Changes by the API: who may make them, and what they are.
import { timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import type { OperatorCommand } from '../control/view.ts';

const BODY_BYTES_MAX = 1024;
const WEIGHT_MAX = 65_535;

/**
 * Why this request may change nothing, or ''. Without a token only loopback may, and never a page
 * of another site in somebody's browser: neither by a cross-site request nor by a name that was
 * made to resolve to us.
 */
export function refusal(request: IncomingMessage, adminToken: string): string {
  const site = request.headers['sec-fetch-site'];
  if (site !== undefined && site !== 'same-origin' && site !== 'none') {
    return 'cross-site requests are refused';
  }
  const host = hostOf(request.headers.host ?? '');
  const { origin } = request.headers;
  if (origin !== undefined && origin !== `http://${request.headers.host}`) {
    return 'cross-site requests are refused';
  }
  if (adminToken !== '') {
    const given = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1] ?? '';
    return isEqual(given, adminToken) ? '' : 'the admin token is missing or wrong';
  }
  if (!isLoopback(request.socket.remoteAddress ?? '')) {
    return 'changes are allowed from loopback alone unless an admin token is configured';
  }
  return isIP(host) !== 0 || host === 'localhost' || host === ''
    ? ''
    : `changes are not allowed under the name ${host}`;
}

/** Carries out POST /api/v1/services/NAME/endpoints/ID/{drain,ready,maint,weight}. */
export async function operate(
  request: IncomingMessage,
  path: string,
  run: (service: string, endpoint: string, command: OperatorCommand) => string,
): Promise<{ status: number; error: string }> {
  const match = /^\/api\/v1\/services\/([^/]+)\/endpoints\/([^/]+)\/([a-z]+)$/.exec(path);
  if (match === null) return { status: 404, error: `nothing is served on ${path}` };
  const [service = '', endpoint = '', verb = ''] = match.slice(1).map(decodeURIComponent);
  const body = await readBody(request);
  const command = commandOf(verb, body, new URL(request.url ?? '/', 'http://stats'));
  if (typeof command === 'string') return { status: 400, error: command };
  const error = run(service, endpoint, command);
  return { status: error === '' ? 200 : 404, error };
}

function commandOf(verb: string, body: string, url: URL): OperatorCommand | string {
  if (verb === 'drain' || verb === 'ready' || verb === 'maint') return { kind: verb };
  if (verb !== 'weight') return `'${verb}': expected drain, ready, maint or weight`;
  const text = url.searchParams.get('weight') ?? weightIn(body);
  const weight = Number(text);
  return text !== '' && Number.isInteger(weight) && weight >= 0 && weight <= WEIGHT_MAX
    ? { kind: 'weight', weight }
    : `weight: '${text}': expected a whole number from 0 to ${WEIGHT_MAX}`;
}

/** `{"weight": 5}` or the bare number. */
function weightIn(body: string): string {
  try {
    const parsed: unknown = JSON.parse(body);
    if (typeof parsed === 'number') return String(parsed);
    if (typeof parsed === 'object' && parsed !== null && 'weight' in parsed) {
      return String(parsed.weight);
    }
  } catch {
    // not JSON: no weight
  }
  return '';
}

async function readBody(request: IncomingMessage): Promise<string> {
  let body = '';
  for await (const chunk of request) {
    body += String(chunk);
    if (body.length > BODY_BYTES_MAX) break;
  }
  return body;
}

function hostOf(header: string): string {
  if (header.startsWith('[')) return header.slice(1, header.indexOf(']'));
  return header.replace(/:\d*$/, '').toLowerCase();
}

function isLoopback(address: string): boolean {
  return address === '::1' || /^(::ffff:)?127\./.test(address) || address === '';
}

function isEqual(given: string, expected: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(expected)];
  return a.length === b.length && timingSafeEqual(a, b);
}
