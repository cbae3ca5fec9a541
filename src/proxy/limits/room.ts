// What is done when the system has no descriptor or port left for one more connection: those that
// lie idle are closed, and the operator reads of it, though not at every connection.
import type { Logger } from '../../base/log.ts';
import type { TimerWheel } from '../../base/timer-wheel.ts';

/** Connections that lie idle, and can be closed without loss. */
export interface IdleConnections {
  /** Closes them; returns how many. */
  closeIdle(): number;
}

/** How often the shortage is logged. */
const LOG_MS = 10_000;

export class Room {
  private readonly services: ReadonlyMap<string, IdleConnections>;
  private readonly wheel: TimerWheel;
  private readonly log: Logger;
  private loggedMs = Number.NEGATIVE_INFINITY;

  constructor(services: ReadonlyMap<string, IdleConnections>, wheel: TimerWheel, log: Logger) {
    this.services = services;
    this.wheel = wheel;
    this.log = log;
  }

  /** Closes idle upstream connections of every service (`code` of the system); returns how many. */
  closeIdle(code: string): number {
    let count = 0;
    for (const service of this.services.values()) count += service.closeIdle();
    if (this.wheel.nowMs >= this.loggedMs + LOG_MS) {
      this.loggedMs = this.wheel.nowMs;
      const what = 'no descriptor or port is left';
      const advice = 'raise the limit: ulimit -n, or net.ipv4.ip_local_port_range';
      this.log.error({ code, closedIdle: count }, `${what}; ${advice}`);
    }
    return count;
  }
}
