// Weighted random choice.
import { type Balancer, type BalancerContext, type Choice, isOut } from './balancer.ts';

export class RandomChoice<C extends Choice> implements Balancer<C> {
  private readonly context: BalancerContext;
  private choices: readonly C[] = [];

  constructor(context: BalancerContext) {
    this.context = context;
  }

  setChoices(choices: readonly C[]): void {
    this.choices = choices;
  }

  pick(tried: readonly number[]): C | null {
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
