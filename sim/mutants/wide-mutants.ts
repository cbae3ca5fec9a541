// Faults in what follows many services of Consul by few wide questions, which the simulator must find.
import { type MutantRow, mutantsOf } from './mutant.ts';

const wide = 'src/discovery/consul/wide-watch.ts';

const rows: readonly MutantRow[] = [
  [
    'what was fetched and has gone from the lists is not asked about',
    wide,
    "    this.want(follower, { doubt: '', change: UNLISTED });\n",
    '',
  ],
  [
    'what the lists are too old to have is not compared again',
    wide,
    '    for (const follower of [...this.ahead]) this.compare(follower);',
    '    this.ahead.clear();',
  ],
  [
    'checks that were fetched are not compared with the lists',
    wide,
    '    for (const one of checks) note(one, this.standingOf(one));\n',
    "    for (const one of checks) if (one.state === '') note(one, this.standingOf(one));\n",
  ],
];

export const wideMutants = mutantsOf('control', rows);
