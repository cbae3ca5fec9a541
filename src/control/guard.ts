// Against a registry that came back empty: an agent that was restarted answers at first with what
// has registered so far, which may be nothing. Endpoints that such a doubtful answer leaves out are
// held for a while, in case they register again. Answers without doubt that follow don't end that:
// they list what registered again so far. What they left out after it was back is gone at once.
// A confirmed answer ends it where the doubt was one about the answer: the registry was asked again,
// and is sure. Of an outage no second answer knows better.
// Another outage while endpoints are held begins their time again: registrars have it to come back from
// the latest one. Pure but for the map it keeps.
import type { ProvidedService } from '../discovery/provider.ts';
import type { Endpoint } from '../model/endpoint.ts';
import type { GuardSettings } from '../model/settings.ts';

/** What stays though its time is over, as long as something is so, is looked at so often. */
export const LOOK_MS = 1000;

interface Held {
  readonly endpoint: Endpoint;
  untilMs: number;
  reason: string;
  /** A confirmed answer does not end it. */
  isLasting: boolean;
}

/** The facts of a moment. */
export interface Moment {
  readonly nowMs: number;
  readonly settings: GuardSettings;
  /** Whether an active check of ours has found this endpoint good. */
  readonly isPassing: (id: string) => boolean;
  /** The registry does not answer: nobody could have registered again where it would be seen. */
  readonly isFailing: boolean;
}

export interface Admitted {
  readonly endpoints: readonly Endpoint[];
  /** Why an endpoint is there although the registry did not just say so, by id. */
  readonly held: ReadonlyMap<string, string>;
  /** Clock.nowMs() at which the next held endpoint may go; Infinity when none is held. */
  readonly nextMs: number;
}

type Word = Pick<
  ProvidedService,
  'endpoints' | 'doubt' | 'sinceMs' | 'kept' | 'isConfirmed' | 'isLasting'
>;

const NONE: ReadonlyMap<string, string> = new Map();

/** One per source of endpoints. */
export class Guard {
  private held = new Map<string, Held>();
  private present: readonly Endpoint[] = [];
  private kept = NONE;
  private isInDoubt = false;
  private sinceMs = 0;
  /** The last answer was the first after an outage. */
  isAfterOutage = false;

  /** Takes an answer of the registry. `doubt` is '' for an answer that is to be believed. */
  answer(word: Word, moment: Moment): Admitted {
    const { endpoints, doubt, kept = NONE, isConfirmed = false, isLasting = false } = word;
    const { nowMs, settings } = moment;
    const ids = new Set(endpoints.map((endpoint) => endpoint.id));
    this.noteOutage(word);
    if (doubt !== '' && settings.enabled) {
      const reason = `held: the registry left it out (${doubt})`;
      if (this.isAfterOutage) this.renew(reason, nowMs + settings.holdMs);
      for (const endpoint of this.present) {
        if (ids.has(endpoint.id)) continue;
        const untilMs = nowMs + settings.holdMs;
        this.held.set(endpoint.id, { endpoint, untilMs, reason, isLasting });
      }
    }
    for (const id of ids) this.held.delete(id);
    if (isConfirmed) {
      for (const [id, held] of this.held) if (!held.isLasting) this.held.delete(id);
    }
    this.letGoReplaced(endpoints);
    this.present = endpoints;
    this.kept = kept;
    this.isInDoubt = doubt !== '';
    return this.admitted(moment);
  }

  private noteOutage({ doubt, isLasting = false, sinceMs = 0 }: Word): void {
    const isNew = sinceMs > 0 ? sinceMs > this.sinceMs : !this.isInDoubt;
    this.isAfterOutage = doubt !== '' && isLasting && isNew;
    this.sinceMs = Math.max(this.sinceMs, sinceMs);
  }

  /** What is held already is held for another outage from now on. */
  private renew(reason: string, untilMs: number): void {
    for (const held of this.held.values())
      Object.assign(held, { reason, untilMs, isLasting: true });
  }

  /** Some endpoint is there that the registry left out. */
  get isHolding(): boolean {
    return this.held.size > 0;
  }

  /** One that registered again under another id is not there twice. */
  private letGoReplaced(endpoints: readonly Endpoint[]): void {
    if (this.held.size === 0) return;
    const places = new Set(endpoints.map(placeOf));
    for (const [id, { endpoint }] of this.held) {
      if (places.has(placeOf(endpoint))) this.held.delete(id);
    }
  }

  /**
   * What is admitted as time passes: endpoints held long enough go. While the last answer is in
   * doubt, those that pass their own check stay, and all of them while there is no answer.
   */
  admitted({ nowMs, isPassing, isFailing }: Moment): Admitted {
    for (const [id, held] of this.held) {
      if (held.untilMs > nowMs) continue;
      if (isFailing || (this.isInDoubt && isPassing(id))) held.untilMs = nowMs + LOOK_MS;
      else this.held.delete(id);
    }
    const held = [...this.held.values()];
    const reasons = held.map(({ endpoint, reason }) => [endpoint.id, reason] as const);
    return {
      endpoints: [...this.present, ...held.map(({ endpoint }) => endpoint)],
      held: new Map([...this.kept, ...reasons]),
      nextMs: held.reduce((next, { untilMs }) => Math.min(next, untilMs), Number.POSITIVE_INFINITY),
    };
  }
}

function placeOf({ address, port }: Endpoint): string {
  return `${address} ${port}`;
}
