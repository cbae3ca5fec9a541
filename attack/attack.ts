// What an attack is: one file in attacks/, one row in rows.ts. It runs in a process of its own
// (attacker.ts), is bounded in connections and bytes, and speaks to loopback alone.

/** Where the parts of the stage are. Everything is on loopback. */
export interface Target {
  readonly statsPort: number;
  /** The service whose clients are the victims. */
  readonly victimPort: number;
  /** Another service on the same worker, with an endpoint that answers as it should. */
  readonly otherPort: number;
  /** A service whose one endpoint is the attacker, who listens on `hostilePort`. */
  readonly hostileServicePort: number;
  readonly hostilePort: number;
  /** A service of which no endpoint listens. */
  readonly deadServicePort: number;
  /** The other service, and the victim's, over TLS. */
  readonly tlsPort: number;
  readonly victimTlsPort: number;
  /** Targets of a service of the registry `file`. */
  readonly targetsFile: string;
  /** Where registries are asked to flap: sources.ts. */
  readonly controlPort: number;
  /** A service of datagrams, and the port of its one endpoint, which is the attacker. */
  readonly udpPort: number;
  readonly udpEndpointPort: number;
  /** A service whose one endpoint is the attacker, who is taken to speak HTTP/2. */
  readonly hostileHttp2ServicePort: number;
  readonly hostileHttp2Port: number;
  /** Client connections that the victim's service may have (`limits.connections`). */
  readonly connectionsMax: number;
}

export interface Running {
  /** What was sent, or came of it, for the table. */
  note(): string;
  /** Ends everything that the attack has begun. */
  stop(): void;
}

/** How the victim asks while the attack runs. */
export interface Victim {
  /** 'requests' of the service, or 'checks': GET /healthz of the stats port. */
  readonly asks: 'requests' | 'checks';
  /** A connection for each request: for attacks that take connections away. */
  readonly isFresh: boolean;
}

export interface Row {
  readonly name: string;
  /** Who attacks: a client, an endpoint, a reader of the stats port, or whoever may register a service. */
  readonly principal: 'client' | 'endpoint' | 'reader' | 'registrant';
  readonly what: string;
  readonly victim: Victim;
  /** The stats port speaks TLS. */
  readonly hasStatsTls?: boolean;
  /** Open: measured, and not held yet; a row that holds for good is said to be built. */
  readonly defence: 'built' | 'open';
  /** Resolves when the attack is under way. */
  readonly start: (target: Target) => Promise<Running>;
}

export const REQUESTS: Victim = { asks: 'requests', isFresh: false };
export const FRESH_REQUESTS: Victim = { asks: 'requests', isFresh: true };
export const CHECKS: Victim = { asks: 'checks', isFresh: true };
