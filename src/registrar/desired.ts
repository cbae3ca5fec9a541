// What is to be registered of a container as it is now. Pure.
import type { KnownContainer } from '../containers/container-watch.ts';
import type { Registration } from './registry.ts';

export interface Desired {
  readonly service: Registration;
  /**
   * `live`: in service. `suspended`: out of service, if it was ever in. `waiting`: it is not time yet,
   * and what stands there stays.
   */
  readonly state: 'live' | 'suspended' | 'waiting';
  /** Why it is not live, human-readable. */
  readonly reason: string;
}

/** The container's services, in the state that its own state gives them. */
export function desiredOf(known: KnownContainer, services: readonly Registration[]): Desired[] {
  const verdict = verdictOf(known);
  return services.map((service) => ({ service, ...verdict }));
}

function verdictOf({ container, stopping }: KnownContainer): Omit<Desired, 'service'> {
  const { phase, health, healthText } = container;
  if (stopping !== '') return { state: 'suspended', reason: `stopping: ${stopping}` };
  if (phase === 'paused') return { state: 'suspended', reason: 'paused' };
  if (health === 'unhealthy') {
    const text = healthText === '' ? '' : `: ${healthText}`;
    return { state: 'suspended', reason: `unhealthy${text}` };
  }
  if (health === 'starting') return { state: 'waiting', reason: 'waits for its health check' };
  return { state: 'live', reason: '' };
}

/** `HOST:CONTAINER:PORT`, as ids are made; a container name has these characters alone. */
const OWN_ID = /^(.+?):([a-zA-Z0-9][a-zA-Z0-9_.-]+):[0-9]+(?::udp)?$/;

/** Whether a registrar on the host of this name has made this id. */
export function isOfHost(id: string, hostname: string): boolean {
  return OWN_ID.exec(id)?.[1] === hostname;
}

/** Whether a container that ended like this is to be deregistered. */
export function isDeregistered(mode: 'always' | 'on-success', exitCode: number | null): boolean {
  // Null: it is gone, and its exit code is not known. Bit 128: it was ended by a signal.
  return mode === 'always' || exitCode === null || exitCode === 0 || (exitCode & 128) !== 0;
}
