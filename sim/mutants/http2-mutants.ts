// Faults of HTTP/2 that the simulator must find, on both sides of the data plane.
import type { Mutant } from './mutant.ts';

const session = 'src/http2/session';
const http2 = 'src/proxy/http/http2';

type Row = readonly [name: string, file: string, find: string, replace: string];

const rows: readonly Row[] = [
  [
    'the window of a stream is not given back',
    `${session}/inflow.ts`,
    '    out.windowUpdate(stream.id, stream.unreturned);\n',
    '',
  ],
  [
    'the window of the connection is not given back',
    `${session}/inflow.ts`,
    '    out.windowUpdate(0, this.unreturned);\n    this.receiveWindow',
    '    this.receiveWindow',
  ],
  [
    'what a stream may send forgets what was sent',
    `${session}/outflow.ts`,
    '    stream.sendWindow -= to - from;\n    this.sendWindow',
    '    this.sendWindow',
  ],
  [
    'what waits is not woken when its window opens',
    `${session}/outflow.ts`,
    '    if (stream.isWaiting) this.pump();\n',
    '',
  ],
  [
    'what waits is not woken when SETTINGS open its window',
    'src/http2/session.ts',
    '    if (grown > 0) this.outflow.pump();\n',
    '',
  ],
  [
    'SETTINGS change no open stream',
    `${session}/outflow.ts`,
    '      stream.sendWindow += grown;\n',
    '',
  ],
  [
    'whoever waited is not told that it was sent',
    `${session}/outflow.ts`,
    '      else if (!stream.isClosed || stream.isLocalDone) stream.user?.onDrain(stream);\n',
    '',
  ],
  [
    'a stream of HTTP/2 is given back twice',
    `${http2}/http2-request.ts`,
    '    this.plane.giveHttp2Request(this);\n',
    '    this.plane.giveHttp2Request(this);\n    this.plane.giveHttp2Request(this);\n',
  ],
  [
    'the last id of GOAWAY is ignored',
    'src/http2/session.ts',
    '        if (stream.id > lastId && !table.isAnswered(stream)) table.drop(stream, code, true);\n',
    '',
  ],
  [
    'REFUSED_STREAM is no reason to ask another',
    'src/http2/session.ts',
    'table.drop(stream, code, code === ErrorCode.refusedStream)',
    'table.drop(stream, code, false)',
  ],
  [
    'an endpoint is not told that the client has gone',
    `${http2}/http2-attempt.ts`,
    '      } else shared!.session.reset(stream, ErrorCode.cancel);\n',
    '      } else shared!.session.leave(stream);\n',
  ],
  [
    'more streams are opened than an endpoint takes',
    'src/http2/session.ts',
    'table.streams.size < this.peer.maxStreams',
    'table.streams.size <= this.peer.maxStreams',
  ],
  [
    'a whole answer is lost with its connection',
    `${session}/stream-table.ts`,
    '      if (this.isAnswered(stream)) this.stop(stream);\n      else this.drop(stream, code, false);\n',
    '      this.drop(stream, code, false);\n',
  ],
  [
    'the last words of a connection are lost',
    `${http2}/client-connection.ts`,
    '    this.link.finish(this.session);\n',
    '    this.link.flush(this.session);\n',
  ],
  [
    'who is one connection too many gets no GOAWAY',
    `${http2}/client-connection.ts`,
    "detail: '' });\n    this.session.endStreams();\n    this.close();\n  }\n\n  /** Says what",
    "detail: '' });\n    this.close();\n  }\n\n  /** Says what",
  ],
  [
    'content may be shorter than announced',
    `${session}/inflow.ts`,
    'stream.expected >= 0 && !(isLast && stream.expected > 0)',
    'stream.expected >= 0',
  ],
  [
    'a header block of a stream that was reset is not decoded',
    `${session}/heads.ts`,
    '    if (!this.decode(isFirst)) return',
    '    if (stream === undefined && !isNew) return;\n    if (!this.decode(isFirst)) return',
  ],
  [
    'a whole answer is cut by RST_STREAM without an error',
    'src/http2/session.ts',
    '    if (table.isAnswered(stream)) table.stop(stream);\n    else table.drop',
    '    table.drop',
  ],
  [
    'frames of a stream that was reset end the connection',
    `${session}/stream-table.ts`,
    '    this.resets.add(id);\n',
    '',
  ],
];

export const http2Mutants: readonly Mutant[] = rows.map(([name, file, find, replace]) => ({
  name,
  plane: 'data',
  file,
  find,
  replace,
}));
