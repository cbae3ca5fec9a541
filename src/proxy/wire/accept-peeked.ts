// A connection whose TLS depends on its ClientHello: that is read here, before there is a wire, and
// stays to be read again by TLS itself. Rare (a challenge of ACME is outstanding), so the public way of
// reading sockets does for it (accept.ts).
import type { Clock } from '../../base/clock.ts';
import type { HelloPeek, ServerTls } from '../network.ts';
import type { RawSocket } from './raw-socket.ts';

/** Takes the socket over, paused, with everything that was read still to be read. */
export type Peeked<S> = (socket: S, chosen: ServerTls | null) => void;

interface Peeking {
  readonly peek: HelloPeek;
  readonly clock: Clock;
}

/** Reads until `peek` has chosen. A socket that ends or says nothing for too long is closed. */
export function peekHello<S extends RawSocket>(
  socket: S,
  { peek, clock }: Peeking,
  done: Peeked<S>,
): void {
  let bytes: Buffer = Buffer.alloc(0);
  const leave = (): void => {
    timer.cancel();
    socket.off('data', onData).off('end', giveUp).off('error', giveUp).off('close', giveUp);
    peek.done();
  };
  const giveUp = (): void => {
    leave();
    // What comes of its end concerns nobody.
    socket.on('error', () => {});
    socket.destroy();
  };
  const onData = (piece: Buffer): void => {
    bytes = bytes.length === 0 ? piece : Buffer.concat([bytes, piece]);
    const chosen = peek.choose(bytes);
    if (chosen === 'more') return;
    socket.pause();
    leave();
    socket.unshift(bytes);
    done(socket, chosen);
  };
  const timer = clock.setTimer(peek.timeoutMs, giveUp);
  socket.on('data', onData).on('end', giveUp).on('error', giveUp).on('close', giveUp);
}
