// Whether an accepted connection begins its handshake at once, waits in the lobby, or is looked into first,
// for a challenge of ACME may be outstanding.
import type { ListenOptions, ServerTls, Wire } from '../network.ts';
import type { ProxiedPeer } from '../proxy-protocol/proxy-header.ts';
import { peekHello } from './accept-peeked.ts';
import { acceptTls } from './accept-tls.ts';
import type { Lobby } from './lobby.ts';
import { HandleGuest, SocketGuest } from './lobby-guest.ts';
import type { RawSocket } from './raw-socket.ts';
import type { ReadBuffers } from './read-buffers.ts';
import type { SystemHandles, TcpHandle } from './system-handles.ts';
import type { Accepted, TlsParts } from './tls-parts.ts';
import type { TlsWire } from './tls-wire.ts';

export interface AcceptingSecure {
  /** The port that is listened on; 0 for a unix socket. */
  readonly port: number;
  readonly buffers: ReadBuffers;
  readonly parts: TlsParts;
  readonly lobby: Lobby;
  readonly onWire: (wire: Wire) => void;
  readonly tls?: ListenOptions['tls'];
  readonly peek?: ListenOptions['peek'];
}

/** A header read before there is a wire; null where there is none. */
export type Introduction = { readonly peer: ProxiedPeer | null } | null;

/** A connection whose listener speaks TLS, as a socket: what it says may be looked into first. */
export function takeSecure(
  socket: RawSocket,
  accepting: AcceptingSecure,
  introduction: Introduction,
): void {
  // Also where there is no certificate yet: a challenge is how the first one is got.
  const peek = accepting.peek?.() ?? null;
  if (peek === null || !peek.begin()) return takeTls(socket, accepting, introduction);
  peekHello(socket, { peek, clock: accepting.parts.clock }, (known, chosen) => {
    if (chosen === null) takeTls(known, accepting, introduction);
    else answerChallenge(known, chosen, { accepting, introduction });
  });
  // It is paused where a PROXY header was read before.
  socket.resume();
}

/** TLS with the certificates of the listener, as they are now; closed where there are none. */
function takeTls(socket: RawSocket, accepting: AcceptingSecure, introduction: Introduction): void {
  const { lobby } = accepting;
  const tls = accepting.tls?.() ?? null;
  if (tls === null || tls === 'refuse') {
    socket.destroy();
    return;
  }
  if (lobby.hasRoom) {
    beginTls({ socket }, accepting, introduction);
    return;
  }
  const guest = new SocketGuest(socket, introduction?.peer?.address);
  lobby.enter(guest, tls.helloMs, (known) => secure(known, accepting, introduction));
}

/** TLS for a handle of the system's, when there is room: what it says can't be looked into first. */
export function waitForTls(
  handle: TcpHandle,
  accepting: AcceptingSecure,
  { tls, system }: { tls: ServerTls | 'refuse'; system: SystemHandles },
): void {
  if (tls === 'refuse') return handle.close(() => {});
  const guest = new HandleGuest(handle, accepting.buffers.shared.view, system);
  accepting.lobby.enter(guest, tls.helloMs, (known) => secure(known, accepting, null));
}

interface Answering {
  readonly accepting: AcceptingSecure;
  readonly introduction: Introduction;
}

/** Speaks TLS with the certificate that a challenge asks for; there is nothing behind it. */
function answerChallenge(
  socket: RawSocket,
  tls: ServerTls,
  { accepting, introduction }: Answering,
): void {
  const wire = acceptTls({ socket }, tls, accepting);
  if (introduction !== null) wire?.introduce(introduction.peer);
  if (wire === null) socket.destroy();
  else accepting.onWire(wire);
}

/** Speaks TLS at once; false where there is no certificate any more. */
export function beginTls(
  accepted: Accepted,
  accepting: AcceptingSecure,
  introduction: Introduction,
): boolean {
  const wire = secure(accepted, accepting, introduction);
  if (wire !== null) accepting.lobby.begun(wire, wire.remoteAddress);
  else if ('socket' in accepted) accepted.socket.destroy();
  return wire !== null;
}

function secure(
  accepted: Accepted,
  accepting: AcceptingSecure,
  introduction: Introduction,
): TlsWire | null {
  // It may have waited: it gets what is in force now.
  const tls = accepting.tls?.() ?? null;
  const wire = tls === null || tls === 'refuse' ? null : acceptTls(accepted, tls, accepting);
  if (introduction !== null) wire?.introduce(introduction.peer);
  if (wire !== null) accepting.onWire(wire);
  return wire;
}
