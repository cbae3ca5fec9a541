// Power of two choices: two endpoints by weighted chance, and the less loaded of them. `p2c`
// compares requests in flight; `ewma` weighs those with the moving average of response times, so
// a slow endpoint gets less (peak-EWMA of the literature, without its decay over idle time).
import { type Balancer, type BalancerContext, type Choice, isOut } from './balancer.ts';
import { RandomChoice } from './random.ts';

export class TwoChoices<C extends Choice> implements Balancer<C> {
  private readonly context: BalancerContext;
  private readonly chance: RandomChoice<C>;
  private readonly weighsLatency: boolean;

  constructor(context: BalancerContext, options: { readonly weighsLatency: boolean }) {
    this.context = context;
    this.chance = new RandomChoice(context);
    this.weighsLatency = options.weighsLatency;
  }

  setChoices(choices: readonly C[]): void {
    this.chance.setChoices(choices);
  }

  pick(tried: readonly number[]): C | null {
    const first = this.chance.pick(tried);
    if (first === null) return null;
    const second = this.chance.pick([...tried, first.slot]);
    if (second === null || isOut(second, tried, this.context)) return first;
    return this.load(second) < this.load(first) ? second : first;
  }

  private load(choice: C): number {
    const active = this.context.inFlight[choice.slot]! + 1;
    // An endpoint without an answer yet counts as fast: it is tried, and then known.
    return this.weighsLatency
      ? (active * choice.latencyUs) / choice.weight
      : active / choice.weight;
  }
}
