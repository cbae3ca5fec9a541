// The answer in plain to a peer that spoke no TLS where TLS is expected.
import { Socket } from 'node:net';

/** How long a client that spoke plainly may take to read its answer, ms. */
const PLAIN_REPLY_MS = 1000;

/** Answers over the peer's handle, and closes that; then `done`. */
export function sendPlain(handle: unknown, reply: Buffer, done: () => void): void {
  // The option `handle` is undocumented, as in accept.ts.
  const known = { handle } as unknown as ConstructorParameters<typeof Socket>[0];
  const socket = new Socket(known);
  socket.on('error', () => {});
  socket.once('close', done);
  socket.setTimeout(PLAIN_REPLY_MS, () => socket.destroy());
  socket.resume();
  socket.end(reply);
}
