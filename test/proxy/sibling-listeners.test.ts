// A listener of several sockets: busy ones take several connections in a turn of the loop, and none is left
// open, or loses who waits, when it closes.
import { afterEach, expect, it } from 'vitest';
import { silentLogger } from '../../src/base/log.ts';
import type { Wire, WireServer } from '../../src/proxy/network.ts';
import { listenWires } from '../../src/proxy/wire/listen.ts';
import { ReadBuffers } from '../../src/proxy/wire/read-buffers.ts';
import { closePeers, dial } from '../support/peer.ts';
import { loopback } from '../support/service.ts';

const CLIENTS = 64;
const wires: Wire[] = [];

afterEach(() => {
  closePeers();
  for (const wire of wires.splice(0)) wire.destroy();
});

function listen(onWire: (wire: Wire) => void): Promise<WireServer> {
  return listenWires({
    ...{ address: loopback(), reusePort: true, buffers: new ReadBuffers(), log: silentLogger },
    onWire: (wire) => {
      wires.push(wire);
      wire.handler = { onBytes() {}, onEnd() {}, onDrain() {}, onClose() {} };
      onWire(wire);
    },
  });
}

it('takes several connections in a turn of the loop', async () => {
  let turn = 0;
  let isOver = false;
  const byTurn = new Map<number, number>();
  const server = await listen(() => byTurn.set(turn, (byTurn.get(turn) ?? 0) + 1));
  const count = (): void => {
    turn += 1;
    if (!isOver) setImmediate(count);
  };
  count();
  await Promise.all(Array.from({ length: CLIENTS }, () => dial(server.port)));
  while (wires.length < CLIENTS) await new Promise((resolve) => setImmediate(resolve));
  isOver = true;
  expect(Math.max(...byTurn.values())).toBeGreaterThan(1);
  expect(wires).toHaveLength(CLIENTS);
  await server.close();
});

it('takes all who wait before it closes, and nobody afterwards', async () => {
  const server = await listen(() => {});
  const clients = Array.from({ length: CLIENTS }, () => dial(server.port));
  const closed = server.close();
  await Promise.all(clients);
  await closed;
  expect(wires).toHaveLength(CLIENTS);
  for (let i = 0; i < 8; i += 1) await expect(dial(server.port)).rejects.toThrow('ECONNREFUSED');
});
