// What a client asked for, and why no service answers it, as text for logs and replies.
import type { Head } from '../../http1/head.ts';
import type { Route } from '../../model/route.ts';
import type { ListenerSnapshot } from '../../model/snapshot.ts';
import { normalisePath } from '../router.ts';
import { encodeByte, hidesPrefix, hostOf, pathOf } from './target.ts';

const CHARS_MAX = 200;

/** Host and path of the request, without what a terminal or a browser could take for more than text. */
export function askedOf(head: Head): { readonly host: string; readonly path: string } {
  return { host: safe(hostOf(head)), path: safe(pathOf(head)) };
}

function safe(text: string): string {
  const plain = text.slice(0, CHARS_MAX).replace(/[^\w!$%&'()*+,./:;=?@[\]~-]/g, encodeByte);
  return text.length > CHARS_MAX ? `${plain}...` : plain;
}

/** Why no service answers the request; `route` is the one that matches, or null. */
export function whyNoService(head: Head, route: Route | null, listener: ListenerSnapshot): string {
  if (listener.service !== '') return `service ${listener.service} is not known any more`;
  if (route === null) {
    return normalisePath(pathOf(head)) === null
      ? 'the path can be read in two ways, so it matches no route'
      : `none of the ${listener.routes.length} routes of ${listener.key} matches`;
  }
  const { host, path, service } = route;
  const rule = `the route for ${host === '' ? 'any host' : host} and ${path}`;
  return hidesPrefix(pathOf(head), route.stripPrefix)
    ? `${rule} can't take ${route.stripPrefix} off a path that spells it otherwise`
    : `${rule} leads to service ${service}, which is not known`;
}

/** Why a request that passed through here before is a loop. */
export function whyLoop(service: string, listener: string): string {
  return (
    `its Via names this process: service ${service} leads back to ${listener}, by itself or by way ` +
    'of another proxy; look for an address of ours among its endpoints'
  );
}
