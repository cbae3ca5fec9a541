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
    'src/proxy/sessions/endpoint-sessions.ts',
    '    if (dueMs >= this.dueMs) return;\n',
    '',
  ],
  [
    'sessions end though their endpoint takes work again',
    'src/proxy/sessions/endpoint-sessions.ts',
    '    this.dueMs = Number.POSITIVE_INFINITY;\n    this.wheel.remove(this.timer);\n',
    '',
  ],
  [
    'a source has one connection more than it may',
    'src/proxy/limits/connection-place.ts',
    'if (ofClient > connectionsPerClient)',
    'if (ofClient > connectionsPerClient + 1)',
  ],
  [
    'what follows a PROXY header in its segment is lost',
    'src/proxy/wire/accept-proxied.ts',
    '    if (rest.length > 0) socket.unshift(rest);\n',
    '',
  ],
  [
    'a PROXY header may take for ever',
    'src/proxy/wire/accept-proxied.ts',
    'clock.setTimer(proxy.timeoutMs, ',
    'clock.setTimer(1e9, ',
  ],
  [
    'a port of a PROXY line may begin with zeros',
    'src/proxy/proxy-protocol/proxy-header.ts',
    '[1-9]\\\\d{0,4}',
    '\\\\d{1,5}',
  ],
  [
    'the PROXY header of a stranger passes',
    'src/proxy/tcp/session.ts',
    'this.watch = new HeaderWatch();',
    'this.watch = null;',
  ],
  [
    'who is introduced is taken for the balancer',
    'src/proxy/wire/socket-wire.ts',
    '    if (this.client !== null) return this.client.address;\n',
    '',
  ],
  [
    'a kept connection of one client serves others',
    'src/proxy/http/http1/http1-attempt.ts',
    'return this.plane.introduced.poolOf(clientWire, endpoint, sendProxy);',
    'return endpoint.pool;',
  ],
];

export const sessionMutants = mutantsOf('data', rows);
