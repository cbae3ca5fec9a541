// The one map from a policy's name to its code.
import type { Balance } from '../model/service.ts';
import type { Balancer, BalancerContext, Choice } from './balancer.ts';
import { HashRing } from './hash.ts';
import { LeastConn } from './least-conn.ts';
import { RandomChoice } from './random.ts';
import { RoundRobin } from './round-robin.ts';
import { TwoChoices } from './two-choices.ts';

/** A balancer with a state of its own, for one service of one worker. */
export function createBalancer<C extends Choice>(
  policy: Balance['policy'],
  context: BalancerContext,
): Balancer<C> {
  switch (policy) {
    case 'least-conn':
      return new LeastConn(context);
    case 'round-robin':
      return new RoundRobin(context);
    case 'random':
      return new RandomChoice(context);
    case 'p2c':
      return new TwoChoices(context, { weighsLatency: false });
    case 'ewma':
      return new TwoChoices(context, { weighsLatency: true });
    case 'hash':
      return new HashRing(context);
  }
}
