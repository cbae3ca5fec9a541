// Faults of what docs/tcp.md and docs/udp.md promise, which the simulator must find.
import { type MutantRow, mutantsOf } from './mutant.ts';

const rows: readonly MutantRow[] = [
  [
    'sessions stay with who is the primary no more',
    'src/proxy/live-service.ts',
    'isStandby === true ? OUSTED : fate(isOut',
    'fate(isOut',
  ],
  [
    'an endpoint that is back has lost its sessions',
    'src/proxy/live-service.ts',
    'this.departed.take(endpoint)',
    'null',
  ],
  [
    'the end of sessions is put off by what comes later',
    'src/proxy/endpoint-sessions.ts',
    '    if (dueMs >= this.dueMs) return;\n',
    '',
  ],
  [
    'sessions end though their endpoint takes work again',
    'src/proxy/endpoint-sessions.ts',
    '    this.dueMs = Number.POSITIVE_INFINITY;\n    this.wheel.remove(this.timer);\n',
    '',
  ],
  [
    'a source has one connection more than it may',
    'src/proxy/connection-place.ts',
    'if (ledger.openClient(this.client) > connectionsPerClient)',
    'if (ledger.openClient(this.client) > connectionsPerClient + 1)',
  ],
];

export const sessionMutants = mutantsOf('data', rows);
