// Against a registry that came back empty: an agent that was restarted answers at first with what
// has registered so far, which may be nothing. Endpoints that such a doubtful answer leaves out are
// held for a while, in case they register again. Answers without doubt that follow don't end that:
// they list what registered again so far. What they left out after it was back is gone at once.
// Pure but for the map it keeps.
import type { Endpoint } from '../model/endpoint.ts';
import type { GuardSettings } from '../model/settings.ts';

interface Held {
  readonly endpoint: Endpoint;
  readonly untilMs: number;
  readonly reason: string;
}

export interface Admitted {
  readonly endpoints: readonly Endpoint[];
  /** Why an endpoint is held, by id. */
  readonly held: ReadonlyMap<string, string>;
  /** Clock.nowMs() at which the next held endpoint may go; Infinity when none is held. */
  readonly nextMs: number;
}

/** One per source of endpoints. */
export class Guard {
  private held = new Map<string, Held>();
  private present: readonly Endpoint[] = [];

  /** Takes an answer of the registry. `doubt` is '' for an answer that is to be believed. */
  answer(
    endpoints: readonly Endpoint[],
    options: { doubt: string; settings: GuardSettings; nowMs: number },
  ): Admitted {
    const { doubt, nowMs, settings } = options;
    const ids = new Set(endpoints.map((endpoint) => endpoint.id));
    if (doubt !== '' && settings.enabled) {
      const reason = `held: the registry came back without it (${doubt})`;
      for (const endpoint of this.present) {
        if (ids.has(endpoint.id)) continue;
        this.held.set(endpoint.id, { endpoint, untilMs: nowMs + settings.holdMs, reason });
      }
    }
    for (const id of ids) this.held.delete(id);
    this.letGoReplaced(endpoints);
    this.present = endpoints;
    return this.admitted(nowMs);
  }

  /** One that registered again under another id is not there twice. */
  private letGoReplaced(endpoints: readonly Endpoint[]): void {
    if (this.held.size === 0) return;
    const places = new Set(endpoints.map(placeOf));
    for (const [id, { endpoint }] of this.held) {
      if (places.has(placeOf(endpoint))) this.held.delete(id);
    }
  }

  /** What is admitted as time passes: endpoints held long enough go. */
  admitted(nowMs: number): Admitted {
    for (const [id, { untilMs }] of this.held) if (untilMs <= nowMs) this.held.delete(id);
    const held = [...this.held.values()];
    return {
      endpoints: [...this.present, ...held.map(({ endpoint }) => endpoint)],
      held: new Map(held.map(({ endpoint, reason }) => [endpoint.id, reason])),
      nextMs: held.reduce((next, { untilMs }) => Math.min(next, untilMs), Number.POSITIVE_INFINITY),
    };
  }
}

function placeOf({ address, port }: Endpoint): string {
  return `${address} ${port}`;
}
