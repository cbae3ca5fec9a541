// The options of `npm run sim`.
import { describe, expect, it } from 'vitest';
import { simOptionsOf } from '../../sim/options.ts';

const ALL = '--seed, --seconds, --plane, --trace, --plain, --mutants, --mutant';

describe('the options of the simulator', () => {
  it('are fresh seeds of the data plane without any', () => {
    expect(simOptionsOf([])).toEqual({
      ...{ seed: null, seconds: 10, plane: 'data', planes: ['data'] },
      ...{ trace: false, plain: false, mutants: false, mutant: '' },
    });
  });

  it('are read', () => {
    const words = ['--seed', '7', '--seconds=0.5', '--plane', 'both', '--trace'];
    expect(simOptionsOf(words)).toMatchObject({
      ...{ seed: 7, seconds: 0.5, plane: 'both', planes: ['data', 'control'], trace: true },
    });
    const { planes } = simOptionsOf(['--plane=all']) as { planes: readonly string[] };
    expect(planes).toEqual(['data', 'udp', 'control', 'registries']);
    expect(simOptionsOf(['--mutants', '--mutant', 'lost'])).toMatchObject({
      ...{ mutants: true, mutant: 'lost' },
    });
  });

  it.each([
    [['--unknown'], `--unknown: expected one of ${ALL}`],
    [['-x'], `-x: expected one of ${ALL}`],
    [['--unknown=3'], `--unknown: expected one of ${ALL}`],
    [['7'], `'7': expected an option: ${ALL}`],
    [['--seed'], '--seed without a value: expected a whole number from 0'],
    [['--seed', '--trace'], '--seed without a value: expected a whole number from 0'],
    [['--seed='], '--seed without a value: expected a whole number from 0'],
    [['--seed', 'x'], '--seed x: expected a whole number from 0'],
    [['--seed', '-1'], '--seed -1: expected a whole number from 0'],
    [['--seed', '1.5'], '--seed 1.5: expected a whole number from 0'],
    [['--seed', '0x10'], '--seed 0x10: expected a whole number from 0'],
    [['--seed', ' '], '--seed  : expected a whole number from 0'],
    [['--seed', '99999999999999999'], '--seed 99999999999999999: expected a whole number from 0'],
    [['--seed', '1', '--seed', '2'], '--seed: expected once'],
    [['--seconds', '0'], '--seconds 0: expected a number above 0'],
    [['--seconds', 'soon'], '--seconds soon: expected a number above 0'],
    [['--plane', 'dta'], '--plane dta: expected data, udp, control, registries, both or all'],
    [['--trace=yes'], '--trace=yes: expected no value'],
    [['--mutant', 'lost'], '--mutant lost: expected together with --mutants'],
  ])('%j are refused', (words, why) => {
    expect(simOptionsOf(words)).toBe(why);
  });
});
