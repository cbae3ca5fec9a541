// A connection that begins with a PROXY protocol header: the header is read here, before there is a
// wire, so that everything above sees the client's own address from the beginning. The public way of
// reading sockets does for it (accept.ts).
import { type Clock, systemClock } from '../../base/clock.ts';
import type { ProxyAccept } from '../network.ts';
import {
  HEADER_BYTES_MAX,
  type ProxiedPeer,
  readProxyHeader,
} from '../proxy-protocol/proxy-header.ts';
import type { RawSocket } from './raw-socket.ts';

/** Takes the socket over, paused, with everything after the header still to be read. */
export type Introduced<S> = (socket: S, peer: ProxiedPeer | null) => void;

/** Reads the header; a socket without a good one is closed, and that is told. */
export function readIntroduction<S extends RawSocket>(
  socket: S,
  proxy: ProxyAccept,
  done: Introduced<S>,
  clock: Clock = systemClock,
): void {
  let header: Buffer = Buffer.alloc(0);
  const leave = (): void => {
    timer.cancel();
    socket.off('data', onData).off('end', onEnd).off('error', onGone).off('close', onGone);
  };
  const refuse = (why: string): void => {
    const { remoteAddress = '' } = socket;
    leave();
    // What comes of its end concerns nobody.
    socket.on('error', () => {});
    socket.resetAndDestroy();
    proxy.onRefused(remoteAddress, why);
  };
  const onData = (bytes: Buffer): void => {
    header = header.length === 0 ? bytes : Buffer.concat([header, bytes]);
    const read = readProxyHeader(header);
    if (read.kind === 'bad') return refuse(read.why);
    if (read.kind === 'partial') {
      if (header.length >= HEADER_BYTES_MAX) refuse('the PROXY header is too long');
      return;
    }
    socket.pause();
    leave();
    const rest = header.subarray(read.length);
    if (rest.length > 0) socket.unshift(rest);
    done(socket, read.peer);
  };
  const onEnd = (): void => refuse('the connection ended within the PROXY header');
  const onGone = (): void => leave();
  const timer = clock.setTimer(proxy.timeoutMs, () =>
    refuse('the PROXY header did not come in time'),
  );
  socket.on('data', onData).on('end', onEnd).on('error', onGone).on('close', onGone);
}
