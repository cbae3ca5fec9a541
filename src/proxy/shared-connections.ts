/** Connections of one worker to one endpoint that carry several exchanges at a time. */
export interface SharedConnections {
  /** Closes those on which nothing is going on; returns how many. */
  closeIdle(): number;
  /** No new exchanges: each closes when its last one has ended. */
  leave(): void;
}
