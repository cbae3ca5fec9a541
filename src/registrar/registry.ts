// The only words between the registrar and the registries that it writes to.
import type { ContainerService } from '../containers/container-services.ts';

/** What is registered: one service of one container. */
export type Registration = ContainerService;

/** What stands in the registry already. */
export interface Registered {
  readonly id: string;
  readonly name: string;
  /** The registrar has taken it out of service for a while. */
  readonly isSuspended: boolean;
}

/**
 * A registry that is written to. Every call rejects where it can't be done; it is then tried again.
 * All of them may be repeated: the second time changes nothing.
 */
export interface Registry {
  /** For the log: `consul http://127.0.0.1:8500`. */
  readonly label: string;
  /** Why a service can't stand in this registry; '' where it can. */
  unfit(service: Registration): string;
  /** Resolves when the registry can be written to. */
  ping(signal: AbortSignal): Promise<void>;
  /** Registers, or says the same again; ends a suspension. */
  register(service: Registration, signal: AbortSignal): Promise<void>;
  deregister(service: Pick<Registration, 'id' | 'name'>, signal: AbortSignal): Promise<void>;
  /** Takes it out of service, with the reason where the registry has a place for it. */
  suspend(service: Registration, reason: string, signal: AbortSignal): Promise<void>;
  /**
   * Puts off the end of what goes by itself; resolves with those that are to be registered again.
   * Where nothing goes by itself, nothing is done.
   */
  refresh(services: readonly Registration[], signal: AbortSignal): Promise<readonly string[]>;
  /** What is registered here, by this registrar or not. */
  list(signal: AbortSignal): Promise<readonly Registered[]>;
  close(): Promise<void>;
}
