// How the process registers itself in Consul.
export interface SelfSettings {
  /** The name of the fleet in the catalog. */
  readonly service: string;
  /** '' for that of the agent's node. */
  readonly address: string;
  /** 0 for that of the first listener. */
  readonly port: number;
  /** Beside those of the services. */
  readonly tags: readonly string[];
  /** A tag for each service that is exposed. */
  readonly tagServices: boolean;
  /** http: the agent asks for /readyz; ttl: it is told. */
  readonly check: 'http' | 'ttl';
  /** How often it asks, or within which time it is to be told. */
  readonly checkIntervalMs: number;
  /** Critical for so long, it is taken out by the agent. */
  readonly deregisterAfterMs: number;
  /** From leaving the catalog to closing listeners. */
  readonly leaveWaitMs: number;
}
