// A plane whose endpoints are spoken to by TLS.
import type { UpstreamPolicy, UpstreamTls } from '../../src/model/service.ts';
import { type UpstreamMaterial, upstreamKey } from '../../src/model/tls.ts';
import type { Authority } from './certificates.ts';
import { openPlane, type Plane, type Policy, serviceOf } from './plane.ts';
import { makeSnapshot } from './service.ts';

export const UPSTREAM_TLS: UpstreamTls = {
  caFile: '/ca.pem',
  certFile: '',
  keyFile: '',
  serverName: '',
  verify: true,
};

/** What the files of `tls` hold: the CA's certificate, and what `parts` says. */
export function materialFor(
  authority: Authority,
  tls: UpstreamTls = UPSTREAM_TLS,
  parts: Partial<UpstreamMaterial> = {},
): UpstreamMaterial {
  return { key: upstreamKey(tls), ca: authority.ca, cert: '', privateKey: '', ...parts };
}

export interface TlsPlaneParts {
  readonly tls?: Partial<UpstreamTls>;
  readonly upstream?: Partial<UpstreamPolicy>;
  readonly material?: Partial<UpstreamMaterial>;
  readonly policy?: Policy;
}

/** A plane in front of these ports, whose certificates are to be the authority's. */
export async function openTlsPlane(
  authority: Authority,
  ports: readonly number[],
  { tls, upstream, material, policy = {} }: TlsPlaneParts = {},
): Promise<Plane> {
  const whole = { ...UPSTREAM_TLS, ...tls };
  const plane = await openPlane(ports, policy);
  plane.worker.setTls([], [materialFor(authority, whole, material)]);
  const service = serviceOf({
    ...policy,
    upstream: {
      ...{ protocol: 'http1', host: 'client', sendProxy: 'off', tls: whole },
      ...upstream,
    },
  });
  await plane.apply([makeSnapshot(service, ports)]);
  return plane;
}
