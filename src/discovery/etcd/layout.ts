// Where a key stands: which services its record belongs to, and under which name. Pure.
//
//   backends (docker-register, its multi-port fork, Registrator, nerve), at any depth:
//     PREFIX/<service>/<id>           an instance
//     PREFIX/<service>/port           the port on which the service wants to be served
//     PREFIX/<service>/upriver.<key>  a setting that the service gives itself
//   skydns (SkyDNS, Registrator's skydns2): PREFIX/<domain reversed>/<id>; a record belongs to every
//   domain above it, so that cluster.local has the instances of web.cluster.local too.
import { BOUNDS } from '../../model/bounds.ts';
import type { KeyLayout } from '../key-record.ts';

/** A record of a service. */
export interface Place {
  readonly service: string;
  /** Its name within the service. */
  readonly leaf: string;
}

/**
 * The places of a key, given what follows its prefix. None where it is no record of a service, is
 * too long or too deep.
 */
export function placesOf(path: string, layout: KeyLayout): readonly Place[] {
  const parts = path.split('/').filter((part) => part !== '');
  const isTooMuch = path.length > BOUNDS.etcdKey.max || parts.length > BOUNDS.etcdDepth.max;
  if (isTooMuch || parts.length === 0) return [];
  if (layout === 'skydns') return domainsOf(parts.map((part) => part.toLowerCase()));
  const leaf = parts.at(-1)!;
  return parts.length < 2 ? [] : [{ service: parts.slice(0, -1).join('/'), leaf }];
}

function domainsOf(parts: readonly string[]): Place[] {
  return parts.map((_, i) => {
    const domain = parts.slice(0, i + 1).reverse();
    const rest = parts.slice(i + 1);
    // A record at the domain itself.
    return { service: domain.join('.'), leaf: rest.length === 0 ? '@' : rest.join('/') };
  });
}

/** The name of a service as `from.service` has it: slashes around it, or the case of a domain, are no other. */
export function canonicalName(name: string, layout: KeyLayout): string {
  if (layout === 'skydns') return name.toLowerCase().replace(/^\.+|\.+$/g, '');
  return name
    .split('/')
    .filter((part) => part !== '')
    .join('/');
}

/** What of the key follows the prefix; null where the key is not below it. */
export function pathBelow(prefix: string, key: string): string | null {
  return key.startsWith(`${prefix}/`) ? key.slice(prefix.length + 1) : null;
}
