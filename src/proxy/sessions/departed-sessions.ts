// Sessions on endpoints that have left the table: they are the endpoint's again when it comes back, so
// that what becomes of it then becomes of them.
import type { EndpointSessions, Fate } from './endpoint-sessions.ts';

interface Place {
  readonly id: string;
  readonly address: string;
  readonly port: number;
}

/** How long sessions may stay, ms; null: as long as they like. */
export interface Stays {
  readonly onDownMs: number | null;
  readonly onDrainMs: number | null;
}

export class DepartedSessions {
  private readonly byPlace = new Map<string, EndpointSessions>();
  private stays: Stays | null = null;

  /** Whether any session is left. */
  get isEmpty(): boolean {
    for (const { count } of this.byPlace.values()) if (count > 0) return false;
    return true;
  }

  /** The endpoint has left. What has ended since the last call is forgotten. */
  keep(endpoint: Place & { readonly sessions: EndpointSessions }): void {
    for (const [place, { count }] of this.byPlace) if (count === 0) this.byPlace.delete(place);
    if (endpoint.sessions.count > 0) this.byPlace.set(keyOf(endpoint), endpoint.sessions);
  }

  /**
   * What becomes of them is what the service says now; `fate` is that of who has left. Returns true where the
   * service says otherwise than before: an end that was near by the old policy is not by this one.
   */
  settle({ onDownMs, onDrainMs }: Stays, fate: Fate | null): boolean {
    const { stays } = this;
    const isOther = stays?.onDownMs !== onDownMs || stays.onDrainMs !== onDrainMs;
    this.stays = { onDownMs, onDrainMs };
    for (const sessions of this.byPlace.values()) {
      if (isOther) sessions.goOn();
      sessions.decide(fate);
    }
    return isOther;
  }

  /** Those of an endpoint that is back at its place; null where it has none. */
  take(endpoint: Place): EndpointSessions | null {
    const key = keyOf(endpoint);
    const sessions = this.byPlace.get(key) ?? null;
    this.byPlace.delete(key);
    return sessions;
  }
}

function keyOf({ id, address, port }: Place): string {
  return `${id} ${address} ${port}`;
}
