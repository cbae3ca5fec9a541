// Faults of gRPC calls that the simulator must find.
import { type Mutant, type MutantRow, mutantsOf } from './mutant.ts';

const http2 = 'src/proxy/http/http2';

const rows: readonly MutantRow[] = [
  [
    'the deadline of a call is ignored',
    `${http2}/http2-request.ts`,
    'withinMs: this.isGrpc ? grpcTimeoutMs(head) : 0,',
    'withinMs: 0,',
  ],
  [
    'the deadline of a call is that of the next request as well',
    'src/proxy/http/exchange.ts',
    '    this.deadline?.clear();\n',
    '',
  ],
  [
    'a call that fails here ends as plain HTTP',
    `${http2}/stream-replies.ts`,
    '    else if (isCall) this.sendTrailersAlone(stream, grpcLines(why, detail));\n',
    '',
  ],
  [
    'a call ends without its status',
    `${http2}/http2-request.ts`,
    'session.sendLast(stream, base, from, to, trailers)',
    "session.sendLast(stream, base, from, to, '')",
  ],
  [
    'the trailers of an endpoint are lost',
    `${http2}/http2-attempt.ts`,
    'this.owner.onBody(this, this, this.piece.end(trailers));',
    'this.owner.onBody(this, this, this.piece.end(trailers.slice(0, 0)));',
  ],
  [
    'the trailers of a call do not reach its endpoint',
    `${http2}/http2-attempt.ts`,
    'if (isLast) return session.sendLast(stream, base, from, to, trailers);',
    'if (isLast) return session.sendLast(stream, base, from, to, trailers.slice(0, 0));',
  ],
];

export const callMutants: readonly Mutant[] = mutantsOf('data', rows);
