// How sure it is that an endpoint does worse than its peers, from what each of them did with the
// requests of the same time. Pure statistics: counts in, a number out.
//
// The assumption that is to be refuted: the endpoint fails no more than is tolerated beside peers
// that fail a share p of their requests, which is twice their odds, and p + `excess` at least. The
// evidence is the likelihood of what was seen, mixed over all shares of the endpoint and of its
// peers (Krichevsky-Trofimov, that is Jeffreys' prior), divided by the highest that the assumption
// permits. Where the assumption holds, a ratio of 10^k comes up with a probability of at most 10^-k
// in all looks from one start together (Ville's inequality; universal inference, Wasserman, Ramdas
// and Balakrishnan, 2020). So looking ten times a second makes no more errors than looking once.

/** Outcomes of requests. */
export interface Outcomes {
  readonly requests: number;
  /** Those of them that failed. */
  readonly faults: number;
}

/** Odds of the peers that an endpoint may have. It also covers shares of the load that shift. */
const ODDS = 2;
/** Halvings of an interval by the golden section: to a billionth. */
const STEPS = 44;
const GOLDEN = (Math.sqrt(5) - 1) / 2;

/** The share of failures that is tolerated beside peers which fail the share `p`. */
export function tolerated(p: number, excess: number): number {
  return Math.min(1, Math.max((ODDS * p) / (1 + (ODDS - 1) * p), p + excess));
}

/** Whether the endpoint did worse than is tolerated, by the plain shares; no evidence without. */
export function isWorse(own: Outcomes, peers: Outcomes, excess: number): boolean {
  if (own.requests === 0 || peers.requests === 0) return false;
  return own.faults / own.requests > tolerated(peers.faults / peers.requests, excess);
}

/**
 * Powers of ten by which what was seen speaks against the assumption; 0 where it does not at all.
 * `excess` is the share of failures above the peers' that is tolerated always.
 */
export function evidence(own: Outcomes, peers: Outcomes, excess: number): number {
  if (!isWorse(own, peers, excess)) return 0;
  const seen = mixed(own) + mixed(peers);
  return Math.max(0, (seen - highest(own, peers, excess)) / Math.LN10);
}

/** What `evidence` is at most: cheap, to find out whether it is worth its price. */
export function evidenceMax(own: Outcomes, peers: Outcomes, excess: number): number {
  if (!isWorse(own, peers, excess)) return 0;
  const best = likelihood(own, own.faults / own.requests);
  const limit = likelihood(own, tolerated(peers.faults / peers.requests, excess));
  return (best - limit) / Math.LN10;
}

/** Logarithm of the likelihood of a sequence with these outcomes, where each fails with share `p`. */
function likelihood({ requests, faults }: Outcomes, p: number): number {
  const good = requests - faults;
  return (faults === 0 ? 0 : faults * Math.log(p)) + (good === 0 ? 0 : good * Math.log1p(-p));
}

/** The same, mixed over all shares. */
function mixed({ requests, faults }: Outcomes): number {
  const sum = logGamma(faults + 0.5) + logGamma(requests - faults + 0.5);
  return sum - logGamma(requests + 1) - Math.log(Math.PI);
}

/** The highest likelihood of both under the assumption; the endpoint does worse than it says. */
function highest(own: Outcomes, peers: Outcomes, excess: number): number {
  const at = (p: number): number => likelihood(own, tolerated(p, excess)) + likelihood(peers, p);
  // The tolerated share has a kink where one of its rules takes over; between, `at` has one peak.
  const half = (1 - excess) / 2;
  const root = half * half - excess;
  const kinks = root > 0 ? [half - Math.sqrt(root), half + Math.sqrt(root)] : [];
  const ends = [0, ...kinks, 1 - excess];
  let found = likelihood(own, own.faults / own.requests) + likelihood(peers, 1 - excess);
  for (let i = 1; i < ends.length; i += 1) {
    found = Math.max(found, peak(at, ends[i - 1]!, ends[i]!));
  }
  return found;
}

/** The highest value of a function with one peak, by the golden section. */
function peak(at: (p: number) => number, from: number, to: number): number {
  let low = from;
  let high = to;
  let left = high - GOLDEN * (high - low);
  let right = low + GOLDEN * (high - low);
  let atLeft = at(left);
  let atRight = at(right);
  for (let step = 0; step < STEPS; step += 1) {
    if (atLeft < atRight) {
      low = left;
      left = right;
      atLeft = atRight;
      right = low + GOLDEN * (high - low);
      atRight = at(right);
    } else {
      high = right;
      right = left;
      atRight = atLeft;
      left = high - GOLDEN * (high - low);
      atLeft = at(left);
    }
  }
  return Math.max(atLeft, atRight);
}

/** Logarithm of the gamma function for x > 0: Stirling's series, from 8 on good to 12 digits. */
export function logGamma(x: number): number {
  let shift = 0;
  let at = x;
  for (; at < 8; at += 1) shift += Math.log(at);
  const inverse = 1 / (at * at);
  const series = (1 / 12 - inverse * (1 / 360 - inverse * (1 / 1260 - inverse / 1680))) / at;
  return (at - 0.5) * Math.log(at) - at + 0.5 * Math.log(2 * Math.PI) + series - shift;
}
