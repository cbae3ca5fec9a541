import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type CheckState, initialState, observe } from '../../src/health/rise-fall.ts';

const policy = { rise: 2, fall: 3 };
const result = (isGood: boolean) => ({ isGood, text: '', durationMs: 1, atMs: 0 });

/** States over a run of results: U and D after each + or -. */
function run(results: string, initial: 'up' | 'down' = 'down'): string {
  let state: CheckState = initialState(initial);
  return [...results]
    .map((mark) => {
      state = observe(state, result(mark === '+'), policy);
      return state.isUp ? 'U' : 'D';
    })
    .join('');
}

describe('rise and fall', () => {
  it.each([
    ['the first result decides at once', '+', 'U'],
    ['also against the initial state', '-', 'D'],
    ['it takes `fall` bad ones in a row to go down', '+--+---', 'UUUUUUD'],
    ['it takes `rise` good ones in a row to come up', '-+-++', 'DDDDU'],
  ])('%s', (_, results, states) => expect(run(results)).toBe(states));

  it('flips only after a whole run of results against the state', () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { minLength: 2 }), (results) => {
        let state = initialState('down');
        results.forEach((isGood, i) => {
          const before = state;
          state = observe(state, result(isGood), policy);
          if (i === 0 || state.isUp === before.isUp) return;
          const needed = before.isUp ? policy.fall : policy.rise;
          expect(results.slice(i + 1 - needed, i + 1)).toEqual(Array(needed).fill(state.isUp));
        });
      }),
    );
  });
});
