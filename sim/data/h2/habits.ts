// What an endpoint that speaks HTTP/2 is like, drawn.
import type { Chance } from '../../kernel/chance.ts';
import type { EndpointHabits } from '../answer-script.ts';
import type { AnswerFault } from '../book.ts';

/** Share of worlds with HTTP/2. */
export const HTTP2_SHARE = 0.35;

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

/** Those that leave the connection as it is: then every stream that was opened is seen. */
const OF_STREAMS = FAULTS.filter((fault) => !ENDS_CONNECTION.has(fault));

export function drawHttp2Habits(
  chance: Chance,
): EndpointHabits['h2'] & { readonly faults: readonly AnswerFault[] } {
  return {
    streamsMax: chance.pick([0, 0, 1, 3, 20, 100]),
    ageMs: chance.pick([0, 0, 500, 3000]),
    faults: (chance.happens(0.4) ? OF_STREAMS : FAULTS).filter(() => chance.happens(0.4)),
  };
}
