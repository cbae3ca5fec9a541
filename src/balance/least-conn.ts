// Least connections: the endpoint with the fewest requests in flight for its weight, counted over
// all workers, and among equals a smooth weighted turn (turn.ts), so that new requests follow the
// weights at any load. Equal are endpoints of which none would be less loaded with the request than
// another is without it: a / w < (b + 1) / v. For equal weights that is the same number in flight;
// of weights 1 and 5 an idle one is equal to one with up to 4 in flight.
import { type Balancer, type BalancerContext, type Choice, isOut } from './balancer.ts';
import { Turn } from './turn.ts';

/** Loads are products with 1 / weight: 49 / 49 must not come out below 1. */
const ROUNDING = 1 - 2 ** -40;

export class LeastConn<C extends Choice> implements Balancer<C> {
  private readonly context: BalancerContext;
  private readonly turn: Turn;
  private choices: readonly C[] = [];
  private slots = new Int32Array(0);
  /** 1 / weight. */
  private costs = new Float64Array(0);
  private isEven = true;
  private next: number;

  constructor(context: BalancerContext) {
    this.context = context;
    this.turn = new Turn(context.turns);
    // Not every balancer of a fleet begins with the same endpoint.
    this.next = Math.floor(context.random() * 0x1000_0000);
  }

  setChoices(choices: readonly C[]): void {
    this.choices = choices;
    this.slots = Int32Array.from(choices, ({ slot }) => slot);
    this.costs = Float64Array.from(choices, ({ weight }) => 1 / weight);
    this.isEven = choices.every(({ weight }) => weight === choices[0]!.weight);
    this.turn.setChoices(choices);
  }

  pick(tried: readonly number[]): C | null {
    if (this.choices.length === 0) return null;
    const index = this.isEven ? this.pickEven(tried) : this.pickWeighted(tried);
    if (index < 0) return null;
    this.turn.take(index);
    this.next = index + 1;
    return this.choices[index]!;
  }

  /** The index of an endpoint of equal weight; -1 where all are out. Written for one pass. */
  private pickEven(tried: readonly number[]): number {
    const { choices, context, slots, turn } = this;
    const { inFlight, perEndpointMax } = context;
    const count = slots.length;
    const mayBeOut = tried.length > 0 || perEndpointMax > 0;
    let best = -1;
    let bestActive = Number.POSITIVE_INFINITY;
    let bestDue = 0;
    let index = this.next % count;
    for (let seen = 0; seen < count; seen += 1) {
      const active = inFlight[slots[index]!]!;
      if (active <= bestActive && !(mayBeOut && isOut(choices[index]!, tried, context))) {
        // Nobody is less loaded than an idle one: a thousand endpoints, most of them idle, cost no
        // more than three.
        if (active === 0 && turn.isDue(index)) return index;
        const due = turn.untilDue(index);
        if (active < bestActive || due < bestDue) {
          best = index;
          bestActive = active;
          bestDue = due;
        }
      }
      index = index + 1 === count ? 0 : index + 1;
    }
    return best;
  }

  /** The same for any weights: who is equal to the least loaded is known after a pass over all. */
  private pickWeighted(tried: readonly number[]): number {
    const { choices, context, costs, slots, turn } = this;
    const { inFlight, perEndpointMax } = context;
    const count = slots.length;
    const mayBeOut = tried.length > 0 || perEndpointMax > 0;
    let least = -1;
    let loadMin = Number.POSITIVE_INFINITY;
    let index = this.next % count;
    for (let seen = 0; seen < count; seen += 1) {
      const active = inFlight[slots[index]!]!;
      const load = (active + 1) * costs[index]!;
      const isNext = active === 0 && turn.isDue(index);
      if ((isNext || load < loadMin) && !(mayBeOut && isOut(choices[index]!, tried, context))) {
        if (isNext) return index;
        least = index;
        loadMin = load;
      }
      index = index + 1 === count ? 0 : index + 1;
    }
    return least < 0 ? -1 : this.firstOfEquals(tried, least, loadMin * ROUNDING);
  }

  /** Of those that have less in flight now than the least loaded would have then, whose turn it is. */
  private firstOfEquals(tried: readonly number[], least: number, loadMin: number): number {
    const { choices, context, costs, slots, turn } = this;
    const { inFlight, perEndpointMax } = context;
    const count = slots.length;
    const mayBeOut = tried.length > 0 || perEndpointMax > 0;
    let first = least;
    let firstDue = turn.untilDue(least);
    let index = this.next % count;
    for (let seen = 0; seen < count; seen += 1) {
      if (inFlight[slots[index]!]! * costs[index]! < loadMin) {
        const due = turn.untilDue(index);
        if (due < firstDue && !(mayBeOut && isOut(choices[index]!, tried, context))) {
          first = index;
          firstDue = due;
        }
      }
      index = index + 1 === count ? 0 : index + 1;
    }
    return first;
  }
}
