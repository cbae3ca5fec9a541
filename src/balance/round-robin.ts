// Smooth weighted round robin: each pick adds every weight to its endpoint's credit, takes the
// richest and charges it the sum. Weights 5,1,1 give a a b a c a a, not a a a a a b c.
import { type Balancer, type BalancerContext, type Choice, isOut } from './balancer.ts';

export class RoundRobin<C extends Choice> implements Balancer<C> {
  private readonly context: BalancerContext;
  private choices: readonly C[] = [];
  private credits = new Float64Array(0);
  private areEqual = true;
  private next: number;

  constructor(context: BalancerContext) {
    this.context = context;
    this.next = Math.floor(context.random() * 0x1000_0000);
  }

  setChoices(choices: readonly C[]): void {
    const before = new Map(this.choices.map((choice, i) => [choice.id, this.credits[i]!]));
    this.choices = choices;
    this.credits = Float64Array.from(choices, (choice) => before.get(choice.id) ?? 0);
    this.areEqual = choices.every((choice) => choice.weight === choices[0]!.weight);
  }

  pick(tried: readonly number[]): C | null {
    return this.areEqual ? this.pickInTurn(tried) : this.pickRichest(tried);
  }

  private pickInTurn(tried: readonly number[]): C | null {
    const count = this.choices.length;
    for (let seen = 0; seen < count; seen += 1) {
      const choice = this.choices[(this.next + seen) % count]!;
      if (isOut(choice, tried, this.context)) continue;
      this.next = (this.next + seen + 1) % count;
      return choice;
    }
    return null;
  }

  private pickRichest(tried: readonly number[]): C | null {
    let best = -1;
    let sum = 0;
    this.choices.forEach((choice, i) => {
      if (isOut(choice, tried, this.context)) return;
      this.credits[i]! += choice.weight;
      sum += choice.weight;
      if (best < 0 || this.credits[i]! > this.credits[best]!) best = i;
    });
    if (best < 0) return null;
    this.credits[best]! -= sum;
    return this.choices[best]!;
  }
}
