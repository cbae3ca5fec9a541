// Passive health by comparison: what the endpoints of one service did with the requests of late,
// and which of them did worse than their peers (Envoy calls this outlier detection). It compares
// from every moment that it keeps (timeline.ts), and what it finds is evidence (evidence.ts); who is
// ejected for it is not decided here.
// While nothing fails it keeps no more than the last reading.
import type { SuccessRatePolicy } from '../model/service.ts';
import { evidence, evidenceMax, isWorse, type Outcomes } from './evidence.ts';
import { FINE_MS, Timeline } from './timeline.ts';

/** Powers of ten of evidence that eject: by chance less than once a year of looks, 20 a second. */
export const EVIDENCE_MIN = 9;
/** How far back failures are shown where endpoints are not compared, ms. */
const SHOWN_MS = 60_000;
/** Requests of the peers by which it is told how they fare now. */
const RECENT_REQUESTS = 10;

/** The counters of an endpoint, totals since whenever. */
export interface Reading extends Outcomes {
  readonly id: string;
  readonly slot: number;
}

/** An endpoint beside its peers, over the time that speaks most against it. */
export interface Compared {
  readonly own: Outcomes;
  readonly peers: Outcomes;
  /** Endpoints that had requests in that time, this one not included. */
  readonly peerCount: number;
  readonly spanMs: number;
  /** Powers of ten. */
  readonly evidence: number;
  /** From this on it is ejected. */
  readonly evidenceMin: number;
}

export interface Outlier {
  readonly slot: number;
  readonly kind: 'success-rate' | 'latency';
  /** Human-readable, with the numbers that it rests on. */
  readonly text: string;
  readonly evidence: number;
}

interface Track {
  readonly id: string;
  readonly slot: number;
  /** Totals at each kept moment; NaN before it took work. */
  readonly requests: number[];
  readonly faults: number[];
  last: Reading;
  hasFailed: boolean;
}

/** Totals of all endpoints since one of the moments. */
interface Pool extends Outcomes {
  readonly endpoints: number;
}

export class FaultHistory {
  private readonly timeline = new Timeline();
  private tracks = new Map<number, Track>();
  private lastMs = 0;
  /** Of the last reading, once they were asked for. */
  private pooled: Pool[] | null = null;

  /** Takes the counters of the endpoints that take work now; those left out are forgotten. */
  read(nowMs: number, readings: readonly Reading[], policy: SuccessRatePolicy | null): void {
    const before = this.tracks;
    this.tracks = new Map();
    this.pooled = null;
    for (const reading of readings) {
      const known = before.get(reading.slot);
      const isKnown = known?.id === reading.id && known.last.requests <= reading.requests;
      const track = isKnown ? known : this.newTrack(reading);
      track.hasFailed = reading.faults > track.last.faults;
      this.tracks.set(reading.slot, track);
    }
    const hasFailed = [...this.tracks.values()].some((track) => track.hasFailed);
    if (hasFailed || this.timeline.times.length > 0) this.keep(nowMs, readings, policy);
    for (const reading of readings) this.tracks.get(reading.slot)!.last = reading;
    this.lastMs = nowMs;
  }

  /** Nothing was asked since the last reading: it is as good as a new one. */
  rest(nowMs: number): void {
    this.lastMs = nowMs;
  }

  /** Nothing has failed within the window. */
  get isQuiet(): boolean {
    return this.timeline.times.length === 0;
  }

  private newTrack(reading: Reading): Track {
    const unknown = this.timeline.times.map(() => Number.NaN);
    const { id, slot } = reading;
    return { id, slot, requests: [...unknown], faults: unknown, last: reading, hasFailed: false };
  }

  private keep(
    nowMs: number,
    readings: readonly Reading[],
    policy: SuccessRatePolicy | null,
  ): void {
    const { timeline, tracks } = this;
    const windowMs = policy?.windowMs ?? SHOWN_MS;
    // The first failure: the last reading is where the comparison starts.
    if (timeline.times.length === 0) {
      timeline.add(this.lastMs, windowMs);
      for (const track of tracks.values()) push(track, track.last);
    }
    for (const reading of readings) push(tracks.get(reading.slot)!, reading);
    const forgotten = timeline.add(nowMs, windowMs);
    let faults = 0;
    for (const track of tracks.values()) {
      for (const index of forgotten) {
        track.requests.splice(index, 1);
        track.faults.splice(index, 1);
      }
      const from = track.faults.find((total) => !Number.isNaN(total))!;
      faults += track.faults.at(-1)! - from;
    }
    if (faults > 0) return;
    timeline.clear();
    for (const track of tracks.values()) {
      track.requests.length = 0;
      track.faults.length = 0;
    }
  }

  /** Endpoints that failed since the last reading and do worse than their peers, the worst first. */
  outliers(policy: SuccessRatePolicy): Outlier[] {
    const failing = [...this.tracks.values()].filter(({ hasFailed }) => hasFailed);
    if (failing.length === 0 || this.tracks.size < Math.max(2, policy.minEndpoints)) return [];
    const pools = this.pools();
    return failing
      .flatMap((track) => {
        const found = this.compare(track, pools, policy);
        const isOut = found !== null && found.evidence >= EVIDENCE_MIN;
        return isOut ? { slot: track.slot, found } : [];
      })
      .sort((a, b) => b.found.evidence - a.found.evidence)
      .map(({ slot, found }) => ({
        slot,
        kind: 'success-rate',
        text: comparedText(found),
        evidence: found.evidence,
      }));
  }

  /** The endpoint beside its peers as it was read last; null where none failed of late. */
  compared(slot: number, policy: SuccessRatePolicy | null): Compared | null {
    const track = this.tracks.get(slot);
    if (track === undefined || this.timeline.times.length === 0) return null;
    const pools = this.pools();
    const found = policy === null ? null : this.compare(track, pools, policy);
    if (found !== null) return found;
    const first = track.requests.findIndex((total) => !Number.isNaN(total));
    return this.figures(track, pools, first);
  }

  /** What all endpoints did since each of the moments. */
  private pools(): readonly Pool[] {
    this.pooled ??= this.timeline.times.map((_, index) => {
      let [requests, faults, endpoints] = [0, 0, 0];
      for (const track of this.tracks.values()) {
        const since = outcomesSince(track, index);
        if (since.requests === 0) continue;
        requests += since.requests;
        faults += since.faults;
        endpoints += 1;
      }
      return { requests, faults, endpoints };
    });
    return this.pooled;
  }

  /** The moment from which most speaks against the endpoint; null where nothing does. */
  private compare(
    track: Track,
    pools: readonly Pool[],
    policy: SuccessRatePolicy,
  ): Compared | null {
    const { times } = this.timeline;
    const nowMs = times.at(-1)!;
    let best: Compared | null = null;
    let recent: Compared | null = null;
    for (let index = times.length - 2; index >= 0; index -= 1) {
      if (Number.isNaN(track.requests[index]!)) break;
      const found = this.figures(track, pools, index);
      const { own, peers, peerCount } = found;
      if (own.requests < policy.minRequests || peerCount + 1 < policy.minEndpoints) continue;
      const isRecent = nowMs - times[index]! < FINE_MS || peers.requests < RECENT_REQUESTS;
      recent ??= isRecent ? null : found;
      // What is over, or has come to all by now, is not its own fault: it does worse now as well.
      if (recent !== null && !isWorse(recent.own, recent.peers, policy.excess)) break;
      const known = best?.evidence ?? 0;
      if (evidenceMax(own, peers, policy.excess) <= known) continue;
      const sure = evidence(own, peers, policy.excess);
      if (sure > known) best = { ...found, evidence: sure };
    }
    return best;
  }

  private figures(track: Track, pools: readonly Pool[], index: number): Compared {
    const { times } = this.timeline;
    const own = outcomesSince(track, index);
    const pool = pools[index]!;
    return {
      own,
      peers: { requests: pool.requests - own.requests, faults: pool.faults - own.faults },
      peerCount: pool.endpoints - (own.requests > 0 ? 1 : 0),
      spanMs: times.at(-1)! - times[index]!,
      evidence: 0,
      evidenceMin: EVIDENCE_MIN,
    };
  }
}

function push(track: Track, { requests, faults }: Outcomes): void {
  track.requests.push(requests);
  track.faults.push(faults);
}

/** An outcome that was counted while we read may miss in one of the totals. */
function outcomesSince(track: Track, index: number): Outcomes {
  const from = track.requests[index]!;
  if (Number.isNaN(from)) return { requests: 0, faults: 0 };
  const faults = track.faults.at(-1)! - track.faults[index]!;
  return { requests: Math.max(faults, track.requests.at(-1)! - from), faults };
}

/** `20 of 20 requests failed within 0.4 s, 0 of 58 of its 3 peers' (evidence 10^12)`. */
function comparedText(compared: Compared): string {
  const { own, peers, peerCount, spanMs } = compared;
  const whose = peerCount === 1 ? "of its peer's" : `of its ${peerCount} peers'`;
  return (
    `${own.faults} of ${own.requests} requests failed within ${spanText(spanMs)}, ` +
    `${peers.faults} of ${peers.requests} ${whose} (evidence 10^${Math.floor(compared.evidence)})`
  );
}

export function spanText(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
