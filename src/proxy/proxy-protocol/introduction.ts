// The PROXY protocol header that a connection to an endpoint begins with, where the service has one.
import type { Service } from '../../model/service.ts';
import type { TlsFacts, Wire } from '../network.ts';
import { type ProxyClient, writeV1, writeV2 } from './proxy-header.ts';

/** The header for the client of this wire; null where endpoints get none. */
export function introductionOf({ upstream }: Service, client: Wire): Buffer | null {
  if (upstream.sendProxy === 'off') return null;
  const { remoteAddress, remotePort, destination, tls } = client;
  const told: ProxyClient = {
    source: { address: remoteAddress, port: remotePort },
    destination,
    tls: tls === null ? null : { ...factsOf(tls), hasCertificate: tls.peer !== null },
  };
  return upstream.sendProxy === 'v1' ? writeV1(told) : writeV2(told);
}

function factsOf({ version, cipher, serverName, protocol }: TlsFacts) {
  return { version, cipher, serverName, protocol };
}
