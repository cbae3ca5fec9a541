// Several services behind one port: `routers`.
import { z } from 'zod';
import type { OwnRoute } from '../../model/service.ts';
import type { RouterSettings } from '../../model/settings.ts';
import { ALPN_NAME } from '../forms.ts';
import {
  absolutePath,
  alpnName,
  hostName,
  hostPattern,
  location,
  pathPrefix,
  sniPattern,
} from '../http-values.ts';
import { duration, listOf, oneOf } from '../values.ts';
import { listenerLimits, listenerTimeouts } from './limits.ts';
import { buildListen, listeners, type TlsInput } from './listen.ts';

export const routeSchema = z.strictObject({
  host: hostPattern.prefault('').meta({ description: 'Host, or *.example.com; any by default.' }),
  path: absolutePath.prefault('/').meta({ description: 'Path prefix, by whole segments.' }),
  sni: sniPattern.optional().meta({
    description:
      'With tls: pass: name in the ClientHello, *.example.com, or * for any and none; a route without gets what is not TLS.',
  }),
  alpn: listOf(alpnName, ALPN_NAME)
    .prefault([])
    .meta({ description: 'With sni: only clients that offer one of these protocols.' }),
  service: z.string().default('').meta({ description: 'The service that answers.' }),
  strip: pathPrefix.prefault('').meta({ description: 'Prefix taken off the path.' }),
  prefix: pathPrefix.prefault('').meta({ description: 'Prefix put before the path.' }),
  rewrite_host: hostName.prefault('').meta({
    description:
      "Host sent to the endpoint, in place of upstream.host of its service: client for the request's own, endpoint for the name or address of each, or a name.",
  }),
  redirect: z
    .strictObject({
      status: oneOf([301, 302, 303, 307, 308])
        .prefault(302)
        .meta({ description: 'Status of the redirect.' }),
      location: location.meta({
        description:
          'Where to: its Location field, with $host, $path and $request_uri of the request.',
      }),
    })
    .optional()
    .meta({ description: 'Answer with this redirect instead.' }),
});

/** The route that a service gives itself in its registry: `route.host`, `route.path`, ... */
export const ownRouteSchema = z.strictObject({
  listen: listeners.prefault(['80']),
  host: hostPattern.prefault(''),
  path: absolutePath.prefault('/'),
  strip: pathPrefix.prefault(''),
  prefix: pathPrefix.prefault(''),
});

export const routerSchema = z.strictObject({
  listen: listeners.meta({ description: 'Where the router listens, written as for a service.' }),
  routes: z
    .array(routeSchema)
    .meta({ description: 'Rules; exact hosts and longer paths go first.' }),
  limits: z
    .strictObject(listenerLimits)
    .prefault({})
    .meta({ description: 'What its clients may send.' }),
  timeouts: z
    .strictObject({
      ...listenerTimeouts,
      idle_body: duration().prefault('1m').meta({
        description: 'How long a client may take nothing of an answer; 0 is no limit.',
      }),
    })
    .prefault({})
    .meta({ description: 'How long its clients may take.' }),
});

export function buildOwnRoute(service: string, own: z.output<typeof ownRouteSchema>): OwnRoute {
  const { host, path, strip: stripPrefix, prefix: addPrefix } = own;
  const rewrite = { stripPrefix, addPrefix, rewriteHost: '', redirect: null };
  // There is one at least: an empty list is refused before.
  return {
    listen: buildListen(own.listen, undefined)[0]!,
    route: { host, path, service, ...rewrite },
  };
}

/** A router with `tls: pass` has routes by SNI alone, any other none of these. */
export function buildRouter(
  router: z.output<typeof routerSchema>,
  tls: TlsInput | undefined,
): RouterSettings {
  const isPass = router.listen.some(({ tls }) => tls === 'pass');
  const sniRoutes = router.routes.map(({ sni = '', alpn, service }) => ({ sni, alpn, service }));
  return {
    ...(isPass ? { sniRoutes } : {}),
    listen: buildListen(router.listen, tls),
    limits: {
      headerBytes: router.limits.header_bytes,
      headerCount: router.limits.header_count,
      targetBytes: router.limits.target_bytes,
      keepAliveRequests: router.limits.keep_alive_requests,
      pipelined: router.limits.pipelined,
    },
    timeouts: {
      clientHeaderMs: router.timeouts.client_header,
      keepAliveMs: router.timeouts.keep_alive,
      idleBodyMs: router.timeouts.idle_body,
    },
    routes: (isPass ? [] : router.routes).map((route) => ({
      host: route.host,
      path: route.path,
      service: route.service,
      stripPrefix: route.strip,
      addPrefix: route.prefix,
      rewriteHost: route.rewrite_host,
      redirect: route.redirect ?? null,
    })),
  };
}
