// Changes by the API: who may make them, and what they are.
// The danger is a page in a user's browser: it can send requests from loopback, by a form or by a
// name of its own that it lets resolve to 127.0.0.1. Both are told by what the browser adds.
import type { IncomingMessage } from 'node:http';
import type { OperatorCommand } from '../control/view.ts';
import { BOUNDS } from '../model/bounds.ts';
import {
  type AccessSettings,
  bearerIn,
  hostOf,
  isLoopback,
  isProxied,
  isSecret,
  isTrustedName,
} from './access.ts';

const BODY_BYTES_MAX = BOUNDS.adminBody.max;
const WEIGHT_MAX = 65_535;

type ChangeAccess = Pick<AccessSettings, 'adminToken' | 'hosts'>;

/** Why this request may change nothing, or ''. */
export function refusal(request: IncomingMessage, access: ChangeAccess): string {
  return isCrossSite(request) ? 'cross-site requests are refused' : objection(request, access);
}

/**
 * Why who sent this request may change nothing, or '': with a token, who knows it may; without one,
 * loopback may, unless a proxy passed the request on.
 */
export function objection(request: IncomingMessage, access: ChangeAccess): string {
  const { headers } = request;
  const { adminToken, hosts } = access;
  if (adminToken !== '') {
    // Not as a password: browsers add that to what pages of other sites send, too.
    const given = bearerIn(headers.authorization);
    return isSecret(given, adminToken) ? '' : 'the admin token is missing or wrong';
  }
  if (!isLoopback(request.socket)) {
    return 'changes are allowed from loopback alone unless an admin token is configured';
  }
  if (isProxied(headers)) {
    return 'changes through a proxy need an admin token';
  }
  const host = hostOf(headers.host ?? '');
  return isTrustedName(host, hosts) ? '' : `changes are not allowed under the name ${host}`;
}

/** Whether a page of another site in somebody's browser made this request. */
function isCrossSite({ headers }: IncomingMessage): boolean {
  const { origin } = headers;
  const site = headers['sec-fetch-site'];
  const isOurs = origin === undefined || origin.replace(/^https?:\/\//, '') === headers.host;
  return !isOurs || (site !== undefined && site !== 'same-origin' && site !== 'none');
}

/** The command of `.../endpoints/ID/VERB`, or what is wrong with it. */
export function commandOf(
  verb: string,
  body: string,
  query: URLSearchParams,
): OperatorCommand | string {
  if (verb === 'drain' || verb === 'ready' || verb === 'maint') return { kind: verb };
  const text = query.get('weight') ?? weightIn(body);
  const weight = Number(text);
  return /^\d+$/.test(text) && weight <= WEIGHT_MAX
    ? { kind: 'weight', weight }
    : `weight: '${text}': expected a whole number from 0 to ${WEIGHT_MAX}, as {"weight": 5} or ?weight=5`;
}

/** The body of a change, or null where it is larger than any can be. */
export async function readBody(request: IncomingMessage): Promise<string | null> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    // What is too much is read all the same, so that the answer can be: the time for it is bounded.
    if (bytes <= BODY_BYTES_MAX) chunks.push(chunk);
  }
  return bytes > BODY_BYTES_MAX ? null : Buffer.concat(chunks).toString();
}

/** `{"weight": 5}` or the bare number, as it was written. */
function weightIn(body: string): string {
  try {
    const parsed: unknown = JSON.parse(body);
    if (typeof parsed === 'object' && parsed !== null && 'weight' in parsed) {
      return String(parsed.weight);
    }
    return String(parsed);
  } catch {
    return body.trim();
  }
}
