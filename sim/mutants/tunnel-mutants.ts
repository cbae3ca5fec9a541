// Faults of WebSockets by HTTP/2 that the simulator must find.
import { type Mutant, type MutantRow, mutantsOf } from './mutant.ts';

const http2 = 'src/proxy/http/http2';

const rows: readonly MutantRow[] = [
  [
    'the half-close of a tunnelled stream is lost',
    `${http2}/tunnel-ends.ts`,
    '    this.session.end(this.stream);\n',
    '',
  ],
  [
    'a tunnel that breaks off looks ended to a client of HTTP/2',
    `${http2}/http2-request.ts`,
    '    if (!isOrderly) connection.session.reset(stream, ErrorCode.cancel);\n    else {',
    '    {',
  ],
  [
    'a client that breaks its tunnel off seems to have ended it',
    'src/proxy/http/exchange.ts',
    '      if (!isOrderly) this.attempts.drop(this.attempt, true);\n',
    '',
  ],
  [
    'what comes before a tunnel is open is lost',
    `${http2}/http2-request.ts`,
    "    if (upgrade !== '') connection.session.pause(stream);\n",
    '',
  ],
  [
    'a tunnel may rest for ever',
    'src/proxy/http/tunnel.ts',
    '  onUpstreamTimer(): void {\n    this.owner.onTunnelDone(true);\n',
    '  onUpstreamTimer(): void {\n',
  ],
  [
    'a WebSocket goes to an endpoint that takes none',
    `${http2}/http2-attempt.ts`,
    '    if (takesTunnels) this.onConnected(mayOpen);\n',
    '    if (takesTunnels || isProtocolGiven(this.owner)) this.onConnected(mayOpen);\n',
  ],
  [
    'the key of a WebSocket is not answered',
    'src/proxy/http/websocket.ts',
    "key === '' ? '' : `",
    "key !== '' ? '' : `",
  ],
];

export const tunnelMutants: readonly Mutant[] = mutantsOf('data', rows);
