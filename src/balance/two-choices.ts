// Power of two choices: two endpoints by weighted chance, and the less loaded of them. `p2c`
// compares requests in flight; `ewma` weighs those with the moving average of response times, so
// a slow endpoint gets less (peak-EWMA of the literature, without its decay over idle time).
// The draw follows the weights already: the first stays unless the second is less loaded for its
// weight both without and with the request. With one of the two alone light endpoints would get
// nothing at low load (the heavy one is always less loaded with the request) or too much.
import { type Balancer, type BalancerContext, type Choice, isOut } from './balancer.ts';
import { RandomChoice } from './random.ts';

export class TwoChoices<C extends Choice> implements Balancer<C> {
  private readonly context: BalancerContext;
  private readonly chance: RandomChoice<C>;
  private readonly weighsLatency: boolean;
  private meanWeight = 1;

  constructor(context: BalancerContext, options: { readonly weighsLatency: boolean }) {
    this.context = context;
    this.chance = new RandomChoice(context);
    this.weighsLatency = options.weighsLatency;
  }

  setChoices(choices: readonly C[]): void {
    this.chance.setChoices(choices);
    const sum = choices.reduce((total, { weight }) => total + weight, 0);
    this.meanWeight = choices.length === 0 ? 1 : sum / choices.length;
  }

  pick(tried: readonly number[]): C | null {
    const first = this.chance.pick(tried);
    if (first === null) return null;
    const second = this.chance.pick([...tried, first.slot]);
    if (second === null || isOut(second, tried, this.context)) return first;
    return this.isLighter(second, first) ? second : first;
  }

  private isLighter(one: C, other: C): boolean {
    const { context, meanWeight } = this;
    const oneActive = context.inFlight[one.slot]!;
    const otherActive = context.inFlight[other.slot]!;
    // An endpoint without an answer yet counts as fast: it is tried, and then known.
    const oneTime = this.weighsLatency ? one.latencyUs : 1;
    const otherTime = this.weighsLatency ? other.latencyUs : 1;
    const oneShare = one.weight / meanWeight;
    const otherShare = other.weight / meanWeight;
    return (
      oneTime * ((oneActive + 1) / oneShare) < otherTime * ((otherActive + 1) / otherShare) &&
      oneTime * (oneActive / oneShare + 1) < otherTime * (otherActive / otherShare + 1)
    );
  }
}
