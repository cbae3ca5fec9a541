// What an endpoint that speaks HTTP/2 is like, drawn.
import type { Chance } from '../../kernel/chance.ts';
import type { EndpointHabits } from '../answer-script.ts';
import type { AnswerFault } from '../book.ts';
import type { Weights } from '../weights.ts';

/** An endpoint that does this may never see what was on its way. */
export const ENDS_CONNECTION: ReadonlySet<AnswerFault> = new Set<AnswerFault>([
  'resets',
  'closes',
  'breaks',
  'closes-idle',
  'resets-idle',
]);

const FAULTS: readonly AnswerFault[] = [
  'silent',
  'stalls',
  'resets',
  'closes',
  'breaks',
  'wrong-length',
  'bad-fields',
  'interim-flood',
  'huge-head',
  'closes-idle',
  'resets-idle',
  'refuses',
  'refuses',
  'goaway',
  'goaway',
  'cancels',
  'cancels',
];

const REFUSALS: readonly AnswerFault[] = ['refuses', 'goaway'];

/** Those that leave the connection as it is: then every stream that was opened is seen. */
const OF_STREAMS = FAULTS.filter((fault) => !ENDS_CONNECTION.has(fault));

function drawFaults(chance: Chance, refusers: number): readonly AnswerFault[] {
  if (chance.happens(refusers)) return REFUSALS;
  return (chance.happens(0.4) ? OF_STREAMS : FAULTS).filter(() => chance.happens(0.4));
}

/** Whether it does nothing worse than to refuse streams, and says so: no request is harmed by that. */
export function onlyRefuses({ faults }: Pick<EndpointHabits, 'faults'>): boolean {
  return faults.length > 0 && faults.every((fault) => REFUSALS.includes(fault));
}

export function drawHttp2Habits(
  chance: Chance,
  { refusers }: Weights,
): EndpointHabits['h2'] & { readonly faults: readonly AnswerFault[] } {
  return {
    streamsMax: chance.pick([0, 0, 1, 3, 20, 100]),
    ageMs: chance.pick([0, 0, 500, 3000]),
    faults: drawFaults(chance, refusers),
    takesTunnels: chance.happens(0.7),
  };
}
