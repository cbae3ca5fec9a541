// Faults of TLS over unix sockets that the simulator must find. What these have no more than a stream: no address, no
// port, no reset, and one worker that listens.
import { type MutantRow, mutantsOf } from './mutant.ts';

const rows: readonly MutantRow[] = [
  [
    'a connection to a unix socket is taken for one of TCP',
    'src/proxy/wire/accept-tls.ts',
    '  return accepted.handle instanceof TCP;\n',
    '  return true;\n',
  ],
  [
    'who comes by a unix socket has an empty name',
    'src/proxy/http/client-facts.ts',
    "address === '' ? 'unknown' : address",
    'address',
  ],
  [
    'each worker wants the unix socket',
    'src/worker/worker.ts',
    "    if (snapshot.address.kind === 'unix' && index !== 0) return;\n",
    '',
  ],
];

export const unixMutants = mutantsOf('data', rows);
