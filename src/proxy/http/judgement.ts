// What becomes of a request whose head is complete, before an exchange begins: the service that answers
// for it, or an answer of our own.
import { type Head, HeadFlag, Target } from '../../http1/head.ts';
import { type Reason, reason } from '../../model/reason.ts';
import type { Redirect, Route } from '../../model/route.ts';
import type { WorkerContext } from '../context.ts';
import type { LiveListener } from '../listener.ts';
import type { LiveService } from '../live-service.ts';
import { whyLoop, whyNoService } from './asked.ts';
import { hopsOf } from './max-forwards.ts';
import { hidesPrefix, hostOf, locationOf, pathOf } from './target.ts';
import { isLoop } from './via.ts';

const NO_SERVICE = reason('no-service');
const METHOD_NOT_ALLOWED = reason('method-not-allowed');
const BAD_HEADER = reason('bad-header');
const BAD_HOST = reason('bad-host');
const LOOP = reason('loop');

/** An answer of our own; `live` is the service that it is counted for, if any. */
export type OwnAnswer = { readonly live: LiveService | null } & (
  | {
      readonly kind: 'refuse';
      readonly why: Reason;
      /** For the log; where there is one, the client is told what it asked for. */
      readonly detail: string;
    }
  | { readonly kind: 'redirect'; readonly status: number; readonly location: string }
  /** The key authorization that a certificate authority asked for (RFC 8555 section 8.3). */
  | { readonly kind: 'challenge'; readonly text: string }
  /** OPTIONS without a hop left (RFC 9110 section 7.6.2). */
  | { readonly kind: 'options' }
);

function refuse(why: Reason, live: LiveService | null = null, detail = ''): OwnAnswer {
  return { kind: 'refuse', why, detail, live };
}

/** The service that a head leads to by `route` (null: the listener's own), or our answer. */
export function judge(
  head: Head,
  route: Route | null,
  listener: LiveListener,
  { services, challenges }: Pick<WorkerContext, 'services' | 'challenges'>,
): LiveService | OwnAnswer {
  const { method } = head;
  if (challenges.isKept && mayBeChallenge(head)) {
    const text = challenges.answerTo(hostOf(head), pathOf(head));
    if (text === '') return refuse(NO_SERVICE, null, 'no such challenge is outstanding');
    if (text !== null) return { kind: 'challenge', text, live: null };
  }
  if (method === 'CONNECT' || method === 'TRACE') return refuse(METHOD_NOT_ALLOWED);
  const { redirectHttps } = listener.snapshot.policy;
  if (redirectHttps > 0) return redirectToHttps(head, redirectHttps);
  if (route !== null && route.redirect !== null) return redirectTo(head, route.redirect);
  // What is routed is what is forwarded: a prefix that only the normalised path has can't be cut.
  const isHidden = route !== null && hidesPrefix(pathOf(head), route.stripPrefix);
  const live = route === null ? listener.service : (services.get(route.service) ?? null);
  if (live === null || isHidden) {
    return refuse(NO_SERVICE, null, whyNoService(head, route, listener.snapshot));
  }
  if (live.service.http.via && head.has(HeadFlag.via) && isLoop(head)) {
    return refuse(LOOP, live, whyLoop(live.name, listener.snapshot.key));
  }
  if (method !== 'OPTIONS' || !head.has(HeadFlag.maxForwards)) return live;
  const hops = hopsOf(head);
  if (hops > 0) return live;
  return hops < 0 ? refuse(BAD_HEADER, live) : { kind: 'options', live };
}

const DOT = 46;

/** Two looks at bytes, for each request where certificates are ordered: its path begins with `/.`. */
function mayBeChallenge({ bytes, target, authorityEnd, targetStart, method }: Head): boolean {
  const start = target === Target.absolute ? authorityEnd : targetStart;
  return bytes[start + 1] === DOT && (method === 'GET' || method === 'HEAD');
}

/**
 * The request's own URL with https. 308 keeps method and body, so that a POST arrives as one; what
 * speaks HTTP/1.0 may not know 308, and gets the 301 that it knows.
 */
function redirectToHttps(head: Head, port: number): OwnAnswer {
  const place = port === 443 ? '$host' : `$host:${port}`;
  const status = head.minorVersion === 0 ? 301 : 308;
  return redirectTo(head, { status, location: `https://${place}$request_uri` });
}

function redirectTo(head: Head, { status, location }: Redirect): OwnAnswer {
  const target = locationOf(head, location);
  return target === null
    ? refuse(BAD_HOST)
    : { kind: 'redirect', status, location: target, live: null };
}
