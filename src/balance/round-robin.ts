// Round robin: the smooth weighted turn (turn.ts), whatever is in flight, exact over all workers.
import { type Balancer, type BalancerContext, type Choice, isOut } from './balancer.ts';
import { Turn } from './turn.ts';

export class RoundRobin<C extends Choice> implements Balancer<C> {
  private readonly context: BalancerContext;
  private readonly turn: Turn;
  private choices: readonly C[] = [];
  private next: number;

  constructor(context: BalancerContext) {
    this.context = context;
    this.turn = new Turn(context.turns);
    // Not every balancer of a fleet begins with the same endpoint.
    this.next = Math.floor(context.random() * 0x1000_0000);
  }

  setChoices(choices: readonly C[]): void {
    this.choices = choices;
    this.turn.setChoices(choices);
  }

  pick(tried: readonly number[]): C | null {
    const { choices, context, turn } = this;
    const count = choices.length;
    let first = -1;
    let firstDue = Number.POSITIVE_INFINITY;
    for (let seen = 0; seen < count; seen += 1) {
      const index = (this.next + seen) % count;
      const due = turn.untilDue(index);
      if (due >= firstDue || isOut(choices[index]!, tried, context)) continue;
      first = index;
      firstDue = due;
      // Any that is due will do: the clock goes on when none is left.
      if (due < 0) break;
    }
    if (first < 0) return null;
    turn.take(first);
    this.next = first + 1;
    return choices[first]!;
  }
}
