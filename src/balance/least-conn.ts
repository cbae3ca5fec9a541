// Least connections: the endpoint with the fewest requests in flight for its weight, counted over
// all workers. Ties go round: each scan starts after the last pick, so equals share evenly.
import { type Balancer, type BalancerContext, type Choice, isOut } from './balancer.ts';

export class LeastConn<C extends Choice> implements Balancer<C> {
  private readonly context: BalancerContext;
  private choices: readonly C[] = [];
  private weightMax = 0;
  private next: number;

  constructor(context: BalancerContext) {
    this.context = context;
    // Workers start at different places, or the first requests of all would meet on one endpoint.
    this.next = Math.floor(context.random() * 0x1000_0000);
  }

  setChoices(choices: readonly C[]): void {
    this.choices = choices;
    this.weightMax = choices.reduce((max, choice) => Math.max(max, choice.weight), 0);
  }

  pick(tried: readonly number[]): C | null {
    const { choices, context, weightMax } = this;
    const { inFlight, perEndpointMax } = context;
    const count = choices.length;
    if (count === 0) return null;
    const mayBeOut = tried.length > 0 || perEndpointMax > 0;
    let best: C | null = null;
    let bestIndex = 0;
    let bestLoad = Number.POSITIVE_INFINITY;
    let index = this.next % count;
    for (let seen = 0; seen < count; seen += 1) {
      const choice = choices[index]!;
      const active = inFlight[choice.slot]!;
      // With the request that is to be placed: an idle endpoint of weight 2 beats one of weight 1.
      const load = (active + 1) / choice.weight;
      if (load < bestLoad && !(mayBeOut && isOut(choice, tried, context))) {
        best = choice;
        bestIndex = index;
        bestLoad = load;
        // Nothing can beat an idle endpoint of the largest weight: a thousand endpoints, most of
        // them idle, cost no more than three.
        if (active === 0 && choice.weight === weightMax) break;
      }
      index = index + 1 === count ? 0 : index + 1;
    }
    this.next = bestIndex + 1;
    return best;
  }
}
