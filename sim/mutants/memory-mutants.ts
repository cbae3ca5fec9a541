// Faults of memory that is shared, lent and given back on the way of a request, and of sockets over handles, which the
// simulator must find.
import { type Mutant, type MutantRow, mutantsOf } from './mutant.ts';

const http = 'src/proxy/http';
const wire = 'src/proxy/wire';

const rows: readonly MutantRow[] = [
  [
    'what is gathered of a body goes with the next request',
    `${http}/http1/body-gather.ts`,
    '    this.writer?.giveBack();\n',
    '',
  ],
  [
    'what is gathered of a body stays behind',
    `${http}/http1/http1-attempt.ts`,
    '      if (upstream !== null) this.gather.flush(upstream.wire);\n',
    "      if (upstream !== null && this.state === 'idle') this.gather.flush(upstream.wire);\n",
  ],
  [
    'a large buffer of a head is used on when it was given back',
    'src/http1/head-writer.ts',
    '    this.buffer = home ?? Buffer.allocUnsafeSlow(SMALL_BYTES);\n    this.home = null;\n    this.lastView = null;\n',
    '    void home;\n',
  ],
  [
    'the room of a connection that writes large is kept when it has closed',
    `${wire}/tls-wire.ts`,
    '    this.buffers.largeWrites.leave(this.writeBytesMax);\n',
    '',
  ],
  [
    'a large write begins again behind its first piece',
    `${wire}/tls-wire.ts`,
    '      rest = bytes.subarray(writeBytesMax);\n',
    '',
  ],
  [
    'a copy for encryption is never given back',
    `${wire}/tls-wire.ts`,
    '    this.copies.push(buffer);\n',
    '',
  ],
  [
    'a copy for encryption is given back when one before it is encrypted',
    `${wire}/tls-wire.ts`,
    '    if (this.unreported === 0 && this.copies.length > 0) this.giveCopies();\n',
    '    if (this.copies.length > 0) this.giveCopies();\n',
  ],
  [
    'a copy for encryption is given back once more when the connection closes',
    `${wire}/tls-wire.ts`,
    '    for (const buffer of this.copies) this.buffers.give(buffer);\n    this.copies = [];\n',
    '    for (const buffer of this.copies) this.buffers.give(buffer);\n',
  ],
  [
    'a copy is seen through the view of one that waits',
    `${wire}/copies.ts`,
    '    this.room = Buffer.allocUnsafeSlow(COPY_BYTES_MAX);\n    this.views = noViews();\n  }',
    '    this.room = Buffer.allocUnsafeSlow(COPY_BYTES_MAX);\n  }',
  ],
  [
    'the address of a client that has left is not known',
    'src/proxy/tcp/session.ts',
    '    if (context.accessLog !== null) this.clientAddress = client.remoteAddress;\n',
    '',
  ],
  [
    'who connects by a handle is taken for ourselves',
    `${wire}/handle-socket.ts`,
    '      this._handle.getpeername(this.peer);\n',
    '      this._handle.getsockname(this.peer);\n',
  ],
  [
    'a connection over a handle closes when its peer has ended',
    `${wire}/handle-socket.ts`,
    '    if (this.isShut) this.destroy();\n',
    '    this.destroy();\n',
  ],
  [
    'of the handles that close in one turn one is told',
    `${wire}/handle-socket.ts`,
    '  for (const socket of sockets) socket.closed();\n',
    '  sockets[0]!.closed();\n',
  ],
  [
    'a session outlives the certificate that was verified for it',
    `${wire}/session-keeper.ts`,
    '  if (store.session !== null && wallMs > store.sessionUntilMs) store.session = null;\n',
    '  void wallMs;\n',
  ],
];

export const memoryMutants: readonly Mutant[] = mutantsOf('data', rows);
