// Faults of the data plane that the simulator must find. Each is a small change that could have been
// made by mistake; some were.
import { type MutantRow, mutantsOf } from './mutant.ts';

const http = 'src/proxy/http';

const rows: readonly MutantRow[] = [
  [
    'an exchange is given back while its connection still holds it',
    `${http}/http1/http1-request.ts`,
    '    connection.requestLeft(this);\n',
    '',
  ],
  [
    'the range of an earlier body is kept',
    `${http}/http1/body-reader.ts`,
    "    this.trailers = '';\n    this.put(NOTHING, 0, 0, 0);\n",
    "    this.trailers = '';\n",
  ],
  ['whoever waits is not woken', 'src/proxy/hold.ts', '    this.live.placeFreed();\n', ''],
  [
    'a place is given back twice',
    'src/proxy/hold.ts',
    '    this.endpoint = null;\n    this.ledger',
    '    this.ledger',
  ],
  [
    'what is in flight is not released',
    'src/proxy/hold.ts',
    '    this.ledger.release(endpoint.slot);\n',
    '',
  ],
  [
    'kept bytes are one too few',
    `${http}/http1/stash.ts`,
    '    this.end = ROOM + before + end - start;',
    '    this.end = ROOM + before + end - start - 1;',
  ],
  [
    'a body takes a byte of what follows',
    `${http}/http1/body-reader.ts`,
    'Math.min(start + this.left, end)',
    'Math.min(start + this.left + 1, end)',
  ],
  [
    'a connection keeps its timer when it is closed',
    `${http}/http1/client-connection.ts`,
    '    this.plane.context.wheel.remove(this.timer);\n    this.intake.end();',
    '    this.intake.end();',
  ],
  [
    'idle upstream connections are kept for ever',
    'src/proxy/upstream-connection.ts',
    '    if (isKept) this.setTimer(Math.min(idleUpstreamMs, leftMs));\n    else this.destroy();',
    '    if (!isKept) this.destroy();',
  ],
  [
    'a request is tried again when its answer has begun',
    `${http}/exchange.ts`,
    "    else if (this.state === 'relaying') this.cut(why, detail);\n",
    '',
  ],
  [
    'a POST is tried again',
    `${http}/retry.ts`,
    "  if (!facts.isIdempotent && !(facts.isUnsent && (isMove || isStale))) return 'no';\n",
    '',
  ],
  [
    'the endpoint is not paused for a slow client',
    `${http}/http1/http1-request.ts`,
    'if (!source.forwardTo(this.connection!.wire, base, from, to)) source.pause();',
    'source.forwardTo(this.connection!.wire, base, from, to);',
  ],
  [
    'the endpoint is not resumed',
    `${http}/exchange.ts`,
    "    if (this.state !== 'free') this.attempt.resume();\n",
    '',
  ],
  [
    'a lent buffer is read into',
    'src/proxy/wire/socket-wire.ts',
    '      other.borrow(this.buffer);\n      this.nextBuffer = this.buffers.take();\n',
    '      other.borrow(this.buffer);\n',
  ],
  [
    'a shared buffer is written from',
    'src/proxy/wire/socket-wire.ts',
    'other.write(copies.take(base, start, end));',
    'other.write(base.subarray(start, end));',
  ],
  [
    'the memory of a copy that waits is used again',
    'src/proxy/wire/socket-wire.ts',
    '    if (!isTaken) copies.lend();\n',
    '',
  ],
  [
    'a lent copy of a first read is read into',
    'src/proxy/wire/socket-wire.ts',
    'this.nextBuffer = isTaken ? own : this.buffers.take();',
    'this.nextBuffer = own;',
  ],
  [
    'who has a place still waits in the queue',
    'src/proxy/placement.ts',
    '    this.isWaiting = false;\n    this.live.dequeue(this);\n',
    '    this.live.dequeue(this);\n',
  ],
  [
    'who gave up stays in the queue',
    'src/proxy/placement.ts',
    '    this.live.dequeue(this);\n',
    '',
  ],
  [
    'the half-close of a TCP client is lost',
    'src/proxy/tcp/session.ts',
    "    if (this.state === 'relaying') this.upstream?.wire.end();\n",
    '',
  ],
  [
    'the half-close of a tunnel is lost',
    `${http}/tunnel.ts`,
    '  onClientEnd(): void {\n    this.upstream.end();\n',
    '  onClientEnd(): void {\n',
  ],
  [
    'a connection with surplus bytes is kept',
    `${http}/http1/http1-attempt.ts`,
    '&& !response.endsWithConnection && next === end;',
    '&& !response.endsWithConnection;',
  ],
  [
    'bytes on an idle connection are ignored',
    'src/proxy/upstream-connection.ts',
    '    if (this.user !== null) this.user.onUpstreamBytes(base, start, end);\n    else this.discard();',
    '    this.user?.onUpstreamBytes(base, start, end);',
  ],
  [
    'a closed kept connection is a failure of its endpoint',
    `${http}/http1/http1-attempt.ts`,
    'return this.isOnKept && !this.hasAnswered ? STALE : RESET;',
    'return this.isOnKept && this.hasAnswered ? STALE : RESET;',
  ],
  [
    'the loser of a hedge goes on',
    `${http}/attempts.ts`,
    '    if (attempt === this.current) {\n      this.drop(this.spare!);\n',
    '    if (attempt === this.current) {\n',
  ],
  [
    'a body that breaks off looks whole',
    `${http}/http1/http1-attempt.ts`,
    '    else if (this.response.endsWithConnection) {\n',
    '    else if (this.response.endsWithConnection || this.response.bytes > 0) {\n',
  ],
  [
    'an answer without a frame is cut in order',
    `${http}/http1/http1-request.ts`,
    '    if (looksComplete) connection.reset();\n    else connection.breakOff();',
    '    connection.breakOff();',
  ],
  [
    'a place while memory is short is not given back',
    'src/proxy/placement.ts',
    '    this.shortPlace?.leave();\n',
    '',
  ],
  [
    'the limit that finds itself loses places',
    'src/proxy/placement.ts',
    '    this.admittedBy?.leave(answerUs);\n',
    '',
  ],
  [
    'the response timer is not set',
    `${http}/exchange.ts`,
    'this.attempt.setTimer(isItsTurn ? this.service.timeouts.responseMs : 0);',
    'this.attempt.setTimer(0);',
  ],
  [
    'least connections forget the weight',
    'src/balance/least-conn.ts',
    'const load = (active + 1) * costs[index]!;',
    'const load = active + 1;',
  ],
  [
    'an endpoint gets one more than its limit',
    'src/balance/balancer.ts',
    'context.inFlight[choice.slot]! >= max',
    'context.inFlight[choice.slot]! > max',
  ],
  [
    'the connections of a service are not counted down',
    'src/proxy/limits/connection-place.ts',
    '    ledger.closeConnection(service!.slot);\n',
    '',
  ],
  [
    'what a TCP client sent early is not sent again',
    'src/proxy/tcp/session.ts',
    '    const isTaken = view === null || upstream!.wire.write(view);',
    '    const isTaken = view === null || this.placement.attempts > 1 || upstream!.wire.write(view);',
  ],
  [
    'endpoints that are down are asked',
    'src/proxy/live-service.ts',
    '      if (!live.takesWork) continue;\n      const fromMs',
    '      const fromMs',
  ],
  [
    'a drained write is not told',
    'src/proxy/wire/socket-wire.ts',
    '      this.giveBack();\n      try {\n        this.handler.onDrain();',
    '      this.giveBack();\n      if (this.isPaused) return;\n      try {\n        this.handler.onDrain();',
  ],
  [
    'body bytes are counted twice',
    `${http}/http1/http1-request.ts`,
    '    this.bytesOut += piece.to - piece.from;\n',
    '    this.bytesOut += 2 * (piece.to - piece.from);\n',
  ],
  [
    'a connection gives way to its own request',
    `${http}/http1/client-connection.ts`,
    "    if (this.intake.isTaking) return 'busy';\n",
    '',
  ],
  [
    'one connection more than the limit is served',
    'src/proxy/limits/connection-place.ts',
    'count <= connections ||',
    'count <= connections + 1 ||',
  ],
];

export const dataMutants = mutantsOf('data', rows);
