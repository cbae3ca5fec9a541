// Whether accepted handles can be taken over (accept.ts): tried, since Node does not document it.
import { type AddressInfo, createServer, Socket } from 'node:net';
import type { Wire } from '../network.ts';
import { acceptHandles } from './accept.ts';
import { ReadBuffers } from './read-buffers.ts';

const PROBE_MS = 1000;
let probe: Promise<boolean> | null = null;

/** Whether the fast way works on this Node: tried once per thread, over loopback. */
export function canAcceptFast(): Promise<boolean> {
  probe ??= probeFastAccept();
  return probe;
}

/** Accepts one connection the fast way and looks for every event that a wire relies on. */
function probeFastAccept(): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    const seen: string[] = [];
    const client = new Socket();
    const finish = (): void => {
      clearTimeout(timer);
      client.destroy();
      server.close();
      resolve(seen.join() === 'bytes:ping,end,close:ok');
    };
    const timer = setTimeout(finish, PROBE_MS);
    const onWire = (wire: Wire): void => {
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
          finish();
        },
      };
    };
    server.listen(0, '127.0.0.1', () => {
      // A server that listens on a port has an address with one.
      const { port } = server.address() as AddressInfo;
      acceptHandles(server, { port, readBuffer: 'shared', buffers: new ReadBuffers(), onWire });
      client.connect(port, '127.0.0.1', () => client.write('ping'));
      client.on('data', () => {});
      client.on('error', finish);
    });
    server.on('error', finish);
  });
}
