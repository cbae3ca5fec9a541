// A shared connection that never opens, for the packets that open it are lost, must not keep requests that
// come later from an endpoint that is well again.
import { expect, it } from 'vitest';
import { WorkerHost } from '../../sim/data/host.ts';
import { cleanLedger } from '../../sim/data/ledgers.ts';
import { Kernel } from '../../sim/kernel/kernel.ts';
import { SimNetwork } from '../../sim/net/sim-network.ts';
import { loopback, makeListener, makeService, makeSnapshot } from '../support/service.ts';

const PORT = 8000;
const ENDPOINT = 9000;
const CONNECT_MS = 500;
const LOST_MS = 300;

it('is not waited for by requests that come when it took too long', async () => {
  const kernel = new Kernel(1);
  const network = new SimNetwork(kernel);
  const watch = { onAcquire() {}, onRelease() {} };
  const host = new WorkerHost(kernel, network, { shared: cleanLedger(1), index: 0, watch });
  const plain = makeService();
  const service = {
    ...plain,
    timeouts: { ...plain.timeouts, connectMs: CONNECT_MS },
    upstream: { ...plain.upstream, protocol: 'h2c' as const },
    retry: { ...plain.retry, attempts: 1 },
  };
  let connections = 0;
  network.serve(ENDPOINT, (end) => {
    connections += 1;
    end.handler = { onBytes() {}, onEnd: () => end.close(), onReset() {} };
  });
  const listeners = [makeListener(service, loopback(PORT))];
  const upsert = [makeSnapshot(service, [ENDPOINT])];
  void host.worker.apply({ version: 1, upsert, remove: [], listeners });
  await kernel.run(100);
  network.setSilent(ENDPOINT, true);
  const ask = (): void => {
    const client = network.dial('client', PORT, {
      onOpen: () => client.write(Buffer.from('GET / HTTP/1.1\r\nHost: sim\r\n\r\n')),
      onBytes: () => client.close(),
      onEnd: () => client.close(),
      onReset() {},
    });
  };
  ask();
  // Somebody always waits for it.
  for (let i = 1; i < 20; i += 1) kernel.after(i * 100, ask);
  kernel.after(LOST_MS, () => network.setSilent(ENDPOINT, false));
  await kernel.run(100 + CONNECT_MS - 50);
  expect(connections).toBe(0);
  await kernel.run(100 + CONNECT_MS + 250);
  expect(connections).toBe(1);
  host.stop();
});
