// Passive health by comparison: which endpoints answered markedly worse than their peers over a
// window (Envoy calls this success rate outlier detection). Pure.
import type { SuccessRatePolicy } from '../model/service.ts';

/** What an endpoint did with its requests in a window. */
export interface Answers {
  readonly slot: number;
  /** Answers below 500. */
  readonly good: number;
  /** Answers from 500 on, and attempts without an answer. */
  readonly bad: number;
}

export interface Outlier {
  readonly slot: number;
  /** For people. */
  readonly text: string;
}

/** Standard deviations below the mean that make an outlier: Envoy's default. */
const DEVIATIONS = 1.9;
/** ... and at least so much below it: where all do nearly alike, a hair's breadth is nothing. */
const GAP_MIN = 0.05;

/** The outliers, the worst first; none where too few endpoints had enough requests to compare. */
export function outliers(policy: SuccessRatePolicy, answers: readonly Answers[]): Outlier[] {
  const judged = answers.filter(({ good, bad }) => good + bad >= policy.minRequests);
  if (judged.length < Math.max(2, policy.minEndpoints)) return [];
  const rates = judged.map(({ slot, good, bad }) => ({ slot, rate: good / (good + bad) }));
  const mean = rates.reduce((sum, { rate }) => sum + rate, 0) / rates.length;
  const variance = rates.reduce((sum, { rate }) => sum + (rate - mean) ** 2, 0) / rates.length;
  const limit = mean - Math.max(GAP_MIN, DEVIATIONS * Math.sqrt(variance));
  return rates
    .filter(({ rate }) => rate < limit)
    .sort((a, b) => a.rate - b.rate)
    .map(({ slot, rate }) => ({
      slot,
      text: `${percent(rate)} of its requests went well, ${percent(mean)} of all`,
    }));
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}
