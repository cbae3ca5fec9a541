// Registries list instances of TCP and of UDP under one name, as Registrator does: those of UDP have the
// tag `udp`, or are named in another way (discovery). Such an instance is an endpoint of UDP services
// alone; a UDP service takes no others from a source that tells them apart.
// Invariant: a source that has told them apart once does so until it is forgotten; when the last of its UDP
// instances leaves, those of TCP do not take its place.
import type { Endpoint } from '../model/endpoint.ts';
import type { Protocol, Service } from '../model/service.ts';
import { formatSource, type ServiceSource, sourceKey } from '../model/source.ts';
import type { Admitted } from './guard.ts';

export class Transports {
  /** Keys of sources that have named an instance of UDP. */
  private readonly telling = new Set<string>();

  /** What a service of this protocol can use of a source; null where nothing was admitted yet. */
  usable(key: string, protocol: Protocol, admitted: Admitted | null): Admitted | null {
    if (admitted === null) return null;
    const { endpoints } = admitted;
    if (endpoints.some(isUdp)) this.telling.add(key);
    if (!this.telling.has(key)) return admitted;
    const wantsUdp = protocol === 'udp';
    return { ...admitted, endpoints: endpoints.filter((one) => isUdp(one) === wantsUdp) };
  }

  /** Of a source that has instances, and none that the service can use: a tag may be a mistake. */
  problems(source: ServiceSource, { protocol }: Service, admitted: Admitted | null): string[] {
    const usable = this.usable(sourceKey(source), protocol, admitted);
    if (admitted === null || admitted.endpoints.length === 0 || usable?.endpoints.length !== 0)
      return [];
    const told = protocol === 'udp' ? 'none has the tag udp' : 'they have the tag udp';
    return [`${formatSource(source)}: no instance is of use to a ${protocol} service: ${told}`];
  }

  forget(key: string): void {
    this.telling.delete(key);
  }
}

function isUdp({ transport }: Endpoint): boolean {
  return transport === 'udp';
}
