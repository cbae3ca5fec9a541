// Faults of endpoints that choose their protocol (`upstream.protocol: auto`).
import { type MutantRow, mutantsOf } from './mutant.ts';

const connection = 'src/proxy/http/http2/endpoint-connection.ts';
const attempt = 'src/proxy/http/http1/http1-attempt.ts';

const rows: readonly MutantRow[] = [
  [
    'an endpoint that has come to HTTP/2 is asked by HTTP/1.1',
    attempt,
    "if (this.upstream!.wire.tls?.protocol === 'h2') this.giveUp();",
    "if (this.upstream!.wire.tls?.protocol === 'h3') this.giveUp();",
  ],
  [
    'an endpoint that has come to HTTP/1.1 is asked by HTTP/2',
    connection,
    "if (tls !== null && tls.protocol !== 'h2') {",
    "if (tls !== null && tls.protocol === 'h3') {",
  ],
  [
    'what an endpoint has chosen is forgotten',
    connection,
    "    endpoint.agreed = 'http1';",
    "    endpoint.agreed = 'http2';",
  ],
  [
    'who waited for HTTP/2 is left waiting',
    connection,
    '      next.onOtherProtocol();',
    '      if (this.waiting > 0) next.onOtherProtocol();',
  ],
  [
    'a connection that became HTTP/1.1 is in no pool',
    connection,
    '    new UpstreamConnection(endpoint, null, plane.context, opening).release(limits);',
    '    void new UpstreamConnection(endpoint, null, plane.context, opening);\n    void limits;',
  ],
  [
    'connections that speak for one client are offered HTTP/2',
    'src/proxy/tls/client-tls.ts',
    "  if (protocol === 'auto') return sendProxy === 'off' ? EITHER : HTTP1;",
    "  if (protocol === 'auto') return EITHER;",
  ],
];

export const mindMutants = mutantsOf('data', rows);
