// The comparison of fault-history.ts for response times: which endpoint of a service answers so
// slowly that its slowest hundredth takes `factor` times as long as that of its peers. An answer is
// slow when it takes longer than `factor` times the p99 of the peers; more than a hundredth of slow
// answers is what has to be proved, with the same evidence as failures.
import type { LatencyPolicy } from '../model/service.ts';
import { evidence, isWorse, type Outcomes } from './evidence.ts';
import { EVIDENCE_MIN, type Outlier, spanText } from './fault-history.ts';
import { FINE_MS, Timeline } from './timeline.ts';

/** By definition of a p99. */
const SLOW_SHARE = 0.01;
/** Answers of the peers without which they have no p99. */
const PEERS_MIN = 100;
/** Answers of the endpoint itself. */
const OWN_MIN = 10;

/** The latency histogram of an endpoint, totals since whenever. */
export interface LatencyReading {
  readonly id: string;
  readonly slot: number;
  readonly buckets: Float64Array;
}

interface Track {
  readonly id: string;
  readonly slot: number;
  /** At each kept moment; null before it took work. */
  readonly kept: (Float64Array | null)[];
}

export class LatencyHistory {
  /** Upper bound of each bucket, ms. */
  private readonly bounds: readonly number[];
  private readonly timeline = new Timeline();
  private tracks = new Map<number, Track>();

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
  }

  /** Takes the histograms of the endpoints that take work now; those left out are forgotten. */
  read(nowMs: number, readings: readonly LatencyReading[], windowMs: number): void {
    const before = this.tracks;
    const count = this.timeline.times.length;
    this.tracks = new Map();
    const forgotten = this.timeline.add(nowMs, windowMs);
    for (const { id, slot, buckets } of readings) {
      const known = before.get(slot);
      const kept = known?.id === id ? known.kept : Array.from({ length: count }, () => null);
      kept.push(buckets);
      for (const index of forgotten) kept.splice(index, 1);
      this.tracks.set(slot, { id, slot, kept });
    }
  }

  /** Endpoints that are slower than their peers, the surest first. */
  outliers(policy: LatencyPolicy): Outlier[] {
    if (this.tracks.size < 2) return [];
    const pools = this.timeline.times.map((_, index) => this.pool(index));
    return [...this.tracks.values()]
      .flatMap((track) => this.compare(track, pools, policy) ?? [])
      .sort((a, b) => b.evidence - a.evidence);
  }

  /** Answers of all endpoints since one of the moments. */
  private pool(index: number): Float64Array {
    const sums = new Float64Array(this.bounds.length);
    for (const { kept } of this.tracks.values()) {
      const from = kept[index]!;
      if (from === null) continue;
      const to = kept.at(-1)!;
      for (let i = 0; i < sums.length; i += 1) sums[i]! += to![i]! - from[i]!;
    }
    return sums;
  }

  private compare(
    track: Track,
    pools: readonly Float64Array[],
    policy: LatencyPolicy,
  ): Outlier | null {
    const { bounds, timeline } = this;
    const { kept, slot } = track;
    const to = kept.at(-1)!;
    const first = kept.findIndex((one) => one !== null);
    const sinceOf = (index: number) => {
      const from = kept[index]!;
      return to!.map((count, i) => count - from![i]!);
    };
    const all = difference(pools[first]!, sinceOf(first));
    if (sum(all, 0) < PEERS_MIN) return null;
    const peersMs = bounds[bucketOfShare(all, 1 - SLOW_SHARE)]!;
    const limitMs = Math.max(policy.minMs, policy.factor * peersMs);
    const limit = bounds.findIndex((bound) => bound > limitMs) + 1;
    const nowMs = timeline.times.at(-1)!;
    let best: Outlier | null = null;
    let isRecent = true;
    for (let index = kept.length - 2; index >= first; index -= 1) {
      const since = sinceOf(index);
      const own = outcomes(since, limit);
      const peers = outcomes(difference(pools[index]!, since), limit);
      if (own.requests < OWN_MIN || peers.requests === 0) continue;
      const spanMs = nowMs - timeline.times[index]!;
      // What is over, or has come to all by now, is not its own fault: it is slower now as well.
      if (isRecent && spanMs >= FINE_MS) {
        if (!isWorse(own, peers, SLOW_SHARE)) break;
        isRecent = false;
      }
      const sure = evidence(own, peers, SLOW_SHARE);
      if (sure < Math.max(EVIDENCE_MIN, best?.evidence ?? 0)) continue;
      const text = slowText({ own, peers, limitMs, peersMs, spanMs, sure });
      best = { slot, kind: 'latency', text, evidence: sure };
    }
    return best;
  }
}

interface Slow {
  readonly own: Outcomes;
  readonly peers: Outcomes;
  readonly limitMs: number;
  readonly peersMs: number;
  readonly spanMs: number;
  readonly sure: number;
}

function slowText({ own, peers, limitMs, peersMs, spanMs, sure }: Slow): string {
  return (
    `${own.faults} of ${own.requests} answers took longer than ${msText(limitMs)} within ` +
    `${spanText(spanMs)}, ${peers.faults} of ${peers.requests} of its peers', whose p99 is ` +
    `${msText(peersMs)} (evidence 10^${Math.floor(sure)})`
  );
}

function msText(ms: number): string {
  return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
}

function outcomes(buckets: Float64Array, limit: number): Outcomes {
  return { requests: sum(buckets, 0), faults: limit === 0 ? 0 : sum(buckets, limit) };
}

function sum(buckets: Float64Array, from: number): number {
  let total = 0;
  for (let i = from; i < buckets.length; i += 1) total += buckets[i]!;
  return total;
}

/** What is counted while it is read may be missing: never below zero. */
function difference(all: Float64Array, own: Float64Array): Float64Array {
  return all.map((count, i) => Math.max(0, count - own[i]!));
}

/** The bucket below or in which this share of the counts lies. */
function bucketOfShare(buckets: Float64Array, share: number): number {
  const rank = share * sum(buckets, 0);
  let below = 0;
  for (let i = 0; i < buckets.length; i += 1) {
    below += buckets[i]!;
    if (below >= rank) return i;
  }
  return buckets.length - 1;
}
