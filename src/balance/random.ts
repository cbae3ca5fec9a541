// Weighted random choice. The sums of the weights are kept, so that a choice among a thousand costs
// ten comparisons; only where many are out are the ones that are left looked through.
import { type Balancer, type BalancerContext, type Choice, isOut } from './balancer.ts';

/** Draws before those that are left are looked through: more are seldom needed. */
const DRAWS_MAX = 4;

export class RandomChoice<C extends Choice> implements Balancer<C> {
  private readonly context: BalancerContext;
  private choices: readonly C[] = [];
  /** Sum of the weights up to and with each choice. */
  private sums = new Float64Array(0);

  constructor(context: BalancerContext) {
    this.context = context;
  }

  setChoices(choices: readonly C[]): void {
    this.choices = choices;
    let sum = 0;
    this.sums = Float64Array.from(choices, ({ weight }) => {
      sum += weight;
      return sum;
    });
  }

  pick(tried: readonly number[]): C | null {
    if (this.choices.length === 0) return null;
    for (let draw = 0; draw < DRAWS_MAX; draw += 1) {
      const choice = this.draw();
      if (!isOut(choice, tried, this.context)) return choice;
    }
    return this.pickFromLeft(tried);
  }

  /** One of all, whether it is out or not. There must be one. */
  private draw(): C {
    const { sums } = this;
    const last = sums.length - 1;
    const at = this.context.random() * sums[last]!;
    let low = 0;
    let high = last;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (sums[middle]! > at) high = middle;
      else low = middle + 1;
    }
    return this.choices[low]!;
  }

  private pickFromLeft(tried: readonly number[]): C | null {
    let sum = 0;
    for (const choice of this.choices) {
      if (!isOut(choice, tried, this.context)) sum += choice.weight;
    }
    let left = this.context.random() * sum;
    let last: C | null = null;
    for (const choice of this.choices) {
      if (isOut(choice, tried, this.context)) continue;
      last = choice;
      left -= choice.weight;
      if (left < 0) break;
    }
    return last;
  }
}
