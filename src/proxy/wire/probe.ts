// Whether connections can be held by the system's handles (accept.ts, handle-socket.ts): tried, since
// Node does not document it.
import { type AddressInfo, createServer } from 'node:net';
import type { ConnectHandler, Wire } from '../network.ts';
import { acceptHandles } from './accept.ts';
import { connectHandle } from './connect.ts';
import { Lobby } from './lobby.ts';
import { nodeTls } from './node-tls.ts';
import { ReadBuffers } from './read-buffers.ts';
import { prove, systemHandles } from './system-handles.ts';

/**
 * The time is counted in rounds, each of which gives the event loop a turn: a thread that stands
 * still for seconds loses one round, and is judged by what happens afterwards.
 */
const ROUND_MS = 100;
const ROUNDS_MAX = 20;
const EXPECTED = [
  ...['client:connect', 'client:pong', 'client:end', 'client:closed'],
  ...['server:ping', 'server:end', 'server:closed'],
];

/** `changed`: the events are not those that a wire relies on. `unknown`: loopback did not serve. */
export type ProbeResult = 'works' | 'changed' | 'unknown';

let probe: Promise<ProbeResult> | null = null;

/** Whether the fast way works on this Node: tried once per thread, again after `unknown`. */
export async function probeHandles(): Promise<ProbeResult> {
  probe ??= systemHandles === null ? Promise.resolve('changed') : tryHandles();
  const result = await probe;
  if (result === 'unknown') probe = null;
  if (result === 'works') prove();
  return result;
}

/** Makes one connection the fast way, on both sides, and looks for every event that a wire relies on. */
function tryHandles(): Promise<ProbeResult> {
  return new Promise((resolve) => {
    const server = createServer();
    const buffers = new ReadBuffers();
    const wires: Wire[] = [];
    const seen: string[] = [];
    let rounds = 0;
    const finish = (result: ProbeResult): void => {
      clearInterval(timer);
      for (const wire of wires) wire.destroy();
      server.close();
      resolve(result);
    };
    const timer = setInterval(() => {
      rounds += 1;
      if (rounds === ROUNDS_MAX) finish(seen.length === 0 ? 'unknown' : 'changed');
    }, ROUND_MS);
    const note = (event: string): void => {
      seen.push(event);
      if (seen.filter((one) => one.endsWith(':closed')).length < 2) return;
      // Both sides are in one thread: what one sees before the other is not given.
      for (const side of ['client:', 'server:']) {
        const isOf = (one: string) => one.startsWith(side);
        if (seen.filter(isOf).join() !== EXPECTED.filter(isOf).join()) return finish('changed');
      }
      finish('works');
    };
    server.on('error', () => finish('unknown'));
    server.listen(0, '127.0.0.1', () => {
      // A server that listens on a port has an address with one.
      const { port } = server.address() as AddressInfo;
      const onWire = (wire: Wire): void => {
        wires.push(wire);
        wire.handler = player('server', wire, note);
      };
      acceptHandles(server, { port, buffers, parts: nodeTls, lobby: new Lobby(), onWire });
      const client = connectHandle(
        systemHandles!,
        { address: '127.0.0.1', port, family: 4 },
        buffers,
      );
      wires.push(client);
      client.handler = player('client', client, note);
    });
  });
}

/** Tells of the events, and plays its part: the client asks, is answered, and ends. */
function player(side: 'client' | 'server', wire: Wire, note: (event: string) => void) {
  const handler: ConnectHandler = {
    onConnect: () => {
      note(`${side}:connect`);
      wire.write(Buffer.from('ping'));
    },
    onBytes: (base, start, end) => {
      const text = base.toString('latin1', start, end);
      note(`${side}:${text}`);
      if (side === 'client') wire.end();
      else if (!wire.write(Buffer.from('pong'))) note('server:unwritten');
    },
    onEnd: () => {
      note(`${side}:end`);
      if (side === 'server') wire.end();
    },
    onDrain() {},
    onClose: (error) => note(`${side}:${error === null ? 'closed' : error.code}`),
  };
  return handler;
}
