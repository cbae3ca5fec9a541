// Sessions on endpoints that have left the table: they are the endpoint's again when it comes back, so
// that what becomes of it then becomes of them.
import type { EndpointSessions } from './endpoint-sessions.ts';

interface Place {
  readonly id: string;
  readonly address: string;
  readonly port: number;
}

export class DepartedSessions {
  private readonly byPlace = new Map<string, EndpointSessions>();

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
