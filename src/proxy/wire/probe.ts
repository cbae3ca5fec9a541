// Whether accepted handles can be taken over (accept.ts): tried, since Node does not document it.
import { type AddressInfo, createServer, Socket } from 'node:net';
import type { Wire } from '../network.ts';
import { acceptHandles } from './accept.ts';
import { Lobby } from './lobby.ts';
import { ReadBuffers } from './read-buffers.ts';

/**
 * The time is counted in rounds, each of which gives the event loop a turn: a thread that stands
 * still for seconds loses one round, and is judged by what happens afterwards.
 */
const ROUND_MS = 100;
const ROUNDS_MAX = 20;
const EXPECTED = 'bytes:ping,end,close:ok';

/** `changed`: the events are not those that a wire relies on. `unknown`: loopback did not serve. */
export type ProbeResult = 'works' | 'changed' | 'unknown';

let probe: Promise<ProbeResult> | null = null;

/** Whether the fast way works on this Node: tried once per thread, again after `unknown`. */
export async function probeAccept(): Promise<ProbeResult> {
  probe ??= tryFastAccept();
  const result = await probe;
  if (result === 'unknown') probe = null;
  return result;
}

/** Accepts one connection the fast way and looks for every event that a wire relies on. */
function tryFastAccept(): Promise<ProbeResult> {
  return new Promise((resolve) => {
    const server = createServer();
    const client = new Socket();
    const seen: string[] = [];
    let rounds = 0;
    const finish = (result: ProbeResult): void => {
      clearInterval(timer);
      client.destroy();
      server.close();
      resolve(result);
    };
    const timer = setInterval(() => {
      rounds += 1;
      if (rounds === ROUNDS_MAX) finish(client.connecting ? 'unknown' : 'changed');
    }, ROUND_MS);
    const onClose = (): void => finish(seen.join() === EXPECTED ? 'works' : 'changed');
    server.on('error', () => finish('unknown'));
    client.on('error', () => finish('unknown'));
    client.on('data', () => {});
    server.listen(0, '127.0.0.1', () => {
      // A server that listens on a port has an address with one.
      const { port } = server.address() as AddressInfo;
      const onWire = (wire: Wire): void => record(wire, seen, client, onClose);
      const buffers = new ReadBuffers();
      acceptHandles(server, { port, readBuffer: 'shared', buffers, lobby: new Lobby(), onWire });
      client.connect(port, '127.0.0.1', () => client.write('ping'));
    });
  });
}

/** Writes down the events of the accepted wire, and plays its part. */
function record(wire: Wire, seen: string[], client: Socket, onClose: () => void): void {
  wire.handler = {
    onBytes: (base, start, end) => {
      seen.push(`bytes:${base.toString('latin1', start, end)}`);
      if (wire.write(Buffer.from('pong'))) client.end();
    },
    onEnd: () => {
      seen.push('end');
      wire.end();
    },
    onDrain() {},
    onClose: (error) => {
      seen.push(`close:${error?.code ?? 'ok'}`);
      onClose();
    },
  };
}
